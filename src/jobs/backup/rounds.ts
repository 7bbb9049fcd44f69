import { messageOf, outsideText, Pg321Error } from "../../base/errors.ts";
import { inParallel } from "../../base/in-parallel.ts";
import { isEndedByHand } from "../../base/text/states.ts";
import type { ServerConfig } from "../../config/config.ts";
import { parseFacts } from "../../postgres/counts/facts.ts";
import { RecoveryConflictError, VanishedError } from "../../postgres/errors.ts";
import { warningsOf } from "../../postgres/program-messages.ts";
import type { JobContext } from "../context.ts";
import { databaseContext } from "../database-context.ts";
import { countingDatabases } from "../progress.ts";
import { PausedReplay } from "../standby/paused-replay.ts";
import { BegunAhead } from "./begun-ahead.ts";
import { backupDatabase } from "./database.ts";
import { withGlobals } from "./globals.ts";
import type { BackupResult, BackupWarning } from "./report.ts";
import { GroupedSnapshots } from "./snapshot-group.ts";
import type { Choice, Target, Untargeted } from "./targets.ts";
import { resolveTargets } from "./targets.ts";

/**
 * The rounds of one run: the first backs up every selected database, each later one those that are worth another attempt.
 * The caller decides whether and when there is a later one.
 */
export class BackupRounds {
  readonly #context: JobContext;
  readonly #runId: string;
  readonly #choice: Choice;
  /** The servers that the next round lists. */
  #servers: readonly ServerConfig[];
  /** The databases of each server with `group = "consistent"` in all rounds. */
  readonly #grouped = new Map<string, Set<string>>();
  /** Final results. */
  readonly #ended: BackupResult[] = [];
  /** Databases that failed in the last round and are worth another attempt. */
  #failed: { target: Target; result: BackupResult }[] = [];
  /** Servers that could not be listed in the last round. */
  #unlisted: Untargeted[] = [];
  /** The servers whose databases have been listed so far. */
  readonly listed: string[] = [];

  constructor(context: JobContext, runId: string, choice: Choice) {
    this.#context = context;
    this.#runId = runId;
    this.#choice = choice;
    this.#servers = context.config.server;
  }

