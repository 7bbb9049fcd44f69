import type { AlertRecord, RetainedBackupRecord } from "../catalog/catalog.ts";
import type { ClockFacts } from "../retention/clock-suspicion.ts";
import { clockSuspicion } from "../retention/clock-suspicion.ts";
import type { RetainedBackup, RetentionPlan } from "../retention/plan.ts";
import { planRetention } from "../retention/plan.ts";
import type { JobContext } from "./context.ts";
import type { ShrinkMetadata } from "./shrink.ts";

const DAY_MS = 86_400_000;
/** Without a schedule that says more. */
const STALE_AFTER_MS = 3 * DAY_MS;

/** The plan for everything that the catalog knows now, and why its clock is not trusted, if it is not. */
export async function planCleanup(
  context: JobContext,
  options: { confirm?: string | undefined; runId?: string },
): Promise<{ plan: RetentionPlan; clockSuspicion: string | undefined }> {
  const { catalog, clock, config } = context;
  const records = await catalog.retainedBackups();
  await askForTheTime(context, records);
  const suspicion = clockSuspicion(await clockFacts(context, options.runId));
  const shrunk = shrunkSince(await catalog.alerts({ unacknowledged: true }));
  const plan = planRetention({
    now: clock.now(),
    timezone: config.timezone,
    storages: config.storage.map(({ name, off_site, keep, expire }) => ({
      name,
      offSite: off_site,
      expire: expire !== "provider-lifecycle",
      keep,
    })),
    guard: { staleAfterMs: () => config.guard.stale_after_ms ?? STALE_AFTER_MS, keep: config.guard.keep },
    backups: retainedBackups(context, records, shrunk),
    clockSuspicion: suspicion,
    confirmedPlanHash: options.confirm,
  });
  return { plan, clockSuspicion: suspicion };
}

function retainedBackups(
  context: Pick<JobContext, "storages">,
  records: readonly RetainedBackupRecord[],
  shrunk: ReadonlyMap<string, string>,
): RetainedBackup[] {
  // A storage that the config does not name any more cannot be asked, and so nothing is known of it.
  const names = new Set(context.storages.map(({ name }) => name));
  return records.map(({ id, server, database, status, started_at, held_at, hold_until, copies }) => ({
    id,
    server,
    database,
    startedAt: new Date(started_at),
    isGood: status === "VERIFIED" || status === "PARTIAL",
    isHeld: held_at !== null,
    heldUntil: hold_until === null ? undefined : new Date(hold_until),
    shrinkSuspect: started_at < (shrunk.get(databaseKey(server, database)) ?? ""),
    copies: copies
      .filter(({ storage }) => names.has(storage))
      .map(({ storage, state, locked_until, object_bytes }) => ({
        storage,
        isConfirmed: state === "CONFIRMED",
        lockedUntil: locked_until === null ? undefined : new Date(locked_until),
        bytes: object_bytes ?? 0,
      })),
  }));
}

/** The earliest backup of each database that an alert calls suddenly smaller. */
function shrunkSince(alerts: readonly AlertRecord[]): Map<string, string> {
  const since = new Map<string, string>();
  for (const { server, database, metadata } of alerts) {
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

/** One small request to each S3 storage, for the `Date` of its reply. One that fails tells nothing. */
async function askForTheTime(
  { storages, signal }: JobContext,
  records: readonly RetainedBackupRecord[],
): Promise<void> {
  if (records.length === 0) return;
  await Promise.all(
    storages.map(async (storage) => {
      if (storage.type === "s3" && storage.clockSkewMs() === undefined)
        await storage.head("clock", signal).catch(() => signal.throwIfAborted());
    }),
  );
}

async function clockFacts({ catalog, clock, storages }: JobContext, runId?: string): Promise<ClockFacts> {
  const now = clock.now();
  const [newest] = await catalog.backups({ limit: 1 });
  const good = await catalog.backups({ status: ["VERIFIED", "PARTIAL"], limit: 100 });
  const newestGood = good.find(({ started_at }) => started_at <= now.toISOString());
  const cleanups = await catalog.runs({ job: "cleanup", limit: 100 });
  const lifted = cleanups.find(({ statistics }) => statistics?.["confirmed"] === true);
  const suspended = cleanups.find(({ statistics }) => isSuspended(statistics));
  const runs = (await catalog.runs({ limit: 100 })).filter(({ id }) => id !== runId);
  const lastActivity = runs.find(({ statistics }) => !isSuspended(statistics));
  return {
    now,
    s3Dates: storages.flatMap((storage) => {
      const skewMs = storage.clockSkewMs();
      if (skewMs === undefined) return [];
      return { storage: storage.name, date: new Date(now.getTime() - skewMs), receivedAt: now };
    }),
    newestRecord: newestOf(newest?.finished_at ?? newest?.started_at, runs[0]?.started_at),
    lastActivity: dateOf(lastActivity?.finished_at ?? lastActivity?.started_at),
    lastSuspended:
      lifted && suspended && lifted.started_at > suspended.started_at
        ? undefined
        : dateOf(suspended?.started_at),
    newestGood: dateOf(newestGood?.started_at),
  };
}

function isSuspended(statistics: Record<string, unknown> | null): boolean {
  return statistics?.["clock_suspected"] === true && statistics["confirmed"] !== true;
}

function newestOf(...times: (string | undefined)[]): Date | undefined {
  return dateOf(
    times
      .filter((time) => time !== undefined)
      .sort()
      .at(-1),
  );
}

function dateOf(time: string | null | undefined): Date | undefined {
  return time === undefined || time === null ? undefined : new Date(time);
}
