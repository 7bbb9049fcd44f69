import { isDeepStrictEqual } from "node:util";
import type { ShrinkMetadata } from "../../alerts/shrink.ts";
import { DAY_MS } from "../../base/limits.ts";
import type { RetainedSnapshot } from "../../catalog/catalog.ts";
import type { ClockTrust } from "../../catalog/clock-records.ts";
import type { RetainedBackupRecord } from "../../catalog/records.ts";
import type { Config, StorageConfig } from "../../config/config.ts";
import { keepIn } from "../../config/database/settings.ts";
import { clockSuspicion } from "../../retention/clock-suspicion.ts";
import type {
  PlanOutline,
  RetainedBackup,
  RetainedCopy,
  RetainingStorage,
  RetentionDecision,
  RetentionRules,
} from "../../retention/plan.ts";
import { RetentionPlanner, RetentionSurvey } from "../../retention/plan.ts";
import { endOf, hasBucketRule, lockEndInForce } from "../../storage/immutability.ts";
import { askForTheTime, clockFacts, trustAfter } from "../clock-facts.ts";
import type { JobContext } from "../context.ts";
import { lockRules } from "../copies/locks.ts";
import { type Ownership, ownershipOf, ownPages } from "../ownership.ts";
import { timetableOf } from "../schedules.ts";
import { ExpiringCopies } from "./expiring-copies.ts";
import { staleAfterMs } from "./stale-after.ts";

/** A plan for all backups in a snapshot. Its decisions are computed when they are read, and not kept. */
export interface CleanupPlan {
  outline: PlanOutline;
  /** Why the clock is not trusted; undefined if it is. */
  clockSuspicion: string | undefined;
  /** The trust in the clock that a run records for later ones; undefined if nothing is known. */
  clockTrust: ClockTrust | undefined;
  rules: RetentionRules;
  /** Only what is this host's is planned. */
  ownership: Ownership;
  toBackup: (record: RetainedBackupRecord) => RetainedBackup;
  /** For each database with an open alert about shrinking: when its first small dump began. */
  shrunk: ReadonlyMap<string, string>;
  snapshot: RetainedSnapshot;
}

/**
 * Plans every backup of a snapshot that belongs to this host. `onDecisions` gets them page by page, all of a backup at once,
 * before the outline is complete: a copy that expires may still be kept by a stop. `open` opens the snapshot, which the
 * caller closes, once all else has been read: its session waits for no other one, of which a pooler may have no more left
 * if many hosts plan at once.
 */
export async function planCleanup(
  context: JobContext,
  open: () => Promise<RetainedSnapshot>,
  options: { confirm?: string | undefined; runId?: string },
  onDecisions: (decisions: readonly RetentionDecision[]) => void | Promise<void> = () => {},
): Promise<CleanupPlan> {
  const { catalog, config } = context;
  const facts = await clockFacts(context, await askForTheTime(context), options.runId);
  const suspicion = clockSuspicion(facts);
  const trust = await catalog.clockRecords.trust();
  const { now } = facts;
  const places = (await catalog.overview.databases()).filter(({ gone_at }) => gone_at === null);
  const rules: RetentionRules = {
    now,
    timezone: config.timezone,
    storages: config.storage.map(retainingStorage),
    keepOf: keepsOf(config),
    lockHorizonMs: lockHorizonMs(config, now),
    guard: {
      staleAfterMs: (server, database) => staleAfterMs(config, { server, database }, now, places),
      keep: config.guard.keep,
    },
    clockSuspicion: suspicion,
    confirmedPlanHash: options.confirm,
  };
  // A storage that is no longer in the config cannot be asked, so its copies do not count.
  const storages = new Map(context.storages.map(({ name, settings }) => [name, settings]));
  const ownership = await ownershipOf(context);
  const shrunk = await shrunkSince(context);
  const toBackup = (record: RetainedBackupRecord) => retainedBackup(record, storages, shrunk);
  const survey = new RetentionSurvey(rules);
  const snapshot = await open();
  for await (const records of ownPages(ownership, snapshot.backups())) {
    context.signal.throwIfAborted();
    await onDecisions(records.flatMap((record) => survey.add(toBackup(record))));
  }
  const outline = survey.end();
  const clockTrust = trustAfter(trust, facts, suspicion === undefined, outline.isConfirmed);
  return { outline, clockSuspicion: suspicion, clockTrust, rules, ownership, toBackup, shrunk, snapshot };
}

/**
 * Plans a run and collects what it needs; the snapshot is closed then. Dispose of `going`. Plans again if a dump has
 * shrunk since the alerts were read, which the snapshot may show.
 */
export async function planRun(
  context: JobContext,
  runId: string,
  { confirm }: { confirm?: string | undefined },
): Promise<{ plan: CleanupPlan; going: ExpiringCopies }> {
  for (;;) {
    await using opened = new AsyncDisposableStack();
    const going = opened.use(new ExpiringCopies(context));
    const plan = await planAtOneMoment(context, { confirm, runId }, (decisions) => going.add(decisions));
    if (!isDeepStrictEqual(await shrunkSince(context), plan.shrunk)) continue;
    going.complete(plan.outline);
    opened.move();
    return { plan, going };
  }
}