  /** The result of the last attempt for each database. */
  get results(): BackupResult[] {
    const failed = this.#failed.map(({ result }) => result);
    return [...this.#ended, ...failed, ...this.#unlisted.map(untargetedResult)];
  }

  /** Makes one round. Returns whether another one is worthwhile. Throws the signal's reason. */
  async next(): Promise<boolean> {
    const { signal } = this.#context;
    const found = await resolveTargets(this.#context, this.#servers, this.#choice);
    const { targets, untargeted, listed } = found;
    this.listed.push(...listed);
    const again = this.#failed.map(({ target }) => target);
    this.#failed = [];
    const all = [...again, ...withGlobals(targets)];
    const early = BegunAhead.of(this.#context, all);
    // Globals must begin before the dumps of their run, and should not wait while an application stands still.
    const isFirst = ({ server, kind }: Target) =>
      kind === "globals" && early.some((target) => target.server.name === server.name);
    await this.#backUp(all.filter(isFirst));
    const rest = all.filter((target) => !isFirst(target));
    await using ahead = await BegunAhead.begin(this.#context, this.#runId, early);
    const members = rest.filter((target) => !ahead.hasFailed(target));
    await using snapshots = await GroupedSnapshots.open(this.#context, members, this.#grouped);
    await this.#backUp(rest, { ahead, snapshots });
    signal.throwIfAborted();
    const isUnlisted = ({ server }: Untargeted) => !this.listed.includes(server.name);
    this.#unlisted = untargeted.filter(isUnlisted);
    this.#ended.push(...untargeted.filter((one) => !isUnlisted(one)).map(untargetedResult));
    this.#servers = this.#unlisted.map(({ server }) => server);
    return this.#failed.length + this.#unlisted.length > 0;
  }

  async #backUp(targets: readonly Target[], group?: Group): Promise<void> {
    const { config, progress, signal } = this.#context;
    using count = countingDatabases(progress, "backup", targets.filter(isDatabase).length);
    await inParallel(targets, config.dump.max_parallel, async (target) => {
      if (signal.aborted) return;
      const result = await backupUnvanished(this.#context, this.#runId, target, group);
      if (isWorthAnotherTry(result)) this.#failed.push({ target, result });
      else this.#ended.push(result);
      if (isDatabase(target)) count.done();
    });
  }
}

/** What was made for the databases of servers with `group = "consistent"` before the first dump. */
interface Group {
  ahead: BegunAhead;
  snapshots: GroupedSnapshots;
}

function isDatabase({ kind }: Target): boolean {
  return kind !== "globals";
}

/** Whether it failed for a reason other than the config or a key. */
function isWorthAnotherTry({ status, cause }: BackupResult): boolean {
  if (status !== "FAILED") return false;
  return !(cause instanceof Pg321Error && (cause.code === "usage" || cause.code === "key"));
}

function untargetedResult({ server, database, error, duration_ms }: Untargeted): BackupResult {
  return failedResult(server.name, database, error, duration_ms);
}

/**
 * Repeats a dump at once if an object was dropped or changed while it began: the next dump sees the database as it is
 * then. Also if a standby ended it because of a conflict with the replay of WAL, which is then paused if the config
 * allows it.
 */
async function backupUnvanished(
  context: JobContext,
  runId: string,
  target: Target,
  group: Group | undefined,
): Promise<BackupResult> {
  const { retries } = context.config.dump;
  const { server, database } = target;
  let conflicts = false;
  for (let retry = 1; ; retry++) {
    await using _paused =
      conflicts && server.standby.pause_replay ? await PausedReplay.pause(context, server) : undefined;
    const result = await backupOne(context, runId, target, group);
    const why = reasonToRepeat(result);
    if (why === undefined || retry > retries || context.signal.aborted) return result;
    conflicts = result.cause instanceof RecoveryConflictError;
    const fields = { server: server.name, database, retry, retries, error: result.error ?? undefined };
    context.log.warning(`${why}: the dump is repeated`, fields);
  }
}

function reasonToRepeat({ cause }: BackupResult): string | undefined {
  if (cause instanceof VanishedError) return "objects of the database were dropped or changed";
  if (cause instanceof RecoveryConflictError) return "the standby ended the dump to replay WAL";
  return undefined;
}

async function backupOne(
  context: JobContext,
  runId: string,
  target: Target,
  group: Group | undefined,
): Promise<BackupResult> {
  const { clock, log } = context;
  const { server, database } = target;
  const startedAtMs = clock.monotonicMs();
  await using given = new AsyncDisposableStack();
  const snapshot = group?.snapshots.take(target);
  if (snapshot) given.use(snapshot);
  const about = {
    server: server.name,
    ...(target.kind === "globals" ? { kind: target.kind } : { database }),
  };
  try {
    const begun = group?.ahead.take(target);
    const options = { kind: target.kind, snapshot, begun };
    const own = databaseContext(context, server.name, database);
    const {
      backup,
      copies,
      hints,
      warnings: ofHooks,
    } = await backupDatabase(own, runId, server, database, options);
    const duration_ms = Math.round(clock.monotonicMs() - startedAtMs);
    const { id, status, dump_bytes, object_bytes } = backup;
    const ungrouped = group?.snapshots.warningOf(target);
    const by = target.kind === "globals" ? "pg_dumpall" : "pg_dump";
    const warnings: BackupWarning[] = warningsOf(backup.stderr_tail).map((text) => ({ by, text }));
    if (ungrouped !== undefined) warnings.push({ text: ungrouped });
    for (const { text: warning } of warnings)
      log.warning("the dump has a warning", { ...about, backup_id: id, warning });
    // Each failed hook is in the log already.
    warnings.push(...ofHooks.map((text) => ({ text })));
    log.info("backup done", {
      ...about,
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
      copies: copies.map(({ storage, state, error }) => ({
        ...{ storage, state, error },
        hint: error === null ? null : (hints.get(storage) ?? null),
      })),
      warnings,
      standby_lag_ms: parseFacts(backup.facts)?.moment?.lag_ms ?? null,
      error: null,
      hint: null,
    };
  } catch (error) {
    const hint = error instanceof Pg321Error ? error.hint : undefined;
    const text = messageOf(error);
    if (isEndedByHand({ error: text })) log.info("a backup was interrupted by hand", about);
    else log.error("backup failed", { ...about, error: text, hint });
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
    standby_lag_ms: null,
    error: outsideText(cause),
    hint: cause instanceof Pg321Error ? (cause.hint ?? null) : null,
    cause,
  };
}
