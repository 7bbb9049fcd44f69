import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import { plural } from "../../base/text/amounts.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { ClockTrust } from "../../catalog/clock-records.ts";
import { backupName } from "../../catalog/globals.ts";
import type { RunRecord } from "../../catalog/records.ts";
import type { AlertLevel } from "../../config/config.ts";
import type { PlanOutline } from "../../retention/plan.ts";
import type { JobContext } from "../context.ts";
import { shortId } from "../copies/object-key.ts";
import type { GuardedDatabase } from "./expiring-copies.ts";
import type { CleanupTally } from "./report.ts";

/**
 * Keys of cleanup's alerts. At most one of each kind is open; guards have one per database, dates ahead one per backup.
 */
const SUCCESS_KEY = "cleanup succeeded";
const INCOMPLETE_KEY = "cleanup incomplete";
const STOP_KEY = "cleanup stopped";
const GUARD_KEY = "cleanup guard ";
const FUTURE_KEY = "cleanup future ";

/** One alert about the run, one about the stops, and one for each database that a guard protects. */
export async function raiseCleanupAlerts(
  context: JobContext,
  run: RunRecord,
  tally: CleanupTally,
): Promise<void> {
  const about = { job: "cleanup", run_id: run.id, server: null, database: null } as const;
  const level = levelOf(run);
  if (level === "INFO") await resolveAlert(context, INCOMPLETE_KEY, "cleanup did everything that was due");
  const key = level === "INFO" ? SUCCESS_KEY : INCOMPLETE_KEY;
  const metadata = { ...tally.statistics };
  await raiseAlert(context, { ...about, level, key, message: messageFor(run, tally), metadata });
  await alertStops(context, about, tally);
  await alertGuards(context, about, tally);
}

type About = Pick<Parameters<typeof raiseAlert>[1], "job" | "run_id" | "server" | "database">;

function levelOf({ outcome }: RunRecord): AlertLevel {
  if (outcome === "OK") return "INFO";
  return outcome === "FAILED" ? "CRITICAL" : "WARNING";
}

function messageFor(run: RunRecord, tally: CleanupTally): string {
  const { statistics } = tally;
  const removed = tally.total("deleted") + tally.total("archived");
  const hidden = tally.total("hidden");
  const overdue = tally.total("overdue");
  const done = `${plural(removed, "copy", "copies")} and ${plural(statistics.records_deleted, "record")} removed`;
  if (run.outcome === "OK") return `cleanup done: ${done}`;
  const problems = [
    ...(statistics.errors.length > 0
      ? [
          `${plural(statistics.errors.length + statistics.more_errors, "error")}, first: ${statistics.errors[0]?.error}`,
        ]
      : []),
    ...(hidden > 0
      ? [
          `${plural(hidden, "copy is", "copies are")} only hidden and still billed: the key is not allowed to delete versions`,
        ]
      : []),
    ...(overdue > 0
      ? [
          `${plural(overdue, "copy is", "copies are")} still there days after the provider's lifecycle rule was due`,
        ]
      : []),
    ...statistics.suspended,
  ];
  return `cleanup ${run.outcome === "FAILED" ? "failed" : "was incomplete"}: ${done}; ${problems.join("; ")}`;
}

async function alertStops(context: JobContext, about: About, tally: CleanupTally): Promise<void> {
  const { suspended, plan_hash } = tally.statistics;
  if (suspended.length === 0) return resolveAlert(context, STOP_KEY, "cleanup no longer stops");
  await raiseAlert(context, {
    ...about,
    level: "CRITICAL",
    key: STOP_KEY,
    message: `cleanup stopped: ${suspended.join("; ")}; review pg321 cleanup --dry-run, then run pg321 cleanup --confirm ${plan_hash}`,
    metadata: { suspended, plan_hash },
  });
}

async function alertGuards(context: JobContext, about: About, tally: CleanupTally): Promise<void> {
  const guarded = new Map<string, GuardedDatabase>(
    tally.guarded.map((one) => [`${GUARD_KEY}${backupName(one)}`, one]),
  );
  await resolveOthers(
    context,
    GUARD_KEY,
    new Set(guarded.keys()),
    (name) => `retention no longer keeps expired copies of ${name}`,
  );
  for (const [key, { server, database, reason, copies, held }] of guarded) {
    const what = copies === 1 ? "an expired copy" : `${copies} expired copies`;
    const message = `retention keeps ${what} of ${server}/${database}: ${reason}`;
    const metadata = { copies, held };
    await raiseAlert(context, { ...about, server, database, level: "WARNING", key, message, metadata });
  }
}

/** Resolves the open alerts of a kind whose problem no longer exists. */
async function resolveOthers(
  context: JobContext,
  kind: string,
  problems: ReadonlySet<string>,
  resolution: (name: string) => string,
): Promise<void> {
  for (const { key, server, database } of await context.catalog.alerts({ open: true }))
    if (key.startsWith(kind) && !problems.has(key))
      await resolveAlert(context, key, resolution(`${server}/${database}`));
}

/** One alert for each backup dated in the future, except those whose date a person has accepted. */
export async function alertFutureBackups(
  context: JobContext,
  outline: Pick<PlanOutline, "futureDated">,
  clockTrust: ClockTrust | undefined,
): Promise<void> {
  const accepted = clockTrust?.accepted_until ?? "";
  const futureDated = outline.futureDated.filter(({ startedAt }) => startedAt.toISOString() > accepted);
  const keys = new Set(futureDated.map(({ backupId }) => `${FUTURE_KEY}${backupId}`));
  await resolveOthers(
    context,
    FUTURE_KEY,
    keys,
    (name) => `a backup of ${name} is no longer dated in the future`,
  );
  for (const { backupId, server, database, startedAt } of futureDated) {
    const at = startedAt.toISOString();
    await raiseAlert(context, {
      job: "cleanup",
      run_id: null,
      server,
      database,
      level: "WARNING",
      key: `${FUTURE_KEY}${backupId}`,
      message: `backup ${shortId(backupId)} of ${server}/${database} is dated ${timeText(at)}, in the future: this host's clock is wrong now, or was wrong then`,
      metadata: { backup_id: backupId, started_at: at },
    });
  }
}