/** As `planCleanup`, for a plan whose decisions are not read again. */
export async function planAtOneMoment(
  context: JobContext,
  options: { confirm?: string | undefined; runId: string },
  onDecisions?: (decisions: readonly RetentionDecision[]) => Promise<void>,
): Promise<CleanupPlan> {
  await using opened = new AsyncDisposableStack();
  const open = async () => opened.use(await context.catalog.retained());
  return await planCleanup(context, open, options, onDecisions);
}

/** Every final decision of a plan whose snapshot is open: by server and database, newest backup first, by storage. */
export async function* decisionsOf({
  outline,
  rules,
  ownership,
  toBackup,
  snapshot,
}: CleanupPlan): AsyncGenerator<RetentionDecision[]> {
  const planner = new RetentionPlanner(rules);
  for await (const records of ownPages(ownership, snapshot.backups()))
    yield records.flatMap((record) => planner.decide(toBackup(record)).map(outline.finalDecision));
}

function retainedBackup(
  record: RetainedBackupRecord,
  storages: ReadonlyMap<string, StorageConfig>,
  shrunk: ReadonlyMap<string, string>,
): RetainedBackup {
  const { id, server, database, status, started_at, held_at, hold_until, hold_reason, copies } = record;
  return {
    id,
    server,
    database,
    startedAt: new Date(started_at),
    isGood: status === "VERIFIED" || status === "PARTIAL",
    isHeld: held_at !== null,
    heldUntil: hold_until === null ? undefined : new Date(hold_until),
    ...(hold_reason !== null && { heldFor: hold_reason }),
    ...(record.is_needed && { isNeeded: true }),
    shrinkSuspect: started_at < (shrunk.get(databaseKey(server, database)) ?? ""),
    copies: copies
      .filter(({ storage }) => storages.has(storage))
      .map((copy) => ({
        storage: copy.storage,
        isConfirmed: copy.state === "CONFIRMED",
        ...lockFacts(copy, storages.get(copy.storage)),
        bytes: copy.object_bytes ?? 0,
      })),
  };
}

/** Until when the storage refuses to delete a copy: by its lock, or by the rule of its bucket. */
function lockFacts(
  copy: RetainedBackupRecord["copies"][number],
  settings: StorageConfig | undefined,
): Pick<RetainedCopy, "lockedUntil" | "lockedBy" | "isLockWeak"> {
  if (settings === undefined) return {};
  const lockEnd = lockEndInForce(settings, copy);
  const wantsCompliance = settings.type === "s3" && settings.lock?.mode === "compliance";
  const isLockWeak = wantsCompliance && copy.lock_mode === "governance" && copy.lock_error === null;
  if (lockEnd !== null) return { lockedUntil: new Date(lockEnd), isLockWeak };
  if (!hasBucketRule(settings)) return {};
  return { lockedUntil: endOf(settings, copy), lockedBy: "a rule of the bucket" };
}

/** Undefined if no database has keep rules of its own. */
function keepsOf(config: Config): RetentionRules["keepOf"] {
  if (!config.database.some(({ keep }) => keep !== undefined)) return undefined;
  const settings = new Map(config.storage.map((storage) => [storage.name, storage]));
  return (server, database, name) => {
    const storage = settings.get(name);
    if (storage === undefined) throw new Error(`no storage ${name}`);
    return keepIn(config, storage, server, database);
  };
}

function retainingStorage(settings: StorageConfig): RetainingStorage {
  const { name, off_site, keep, expire } = settings;
  const lock = settings.type === "s3" ? settings.lock : undefined;
  return {
    name,
    offSite: off_site,
    expire: expire !== "provider-lifecycle",
    keep,
    lock: lock && lockRules(lock),
  };
}

/** Runs are missed: a lock must last beyond the next two. */
const RUNS_AHEAD = 2;

/** The time after which the next cleanup has certainly run. */
function lockHorizonMs(config: Config, now: Date): number {
  const interval = timetableOf(config, now).find(({ job }) => job === "cleanup")?.intervalMs ?? DAY_MS;
  return Math.max(DAY_MS, interval * RUNS_AHEAD);
}

/** For each database with an open alert about shrinking: when its first small dump began. */
async function shrunkSince({ catalog }: JobContext): Promise<Map<string, string>> {
  const since = new Map<string, string>();
  for (const { server, database, metadata } of await catalog.alerts({ unacknowledged: true })) {
    const { shrunk_at } = metadata as Partial<ShrinkMetadata>;
    if (server === null || database === null || shrunk_at === undefined) continue;
    const key = databaseKey(server, database);
    if (shrunk_at < (since.get(key) ?? "\uffff")) since.set(key, shrunk_at);
  }
  return since;
}

function databaseKey(server: string, database: string): string {
  return `${server}/${database}`;
}
