import { chownSync, closeSync, constants, openSync } from "node:fs";
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Subprocess } from "bun";
import { waitAtMost } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { PrivateDirectory } from "../../base/files/private-files.ts";
import { makePrivateDirectory } from "../../base/files/private-files.ts";
import type { Account } from "../../base/process/become-user.ts";
import { findAccount, isRoot } from "../../base/process/become-user.ts";
import { Secret } from "../../base/secret.ts";
import { ChildError, runChild } from "../../stream/process.ts";
import type { Endpoint } from "../connection.ts";
import { CLEAN_ENVIRONMENT } from "../libpq.ts";
import { removeCluster, stopCluster, unendedServer } from "./left-cluster.ts";
import type { ServerPrograms } from "./programs.ts";

/** A private cluster: only this process can connect to it. Disposal stops it and removes it with its data. */
export interface ThrowawayCluster extends AsyncDisposable {
  /** As its superuser, whose password nobody else knows. */
  endpoint(database: string): Endpoint;
  readonly major: number;
  readonly version: string;
}

export interface ClusterOptions {
  programs: ServerPrograms;
  /** `clusterParent`. */
  parent: string;
  /** Sessions in the database that is made there. */
  sessions: number;
  clock: Clock;
  signal: AbortSignal;
}

const SUPERUSER = "pg321_throwaway";
/** Part of the socket's name only: the cluster listens on no network. */
const PORT = 5432;
/** Linux limits the path of a socket to this. */
const SOCKET_PATH_BYTES_MAX = 107;
const START_MS_MAX = 120_000;
const LOOK_MS = 20;
/** For the end of a server after SIGKILL. */
const EXIT_MS_MAX = 3_000;
/** Sessions beside those in that database: of its superuser, and reserved ones. */
const OTHER_SESSIONS = 12;
const CONNECT_TIMEOUT_MS = 10_000;
/** Where root puts it if temp_dir is closed to the account that runs PostgreSQL. */
export const CLUSTER_DIR_OF_ROOT = "/var/tmp";

/** Nothing in it must survive a crash. No JIT: it needs memory that is writable and executable, and restores gain nothing. */
const SETTINGS = [
  "listen_addresses = ''",
  // Relative to the data directory: its whole path may be too long for a socket.
  "unix_socket_directories = '.'",
  `port = ${PORT}`,
  "fsync = off",
  "full_page_writes = off",
  "synchronous_commit = off",
  "wal_level = minimal",
  "max_wal_senders = 0",
  "max_wal_size = '1GB'",
  "shared_buffers = '128MB'",
  "maintenance_work_mem = '256MB'",
  "dynamic_shared_memory_type = mmap",
  "autovacuum = off",
  "jit = off",
  "logging_collector = off",
  "log_min_messages = fatal",
  "log_min_error_statement = panic",
];

/**
 * The directory in which a cluster can be made: `tempDir`, unless this process is root. PostgreSQL refuses to run as root,
 * so it runs as another account, which must be able to enter the directory.
 */
export async function clusterParent(tempDir: string): Promise<string> {
  if (!isRoot()) return tempDir;
  for (let path = tempDir; ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return CLUSTER_DIR_OF_ROOT;
    if (path === dirname(path)) return tempDir;
  }
}

