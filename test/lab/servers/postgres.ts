import {
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  globSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import type { Sql } from "postgres";
import postgres from "postgres";
import { freePort } from "./free-port.ts";

/**
 * A temporary PostgreSQL for tests and the demo: in its own directory, run by an unprivileged user, with a Unix socket
 * there and a free port on 127.0.0.1, both with a random password. It never touches a cluster of the machine.
 */

/** The address and login of the server; `PG321_TEST_POSTGRES` has it as JSON. */
export interface PostgresAddress {
  socket_dir: string;
  port: number;
  user: string;
  password: string;
  data_dir: string;
  bin_dir: string;
}

export interface LabPostgres extends AsyncDisposable {
  readonly address: PostgresAddress;
  /** Starts the server again with the same data, at the same address. */
  start(): Promise<void>;
  /** Stops the server and ends every session; keeps the data. */
  stop(): Promise<void>;
  /** Kills the server (SIGKILL), as in a crash. */
  kill(): Promise<void>;
  /** Stops the server and removes everything; also runs when the process exits. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface LabOptions {
  /** Lines for postgresql.conf. */
  settings?: readonly string[];
  /** A server that `npm test` fetches, without client programs, instead of the newest one of the machine. */
  fetched?: FetchedMajor;
  /** The directory of another server's programs, which the server's account must be able to read. */
  binDir?: string;
  /** Files to put into the data directory, by name, for settings that need them. */
  files?: Record<string, string>;
  /** Makes a standby of this server, which was started with `PRIMARY_SETTINGS`, by pg_basebackup. */
  standbyOf?: PostgresAddress;
}

/** The major versions that scripts/setup.mjs fetches. */
export type FetchedMajor = 13 | 14 | 18;

/** Settings of a server that has standbys. */
export const PRIMARY_SETTINGS = ["wal_level = replica", "max_wal_senders = 10"];

const START_TIMEOUT_MS = 60_000;
const BIN_DIRS = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/bin", "/usr/bin"];
const SETTINGS = [
  "fsync = off",
  "full_page_writes = off",
  "synchronous_commit = off",
  "wal_level = minimal",
  "max_wal_senders = 0",
  "max_wal_size = '4GB'",
  "shared_buffers = '128MB'",
  "max_connections = 60",
  "autovacuum = off",
  "listen_addresses = '127.0.0.1'",
];

export async function startPostgres({
  settings = [],
  files = {},
  fetched,
  binDir: givenBinDir,
  standbyOf,
}: LabOptions = {}): Promise<LabPostgres> {
  const root = mkdtempSync(join(tmpdir(), "pg321-lab-postgres-"));
  const binDir = fetched ? fetchedBinDir(fetched, root) : (givenBinDir ?? serverBinDir());
  const dataDir = join(root, "data");
  const password =
    standbyOf?.password ?? Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("hex");
  const port = await freePort();
  writeFileSync(join(root, "password"), password, { mode: 0o600 });
  const account = unprivilegedAccount();
  if (account) for (const path of [root, join(root, "password")]) chownSync(path, account.uid, account.gid);
  // LC_ALL=C keeps the server's messages English.
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", HOME: root };
  const asAccount = account ? [`--reuid=${account.uid}`, `--regid=${account.gid}`, "--clear-groups"] : [];

  const initdb = [join(binDir, "initdb"), "--pgdata", dataDir, "--username=postgres"].concat(
    ["--auth=scram-sha-256", `--pwfile=${join(root, "password")}`, "--encoding=UTF8", "--no-sync"],
    ["--locale=C.UTF-8"],
  );
  const argv = standbyOf ? baseBackup(standbyOf, dataDir) : initdb;
  const made = Bun.spawnSync(["setpriv", ...asAccount, "--", ...argv], {
    env: { ...env, PGPASSWORD: password },
    cwd: root,
    stdout: "ignore",
    stderr: "pipe",
  });
  if (!made.success) {
    rmSync(root, { recursive: true, force: true });
    throw new Error(`${argv[0]} failed: ${made.stderr.toString()}`);
  }
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(dataDir, name), content, { mode: 0o600 });
    if (account) chownSync(join(dataDir, name), account.uid, account.gid);
  }
  const ownSettings = [`port = ${port}`, `unix_socket_directories = '${root}'`];
  const auto = join(dataDir, "postgresql.auto.conf");
  // A base backup's file has the settings of the primary, and how to reach it; the last line of a setting counts.
  const inherited = standbyOf ? [readFileSync(auto, "utf8")] : SETTINGS;
  writeFileSync(auto, [...inherited, ...ownSettings, ...settings, ""].join("\n"));
  const address = { socket_dir: root, port, user: "postgres", password, data_dir: dataDir, bin_dir: binDir };
  // SIGINT (a fast shutdown) when this process dies without having stopped it.
  const command = ["setpriv", ...asAccount, "--pdeathsig=INT", "--", join(binDir, "postgres"), "-D", dataDir];
  const lab = new Lab(address, command, env);
  await lab.start();
  return lab;
}

