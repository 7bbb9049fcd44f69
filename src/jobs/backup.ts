import { messageOf, Pg321Error } from "../base/errors.ts";
import type { BackupStatus, CopyState, RunOutcome, RunRecord } from "../catalog/catalog.ts";
import type { ServerConfig } from "../config/config.ts";
import { EXAMPLE_RECIPIENT } from "../config/load.ts";
import { connect, endpointOf } from "../postgres/connection.ts";
import type { DatabaseChoice } from "../postgres/inspect.ts";
import { chooseDatabases, listDatabases } from "../postgres/inspect.ts";
import { backupDatabase } from "./backup-database.ts";
import type { JobContext } from "./context.ts";
import { recordRun } from "./context.ts";
import { reconcile } from "./reconcile.ts";
import { alertBackup } from "./run-alerts.ts";
import { warnOfSharedDevice } from "./shared-device.ts";

/** What became of one database in a run. */
export interface BackupResult {
  server: string;
  /** Null when the server's databases could not even be listed. */
  database: string | null;
  backup_id: string | null;
  status: BackupStatus;
  dump_bytes: number | null;
  object_bytes: number | null;
  duration_ms: number;
  copies: { storage: string; state: CopyState; error: string | null }[];
  error: string | null;
  hint: string | null;
  /** The error itself, for the exit code. */
  cause?: unknown;
}

export type BackupStatistics = { databases: number; verified: number; partial: number; failed: number };

export interface BackupReport {
  run: RunRecord;
  results: BackupResult[];
}

/**
 * Backs up every configured database, or those that are named (`app` or `server/app`). One that fails does
 * not stop the others. Throws only when nothing could begin: an unknown name, a recipient whose key is lost.
 */
export async function runBackup(context: JobContext, names: readonly string[]): Promise<BackupReport> {
  refuseLostKey(context);
  await reconcile(context);
  const results: BackupResult[] = [];
  const work = async (run: RunRecord) => {
    const targets = await targetsOf(context, names, results);
    await inParallel(targets, context.config.dump.max_parallel, async ({ server, database }) => {
      if (!context.signal.aborted) results.push(await backupOne(context, run.id, server, database));
    });
    context.signal.throwIfAborted();
    const statistics = count(results);
    return {
      outcome: outcomeOf(statistics),
      statistics,
      error: results.find((result) => result.error)?.error ?? null,
    };
  };
  const { run } = await recordRun(context, "backup", work, { isPart: names.length > 0 });
  await alertBackup(context, { run, results });
  return { run, results };
}

/** A backup that nobody can ever open looks like one and is worse than none. */
function refuseLostKey({ config }: JobContext): void {
  const { mode, recipients } = config.encryption;
  if (mode === "none" || recipients.some((recipient) => recipient !== EXAMPLE_RECIPIENT)) return;
  throw new Pg321Error(
    "usage",
    `${config.file}: encryption.recipients holds only the example's, whose secret key nobody has`,
    { hint: "make your own with pg321 key generate, and put its recipient there" },
  );
}

interface Target {
  server: ServerConfig;
  database: string;
}

/** The databases to back up, resolved now. A server that cannot be asked becomes a failed result. */
async function targetsOf(
  context: JobContext,
  names: readonly string[],
  results: BackupResult[],
): Promise<Target[]> {
  const targets: Target[] = [];
  const unmatched = new Set(names);
  for (const server of context.config.server) {
    const startedAtMs = context.clock.monotonicMs();
    try {
      const { chosen, missing } = await databasesOf(context, server);
      const asked = (database: string) => isAskedFor(server, database, names, unmatched);
      for (const database of chosen.filter(asked)) targets.push({ server, database });
      for (const database of missing.filter(asked)) {
        results.push(failedResult(server.name, database, noDatabase(server, database), 0));
        context.log.error("a configured database is not there", { server: server.name, database });
      }
    } catch (error) {
      results.push(failedResult(server.name, null, error, context.clock.monotonicMs() - startedAtMs));
      context.log.error("the databases of a server could not be listed", {
        server: server.name,
        error: messageOf(error),
      });
    }
  }
  if (unmatched.size > 0 && results.length === 0) {
    const list = [...unmatched].map((name) => `"${name}"`).join(", ");
    throw new Pg321Error("usage", `no configured database is named ${list}`, {
      hint: "name it as the server does (case matters), or as SERVER/DATABASE; pg321 check shows what is configured",
    });
  }
  return targets;
}

async function databasesOf(context: JobContext, server: ServerConfig): Promise<DatabaseChoice> {
  await using connection = await connect(endpointOf(server));
  await warnOfSharedDevice(context, connection);
  const choice = chooseDatabases(await listDatabases(connection), server);
  for (const pattern of choice.idle)
    context.log.warning("a pattern matches no database", { server: server.name, pattern });
  return choice;
}

/** Whether the names of the command line, if there are any, ask for a database; takes those that do from `unmatched`. */
function isAskedFor(
  server: ServerConfig,
  database: string,
  names: readonly string[],
  unmatched: Set<string>,
): boolean {
  const matching = [database, `${server.name}/${database}`].filter((name) => names.includes(name));
  for (const name of matching) unmatched.delete(name);
  return names.length === 0 || matching.length > 0;
}

function noDatabase(server: ServerConfig, database: string): Pg321Error {
  return new Pg321Error("database", `server "${server.name}": no database "${database}"`, {
    hint: "check databases in the config: names are case-sensitive; templates and databases that take no connections cannot be dumped",
  });
}

async function backupOne(
  context: JobContext,
  runId: string,
  server: ServerConfig,
  database: string,
): Promise<BackupResult> {
  const { clock, log } = context;
  const startedAtMs = clock.monotonicMs();
  try {
    const { backup, copies } = await backupDatabase(context, runId, server, database);
    const duration_ms = Math.round(clock.monotonicMs() - startedAtMs);
    const { id, status, dump_bytes, object_bytes } = backup;
    log.info("backup done", {
      server: server.name,
      database,
      backup_id: id,
      status,
      duration_ms,
      dump_bytes: dump_bytes ?? 0,
      object_bytes: object_bytes ?? 0,
    });
    return {
      server: server.name,
      database,
      backup_id: id,
      status,
      dump_bytes,
      object_bytes,
      duration_ms,
      copies: copies.map(({ storage, state, error }) => ({ storage, state, error })),
      error: null,
      hint: null,
    };
  } catch (error) {
    log.error("backup failed", { server: server.name, database, error: messageOf(error) });
    return failedResult(server.name, database, error, clock.monotonicMs() - startedAtMs);
  }
}

function failedResult(
  server: string,
  database: string | null,
  cause: unknown,
  durationMs: number,
): BackupResult {
  return {
    server,
    database,
    backup_id: null,
    status: "FAILED",
    dump_bytes: null,
    object_bytes: null,
    duration_ms: Math.round(durationMs),
    copies: [],
    error: messageOf(cause),
    hint: cause instanceof Pg321Error ? (cause.hint ?? null) : null,
    cause,
  };
}

function count(results: readonly BackupResult[]): BackupStatistics {
  const having = (status: BackupStatus) => results.filter((result) => result.status === status).length;
  return {
    databases: results.length,
    verified: having("VERIFIED"),
    partial: having("PARTIAL"),
    failed: having("FAILED"),
  };
}

function outcomeOf({ databases, verified, failed }: BackupStatistics): RunOutcome {
  if (verified === databases) return "OK";
  return failed === databases ? "FAILED" : "PARTIAL";
}

/** Works through the items, at most `limit` at the same time. `work` must not throw. */
async function inParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}
