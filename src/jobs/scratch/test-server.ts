import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { requireAnswer } from "../../base/files/place.ts";
import { MIB } from "../../base/limits.ts";
import { sizeText } from "../../base/text/amounts.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { ServerConfig } from "../../config/config.ts";
import { requireUsableServer } from "../../config/set-aside.ts";
import type { BinDir } from "../../postgres/binaries.ts";
import type { StatementLimit } from "../../postgres/bounded-connection.ts";
import { connectWithin } from "../../postgres/bounded-connection.ts";
import { serverProgramsFor } from "../../postgres/cluster/programs.ts";
import { clusterParent, startThrowaway } from "../../postgres/cluster/throwaway.ts";
import type { Connection, Endpoint } from "../../postgres/connection.ts";
import { endpointOf, hostOf } from "../../postgres/connection.ts";
import { inspectServer } from "../../postgres/inspect.ts";
import { scratchSessions } from "../../postgres/scratch/scratch-database.ts";
import { MEMBERS_AT_ONCE_MAX } from "../../sealed/container/format.ts";
import type { JobContext } from "../context.ts";

/** A server on which a database for a test may be made. */
export interface TestServer extends AsyncDisposable {
  /** As records name it: `throwaway`, `source`, or host and port. */
  target: string;
  /** Identifies the server among those of the config; null: it does not outlive the test. */
  key: string | null;
  endpoint: (database: string) => Endpoint;
  maintenanceDatabase: string;
  binDir: BinDir;
  major: number;
  isSuperuser: boolean;
}

/** A restored database needs about this many times the bytes of its dump: indexes, and rows that are larger on disk. */
const SPACE_FACTOR = 2;
/** The files of an empty cluster, and its log of changes. */
const SPACE_BYTES_MIN = 128 * MIB;
const NEWEST_MAJOR = 99;

/**
 * Opens the server of `[restore_test]` for the test of a backup, after a look at its free space. Throws code `database`
 * (or `storage`, for the disk of temp_dir) if the test cannot be carried out there.
 */
export async function openTestServer(context: JobContext, backup: BackupRecord): Promise<TestServer> {
  const { server } = context.config.restore_test;
  if (server === "throwaway") return openThrowaway(context, backup);
  const place = testPlaces(context, backup).at(0);
  if (!place) throw noSource(backup);
  const { endpoint, maintenanceDatabase, binDir, key, target } = place;
  await using connection = await connectWithin(endpoint(maintenanceDatabase), statementLimit(context));
  const facts = await inspectServer(connection);
  if (facts.readOnly)
    throw new Pg321Error(
      "database",
      `${connection.endpoint.label}: a restore test cannot make a database there: it is read-only`,
      {
        hint: 'name a primary in restore_test.server, or use "throwaway"',
      },
    );
  await requireCreateRight(connection);
  const directory = await dataDirectoryHere(connection, facts.dataDirectory);
  await requireSpace(context, backup, directory);
  return {
    ...{ target, key, endpoint, maintenanceDatabase, binDir },
    major: facts.major,
    isSuperuser: facts.isSuperuser,
    [Symbol.asyncDispose]: async () => {},
  };
}

/** The limit for each statement of a test: the end of the test, whose time `signal` measures. */
export function statementLimit({ signal, config }: Pick<JobContext, "signal" | "config">): StatementLimit {
  return { signal, timeoutMs: config.restore_test.timeout_ms };
}

/** A server of the config on which tests may leave something. */
export interface TestPlace {
  target: string;
  key: string;
  endpoint: (database: string) => Endpoint;
  maintenanceDatabase: string;
  binDir: BinDir;
}

/** The servers of the config on which databases for tests are made; with a backup only the one for its test. */
export function testPlaces(
  { config }: Pick<JobContext, "config">,
  backup?: Pick<BackupRecord, "server">,
): TestPlace[] {
  const { server } = config.restore_test;
  if (server === "throwaway") return [];
  if (server !== "source") {
    const target = `${hostOf(server)}:${server.port}`;
    const label = `restore_test.server (${target})`;
    return [
      {
        ...{ target, key: target },
        endpoint: (database) => ({ ...server, label, database }),
        maintenanceDatabase: server.maintenance_database,
        binDir: config.server.flatMap(({ bin_dir }) => bin_dir ?? []),
      },
    ];
  }
  return config.server
    .filter(({ name }) => backup === undefined || name === backup.server)
    .map((one) => {
      if (backup) requireUsableServer(config, one.name);
      return sourcePlace(one);
    });
}

