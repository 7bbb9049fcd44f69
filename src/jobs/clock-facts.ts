import { DAY_MS } from "../base/limits.ts";
import { believedUntil } from "../base/newest-good.ts";
import type { ClockTrust } from "../catalog/clock-records.ts";
import type { BackupRecord } from "../catalog/records.ts";
import type { ClockFacts } from "../retention/clock-suspicion.ts";
import type { JobContext } from "./context.ts";
import { ownershipOf } from "./ownership.ts";
import { timetableOf } from "./schedules.ts";

const SILENCE_MS_MAX = 7 * DAY_MS;
/** A silence of this many intervals of the most frequent schedule is normal: each of its runs is recorded. */
const SILENT_INTERVALS = 2;
/** Backups read at once. */
const PAGE = 100;

/** What the clock is judged with. */
type ClockContext = Pick<JobContext, "catalog" | "clock" | "config" | "host" | "storages">;

/**
 * Sends one small request to each S3 storage, for the `Date` of its reply: the clock may have jumped since an earlier
 * reply. A failed request is ignored. Returns the time of the requests, in monotonic milliseconds.
 */
export async function askForTheTime({ catalog, clock, storages, signal }: JobContext): Promise<number> {
  const askedAtMs = clock.monotonicMs();
  const [anyBackup] = await catalog.backups({ limit: 1 });
  if (!anyBackup) return askedAtMs;
  await Promise.all(
    storages.map(async (storage) => {
      if (storage.settings.type === "s3")
        await storage.head("clock", signal).catch(() => signal.throwIfAborted());
    }),
  );
  return askedAtMs;
}

/** The facts that the clock is judged by. `runId`: the current run, whose own record proves nothing. */
export async function clockFacts(
  context: ClockContext,
  askedAtMs: number,
  runId?: string,
): Promise<ClockFacts> {
  const { catalog, clock, config, storages } = context;
  const now = clock.now();
  const trust = await catalog.clockRecords.trust();
  const silenceMsMax = silenceMsMaxOf(config, now);
  // Other hosts' records from later than this have their dates from a clock that is ahead.
  const serverTime = believedUntil(await catalog.leaseTime(clock));
  const until = serverTime < now ? serverTime : now;
  const first = trust ? undefined : earlier(await catalog.clockRecords.first(runId), serverTime);
  return {
    now,
    s3Dates: storages.flatMap((storage) => {
      const skewMs = storage.clockSkewMs(askedAtMs);
      if (skewMs === undefined) return [];
      return { storage: storage.name, date: new Date(now.getTime() - skewMs), receivedAt: now };
    }),
    trustedAt: trust && new Date(trust.trusted_at),
    ahead: await newestAhead(context, now, trust?.accepted_until ?? ""),
    reachesTo: await reachOfRecords(catalog.clockRecords, trust?.trusted_at ?? first, {
      until,
      silenceMsMax,
    }),
    silenceMsMax,
  };
}

/**
 * The trust to record after this judgement; `known` is the one before it. A person's confirmation is trusted from then on,
 * including dates ahead; if it contradicts the time of a storage, it holds for one plan only.
 */
export function trustAfter(
  known: ClockTrust | undefined,
  { now, s3Dates, ahead, reachesTo }: ClockFacts,
  isTrusted: boolean,
  isConfirmed: boolean,
): ClockTrust | undefined {
  const accepted_until = known?.accepted_until ?? null;
  if (isTrusted) return { trusted_at: now.toISOString(), accepted_until };
  if (isConfirmed && s3Dates.length === 0)
    return {
      trusted_at: now.toISOString(),
      accepted_until: ahead?.startedAt.toISOString() ?? accepted_until,
    };
  // The first judgement is a suspicion: the next one must not start from the record of the stopped run itself.
  return known ?? (reachesTo && { trusted_at: reachesTo.toISOString(), accepted_until });
}

/**
 * The newest backup of this host that is dated ahead of the clock, and later than a person has accepted. Those of other
 * hosts have their dates from other clocks, and are not in the plans of this one.
 */
async function newestAhead(
  context: ClockContext,
  now: Date,
  acceptedUntil: string,
): Promise<ClockFacts["ahead"]> {
  const believed = believedUntil(now).toISOString();
  const startedAfter = believed > acceptedUntil ? believed : acceptedUntil;
  const page = (after?: BackupRecord) =>
    context.catalog.backups({ startedAfter, limit: PAGE, ...(after && { after }) });
  let backups = await page();
  if (backups.length === 0) return undefined;
  const { owns } = await ownershipOf(context);
  for (; backups.length > 0; backups = await page(backups.at(-1)))
    for (const backup of backups) {
      const startedAt = new Date(backup.started_at);
      if (!Number.isNaN(startedAt.getTime()) && owns(backup)) return { ...backup, startedAt };
    }
  return undefined;
}

function earlier(time: string | undefined, limit: Date): string | undefined {
  return time !== undefined && time > limit.toISOString() ? limit.toISOString() : time;
}

async function reachOfRecords(
  records: JobContext["catalog"]["clockRecords"],
  from: string | undefined,
  { until, silenceMsMax }: { until: Date; silenceMsMax: number },
): Promise<Date | undefined> {
  let reach = from;
  for (;;) {
    if (reach === undefined) return undefined;
    const untilMs = Math.min(Date.parse(reach) + silenceMsMax, until.getTime());
    const next = await records.lastBy(new Date(untilMs).toISOString());
    if (next === undefined || next <= reach) return new Date(reach);
    reach = next;
  }
}

/** If every schedule is rare, long silences between runs are normal. */
function silenceMsMaxOf(config: JobContext["config"], now: Date): number {
  const intervals = timetableOf(config, now).flatMap(({ intervalMs }) => intervalMs ?? []);
  if (intervals.length === 0) return SILENCE_MS_MAX;
  return Math.max(SILENCE_MS_MAX, SILENT_INTERVALS * Math.min(...intervals));
}