/** Makes and starts a cluster. Throws code `database`. */
export async function startThrowaway(options: ClusterOptions): Promise<ThrowawayCluster> {
  const { programs, parent, sessions, signal } = options;
  const account = isRoot() ? unprivileged() : undefined;
  const password = Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("hex");
  await using made = new AsyncDisposableStack();
  const directory = await makePrivateDirectory(parent, "cluster");
  let server: Subprocess | undefined;
  made.defer(() => endCluster(directory, server, options));
  const dataDir = join(directory.path, "data");
  await mkdir(dataDir, { mode: 0o700 });
  if (account) {
    await chmod(directory.path, 0o711);
    chownSync(dataDir, account.uid, account.gid);
  }
  await makeCluster(programs, { directory: directory.path, dataDir, password, account, sessions, signal });
  server = spawnServer(programs, { directory: directory.path, dataDir, account });
  await untilReady(server, directory.path, dataDir, options);
  const host = socketDirectory(dataDir, server.pid, made);
  const all = made.move();
  return {
    major: programs.major,
    version: programs.version,
    endpoint: (database) => ({
      label: "the throwaway cluster",
      host,
      port: PORT,
      user: SUPERUSER,
      password: new Secret(password),
      sslmode: "disable",
      sslrootcert: undefined,
      sslcert: undefined,
      sslkey: undefined,
      connect_timeout_ms: CONNECT_TIMEOUT_MS,
      database,
    }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Ends the server and removes the cluster. If it throws, a later run removes what is left, also one of this process. */
async function endCluster(
  directory: PrivateDirectory,
  server: Subprocess | undefined,
  { clock }: ClusterOptions,
): Promise<void> {
  try {
    const left = await stopCluster(join(directory.path, "data"));
    if (left !== undefined) throw unendedServer(left, directory.path);
    if (server) {
      server.kill("SIGKILL");
      await waitAtMost(server.exited, { clock, durationMs: EXIT_MS_MAX });
      if (server.exitCode === null && server.signalCode === null)
        throw unendedServer(server.pid, directory.path);
    }
    await removeCluster(directory.path);
    await directory[Symbol.asyncDispose]();
  } catch (error) {
    directory.leave();
    throw error;
  }
}

/** A path of the data directory that is short enough for a socket in it, whatever the length of temp_dir. */
function socketDirectory(dataDir: string, serverPid: number, made: AsyncDisposableStack): string {
  if (Buffer.byteLength(join(dataDir, `.s.PGSQL.${PORT}`)) <= SOCKET_PATH_BYTES_MAX) return dataDir;
  // Not a descriptor of this process: if it was root, its /proc/PID/fd stays root's.
  if (!isRoot()) return `/proc/${serverPid}/cwd`;
  // Not the server's working directory: it runs as another user, and root may lack CAP_SYS_PTRACE.
  const fd = openSync(dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
  made.defer(() => closeSync(fd));
  return `/proc/${process.pid}/fd/${fd}`;
}

interface Making {
  directory: string;
  dataDir: string;
  account: Account | undefined;
}

async function makeCluster(
  { initdb }: ServerPrograms,
  making: Making & Pick<ClusterOptions, "sessions" | "signal"> & { password: string },
): Promise<void> {
  const { dataDir, directory, account, password, sessions, signal } = making;
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (account) chownSync(passwordFile, account.uid, account.gid);
  const argv = [
    ...asAccount(account, "KILL"),
    ...[initdb, "--pgdata", dataDir, `--username=${SUPERUSER}`, "--auth=scram-sha-256"],
    ...[`--pwfile=${passwordFile}`, "--encoding=UTF8", "--locale=C", "--no-sync"],
  ];
  try {
    await runChild({ argv, env: { ...CLEAN_ENVIRONMENT, HOME: directory }, signal });
  } catch (error) {
    if (!(error instanceof ChildError)) throw error;
    const lines = linesOf(error.stderrTail);
    const reason = lines.find((line) => line.includes("error:")) ?? lines.at(-1);
    throw new Pg321Error("database", `the throwaway cluster could not be made: ${reason ?? error.message}`, {
      cause: error,
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
  const own = join(dataDir, "postgresql.auto.conf");
  const settings = [...SETTINGS, `max_connections = ${sessions + OTHER_SESSIONS}`];
  await writeFile(own, `${settings.join("\n")}\n`);
}

function spawnServer(
  { postgres }: ServerPrograms,
  { directory, dataDir, account }: Making,
): Subprocess<"ignore", "ignore", number> {
  const log = openSync(join(directory, "server.log"), "a", 0o600);
  try {
    return Bun.spawn([...asAccount(account, "QUIT"), postgres, "-D", dataDir], {
      env: { ...CLEAN_ENVIRONMENT, HOME: directory },
      stdio: ["ignore", "ignore", log],
    });
  } finally {
    closeSync(log);
  }
}

async function untilReady(
  server: Subprocess,
  directory: string,
  dataDir: string,
  { clock, signal }: ClusterOptions,
): Promise<void> {
  const untilMs = clock.monotonicMs() + START_MS_MAX;
  while (!(await isReady(server.pid, dataDir))) {
    if (server.exitCode !== null || server.signalCode !== null || clock.monotonicMs() > untilMs) {
      const log = await readFile(join(directory, "server.log"), "utf8").catch(() => "");
      const lines = linesOf(log);
      const reason = lines.findLast((line) => /FATAL|ERROR|PANIC/.test(line)) ?? lines.at(-1);
      throw new Pg321Error("database", `the throwaway cluster did not start: ${reason ?? endOf(server)}`);
    }
    await clock.sleep(LOOK_MS, signal);
  }
}

/** The lines that a program has printed, without empty ones. */
function linesOf(text: string): string[] {
  return text.split("\n").flatMap((line) => line.trim() || []);
}

/** How a server that printed nothing has ended. */
function endOf({ exitCode, signalCode }: Subprocess): string {
  if (signalCode !== null) return `postgres was killed by ${signalCode}`;
  if (exitCode !== null) return `postgres ended with exit code ${exitCode}`;
  return `postgres was not ready after ${START_MS_MAX / 1000} s`;
}

/** The first line of postmaster.pid is the process, the eighth its state. */
async function isReady(pid: number, dataDir: string): Promise<boolean> {
  const lines = (await readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
}

/** The account that runs PostgreSQL for root. */
function unprivileged(): Account {
  const account = findAccount("postgres") ?? findAccount("nobody");
  if (account) return account;
  throw new Pg321Error(
    "database",
    "PostgreSQL refuses to run as root, and there is no user postgres or nobody",
    {
      hint: "run pg321 as another user, or name another server in restore_test.server",
    },
  );
}

/** The program is told to end if this process dies, as far as the system can; otherwise the next start ends it. */
function asAccount(account: Account | undefined, signalAtDeath: "KILL" | "QUIT"): string[] {
  const setpriv = Bun.which("setpriv", { PATH: CLEAN_ENVIRONMENT["PATH"] ?? "" });
  if (setpriv === null) {
    if (!account) return [];
    throw new Pg321Error("database", "PostgreSQL refuses to run as root, and there is no program setpriv", {
      hint: "apt-get install util-linux, or run pg321 as another user",
    });
  }
  if (!account) return canSetDeathSignal(setpriv) ? [setpriv, `--pdeathsig=${signalAtDeath}`, "--"] : [];
  const user = [`--reuid=${account.uid}`, `--regid=${account.gid}`, "--clear-groups"];
  return [setpriv, ...user, `--pdeathsig=${signalAtDeath}`, "--"];
}

/**
 * Whether setpriv works here. It always sets its capabilities, which the unit's SystemCallFilter refuses; there systemd
 * ends all processes of the service with it.
 */
function canSetDeathSignal(setpriv: string): boolean {
  const argv = [setpriv, "--pdeathsig=KILL", "--", setpriv, "--version"];
  return Bun.spawnSync(argv, { env: CLEAN_ENVIRONMENT, stdio: ["ignore", "ignore", "ignore"] }).success;
}