function baseBackup({ bin_dir, socket_dir, port }: PostgresAddress, dataDir: string): string[] {
  const from = [`--host=${socket_dir}`, `--port=${port}`, "--username=postgres", "--no-password"];
  const how = ["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync"];
  return [join(bin_dir, "pg_basebackup"), ...from, ...how, `--pgdata=${dataDir}`];
}

class Lab implements LabPostgres {
  readonly address: PostgresAddress;
  readonly #command: string[];
  readonly #env: Record<string, string>;
  #server: Bun.Subprocess | undefined;
  readonly #onExit = () => {
    this.#server?.kill("SIGQUIT");
    const pidFile = join(this.address.data_dir, "postmaster.pid");
    // Nothing can be awaited while a process exits; this file is the last thing that the server removes.
    for (let i = 0; i < 500 && this.#server && existsSync(pidFile); i++) Bun.sleepSync(10);
    this.#remove();
  };

  constructor(address: PostgresAddress, command: string[], env: Record<string, string>) {
    this.address = address;
    this.#command = command;
    this.#env = env;
    process.once("exit", this.#onExit);
  }

  async start(): Promise<void> {
    const log = join(this.address.socket_dir, "server.log");
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const end = await this.#startOnce(log, deadline);
      if (end === "ready") return;
      const logged = readFileSync(log, "utf8").slice(-2000);
      // The backends of a killed server keep its shared memory until they have noticed its end.
      if (!logged.includes("still in use") || performance.now() > deadline) {
        throw new Error(`the test's PostgreSQL did not start: ${logged}`);
      }
      await Bun.sleep(50);
    }
  }

  async #startOnce(log: string, deadline: number): Promise<"ready" | "ended"> {
    const logFd = openSync(log, "a");
    const server = Bun.spawn(this.#command, {
      env: this.#env,
      cwd: this.address.socket_dir,
      stderr: logFd,
    });
    closeSync(logFd);
    server.unref();
    this.#server = server;
    while (!this.#isReady(server.pid)) {
      if (server.exitCode !== null || performance.now() > deadline) return "ended";
      await Bun.sleep(10);
    }
    return "ready";
  }

  /** The last line of postmaster.pid is the state, the first line the process id. */
  #isReady(pid: number): boolean {
    const file = join(this.address.data_dir, "postmaster.pid");
    if (!existsSync(file)) return false;
    const lines = readFileSync(file, "utf8").split("\n");
    return Number(lines[0]) === pid && ["ready", "standby"].includes(lines[7]?.trim() ?? "");
  }

  stop = () => this.#end("SIGINT");
  kill = () => this.#end("SIGKILL");

  async #end(signal: "SIGINT" | "SIGKILL" | "SIGQUIT"): Promise<void> {
    this.#server?.kill(signal);
    await this.#server?.exited;
    this.#server = undefined;
  }

  #remove(): void {
    rmSync(this.address.socket_dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end("SIGQUIT");
    this.#remove();
    process.off("exit", this.#onExit);
  }
}

/** Ends the connection when it is disposed of. */
export function disposable(sql: Sql) {
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
}

/** A connection as superuser. (`sql(name)` of the package splits a name at its dots: quote names yourself.) */
export function connectTo(address: PostgresAddress, database: string): Sql {
  const { socket_dir, port, user, password } = address;
  return postgres({ host: socket_dir, port, user, password, database, max: 1, onnotice: () => {} });
}

function serverBinDir(): string {
  const version = (path: string) => Number(path.match(/\d+/)?.[0] ?? 0);
  const found = BIN_DIRS.flatMap((pattern) => globSync(join(pattern, "initdb")));
  const newest = found.sort((a, b) => version(b) - version(a))[0];
  if (newest === undefined) throw new Error("no PostgreSQL server here: apt-get install postgresql-15");
  return newest.slice(0, -"/initdb".length);
}

/** A copy of the fetched server, because the server's account may not be able to read the cache directory. */
function fetchedBinDir(major: FetchedMajor, root: string): string {
  const fetched = join(import.meta.dir, `../../../node_modules/.cache/postgres-${major}`);
  if (!existsSync(fetched)) throw new Error(`no PostgreSQL ${major} in ${fetched}: npm test fetches it`);
  cpSync(fetched, join(root, "program"), { recursive: true, verbatimSymlinks: true });
  return join(root, "program/bin");
}

/** The account for the server: PostgreSQL refuses to run as root, so root uses the packaged account, or nobody. */
function unprivilegedAccount(): { uid: number; gid: number } | undefined {
  if (userInfo().uid !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const fields = readFileSync("/etc/passwd", "utf8").match(
      new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, "m"),
    );
    if (fields) return { uid: Number(fields[1]), gid: Number(fields[2]) };
  }
  throw new Error("root needs an account named postgres or nobody to run PostgreSQL");
}
