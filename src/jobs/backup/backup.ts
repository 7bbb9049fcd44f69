import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupStatus, RunOutcome, RunRecord } from "../../catalog/records.ts";
import type { Config, ServerConfig } from "../../config/config.ts";
import { EXAMPLE_RECIPIENT } from "../../config/load.ts";
import { VanishedError } from "../../postgres/errors.ts";
import { warningsOf } from "../../postgres/program-messages.ts";
import type { JobContext } from "../context.ts";
import { reconcile } from "../copies/reconcile.ts";
import { recognizeStorages } from "../identity/storage-identity.ts";
import { recordRun } from "../record-run.ts";
import { alertBackup } from "./alerts.ts";
import { backupDatabase } from "./database.ts";
import type { BackupReport, BackupResult, BackupStatistics } from "./report.ts";
import type { Choice, Selects, Target, Untargeted } from "./targets.ts";
import { resolveTargets } from "./targets.ts";

/** Overrides may leave a schedule without a database. Without a schedule no run comes to this. */
const IDLE = "the schedule has no database to back up";

/** How databases whose backup failed are tried again, within the same run. */
export interface BackupRetry {
  /** How many times after the first. */
  retries: number;
  /** Waits before try `retry` (1 for the first one after the failure). Throws when the run is ended meanwhile. */
  pause: (retry: number) => Promise<void>;
}

export interface BackupOptions {
  /** Which databases it is about; all that are configured where not given. */
  selects?: Selects;
  /** Once only where not given. */
  retry?: BackupRetry;
  /** Not the whole job, for a dead man's switch. */
  isPart?: boolean;
}

/**
 * Backs up every configured database, or those that are named (`app` or `server/app`). One that fails does
 * not stop the others. Throws only when nothing could begin: an unknown name, a recipient whose key is lost.
 */
export async function runBackup(
  context: JobContext,
  names: readonly string[],
  options: BackupOptions = {},
): Promise<BackupReport> {
  refuseLostKey(context.config);
  let results: BackupResult[] = [];
  let listed: string[] = [];
  const { selects = () => true } = options;
  const work = async (run: RunRecord) => {
    const recognized = await recognizeStorages(context, "backup");
    await reconcile(recognized, selects);
    ({ results, listed } = await backUp(recognized, run.id, { names, selects }, options.retry));
    const statistics = count(results);
    return {
      outcome: outcomeOf(statistics),
      statistics,
      error: results.find((result) => result.error)?.error ?? (results.length === 0 ? IDLE : null),
    };
  };
  const isPart = options.isPart === true || names.length > 0;
  const { run } = await recordRun(context, "backup", work, { isPart });
  await alertBackup(context, { run, results, listed });
  return { run, results, listed };
}

/** A backup that nobody can ever open looks like one and is worse than none. Throws code `usage`. */
export function refuseLostKey({ encryption, file }: Pick<Config, "encryption" | "file">): void {
  const { mode, recipients } = encryption;
  if (mode === "none" || recipients.some((recipient) => recipient !== EXAMPLE_RECIPIENT)) return;
  throw new Pg321Error(
    "usage",
    `${file}: encryption.recipients holds only the example's, whose secret key nobody has`,
    { hint: "make your own with pg321 key generate, and put its recipient there" },
  );
}

/** The results of the last try of each. */
async function backUp(
  context: JobContext,
  runId: string,
  choice: Choice,
  retry: BackupRetry | undefined,
): Promise<{ results: BackupResult[]; listed: string[] }> {
  const ended: BackupResult[] = [];
  let round = await resolveTargets(context, context.config.server, choice);
  for (let tries = 1; ; tries++) {
    const failed: { target: Target; result: BackupResult }[] = [];
    await inParallel(round.targets, context.config.dump.max_parallel, async (target) => {
      if (context.signal.aborted) return;
      const result = await backupUnvanished(context, runId, target);
      if (isWorthAnotherTry(result)) failed.push({ target, result });
      else ended.push(result);
    });
    context.signal.throwIfAborted();
    const isUnlisted = ({ server }: Untargeted) => !round.listed.includes(server.name);
    const unlisted = round.untargeted.filter(isUnlisted);
    ended.push(...round.untargeted.filter((one) => !isUnlisted(one)).map(untargetedResult));
    const isOver = !retry || tries > retry.retries || failed.length + unlisted.length === 0;
    if (isOver) {
      const results = [...ended, ...failed.map(({ result }) => result), ...unlisted.map(untargetedResult)];
      return { results, listed: round.listed };
    }
    await retry.pause(tries);
    const servers = unlisted.map(({ server }) => server);
    const again = await resolveTargets(context, servers, choice);
    round = {
      targets: [...failed.map(({ target }) => target), ...again.targets],
      untargeted: again.untargeted,
      listed: [...round.listed, ...again.listed],
    };
  }
}

/** What neither the config nor a key is to blame for. */
function isWorthAnotherTry({ status, cause }: BackupResult): boolean {
  if (status !== "FAILED") return false;
  return !(cause instanceof Pg321Error && (cause.code === "usage" || cause.code === "key"));
}

function untargetedResult({ server, database, error, duration_ms }: Untargeted): BackupResult {
  return failedResult(server.name, database, error, duration_ms);
}

/** What was dropped while a dump began is not there for the next one: no time has to pass before it. */
async function backupUnvanished(
  context: JobContext,
  runId: string,
  { server, database }: Target,
): Promise<BackupResult> {
  const { retries } = context.config.dump;
  for (let retry = 1; ; retry++) {
    const result = await backupOne(context, runId, server, database);
    if (!(result.cause instanceof VanishedError) || retry > retries || context.signal.aborted) return result;
    const fields = { server: server.name, database, retry, retries };
    context.log.warning(
      "something was dropped while pg_dump read the catalog: the dump is made again",
      fields,
    );
  }
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
    const warnings = warningsOf(backup.stderr_tail);
    for (const warning of warnings)
      log.warning("pg_dump warned", { server: server.name, database, backup_id: id, warning });
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
      warnings,
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
    warnings: [],
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
  if (databases === 0) return "IDLE";
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