function sourcePlace(server: ServerConfig): TestPlace {
  return {
    ...{ target: "source", key: `source ${server.name}` },
    endpoint: (database) => endpointOf(server, database),
    maintenanceDatabase: server.maintenance_database,
    binDir: server.bin_dir,
  };
}

function noSource({ server }: BackupRecord): Pg321Error {
  return new Pg321Error(
    "database",
    `the config no longer has server "${server}", on which the test would be made`,
    {
      hint: 'set restore_test.server to "throwaway" or to the URL of another server',
    },
  );
}

async function openThrowaway(context: JobContext, backup: BackupRecord): Promise<TestServer> {
  const { config, clock, signal } = context;
  const source = config.server.find(({ name }) => name === backup.server);
  const binDir = source?.bin_dir === undefined ? undefined : [source.bin_dir];
  const major = Number.parseInt(backup.server_version ?? "", 10);
  const programs = await serverProgramsFor(Number.isNaN(major) ? NEWEST_MAJOR : major, binDir);
  await requireAnswer(`temp_dir ${config.temp_dir}`, config.temp_dir, signal);
  const parent = await clusterParent(config.temp_dir);
  await requireSpace(context, backup, parent);
  // The dump has not been opened yet, so its number of streams is unknown.
  const sessions = scratchSessions(MEMBERS_AT_ONCE_MAX);
  const cluster = await startThrowaway({ programs, parent, sessions, clock, signal });
  return {
    ...{
      target: "throwaway",
      key: null,
      endpoint: cluster.endpoint,
      maintenanceDatabase: "postgres",
      binDir,
    },
    major: cluster.major,
    isSuperuser: true,
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

async function requireCreateRight(connection: Connection): Promise<void> {
  const rows = await connection.run(
    "read the rights of the role",
    (sql) => sql<{ may_create: boolean }[]>`
      select rolcreatedb or rolsuper as may_create from pg_roles where rolname = current_user`,
  );
  if (rows[0]?.may_create) return;
  const { label, user } = connection.endpoint;
  throw new Pg321Error(
    "database",
    `${label}: role "${user}" may not create databases, so no restore can be tested there`,
    {
      hint: `run in psql as a superuser: ALTER ROLE "${user}" CREATEDB; or set restore_test.server to "throwaway"`,
    },
  );
}

/** The server's data directory, or the one above it that this user may see; undefined if the server may be elsewhere. */
async function dataDirectoryHere(
  { endpoint }: Connection,
  dataDirectory: string | undefined,
): Promise<string | undefined> {
  if (dataDirectory === undefined || !hostOf(endpoint).startsWith("/")) return undefined;
  for (let path = dataDirectory; path !== dirname(path); path = dirname(path))
    if (await statfs(path).catch(() => undefined)) return path;
  return undefined;
}

/** `directory`: where the database will be, if it is on this host. */
async function requireSpace(
  { config }: JobContext,
  { dump_bytes }: BackupRecord,
  directory: string | undefined,
): Promise<void> {
  const { max_bytes } = config.restore_test;
  const dumpBytes = dump_bytes ?? 0;
  if (max_bytes !== undefined && dumpBytes > max_bytes)
    throw new Pg321Error(
      "database",
      `the dump has ${sizeText(dumpBytes)}, more than restore_test.max_bytes (${sizeText(max_bytes)})`,
      { hint: "raise restore_test.max_bytes if the test server has the space" },
    );
  if (directory === undefined) {
    if (max_bytes !== undefined) return;
    throw new Pg321Error("database", "the free space of the test server cannot be seen from here", {
      hint: "set restore_test.max_bytes to the size of the largest dump that it has space for",
    });
  }
  const { bavail, bsize } = await statfs(directory);
  const neededBytes = dumpBytes * SPACE_FACTOR + SPACE_BYTES_MIN;
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes) return;
  throw new Pg321Error(
    "storage",
    `not enough space for a restore test in ${directory}: about ${sizeText(neededBytes)} needed, ${sizeText(freeBytes)} free`,
    {
      hint: "free some space, set temp_dir to a larger file system, or name another server in restore_test.server",
    },
  );
}
