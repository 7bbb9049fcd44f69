import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { processIdentity } from "../../base/process/identity.ts";
import type { RunOutcome } from "../../catalog/records.ts";
import type { Repeat } from "../../jobs/backup/backup.ts";
import { runBackup } from "../../jobs/backup/backup.ts";
import { mayMean } from "../../jobs/backup/targets.ts";
import { runCleanup } from "../../jobs/cleanup/cleanup.ts";
import type { JobContext } from "../../jobs/context.ts";
import type { Schedule } from "../../jobs/schedules.ts";
import { runRepair } from "../../jobs/verify/repair.ts";
import { runVerify } from "../../jobs/verify/verify.ts";
import type { Claim } from "../turns.ts";

/** So many runs left out in a row are told. */
const SKIPS_TOLD = 3;

/** What a run of a schedule will work on. */
export async function claimOf(context: JobContext, { job, selects }: Schedule): Promise<Claim> {
  if (job === "verify") return { type: "verify" };
  if (job !== "backup") return { type: "upkeep" };
  const servers = new Set<string>();
  for (const server of context.config.server)
    if (await mayMean(context, server, selects)) servers.add(server.name);
  return { type: "backup", servers };
}

/** Runs the job of a schedule. `repeat` decides how often and when a backup that failed is tried again. */
export async function runScheduled(
  context: JobContext,
  schedule: Schedule,
  repeat: Repeat,
): Promise<RunOutcome> {
  const { job, selects } = schedule;
  const run = async () => {
    switch (job) {
      case "backup": {
        const claim = await claimOf(context, schedule);
        // Such a run may find a new database, but its end says nothing of the job.
        const isPart = claim.type === "backup" && claim.servers.size === 0;
        return runBackup(context, [], { selects, repeat, isPart });
      }
      case "cleanup":
        return runCleanup(context, {});
      case "repair":
        return runRepair(context);
      case "verify": {
        const latest = await context.catalog.overview.latestBackups(context.clock.now());
        const chosen = latest.filter(({ server, database }) => selects(server, database));
        return runVerify(
          context,
          chosen.flatMap(({ good }) => (good === null ? [] : [good.id])),
        );
      }
    }
  };
  return (await run()).run?.outcome ?? "OK";
}

/** Records that a run was due and left out, and tells it once that keeps happening. `skipped`: how many in a row by now. */
export async function recordSkip(
  context: JobContext,
  { name, job }: Schedule,
  dueAt: Date,
  { reason, skipped }: { reason: string; skipped: number },
): Promise<void> {
  const { catalog, clock, host, pid, log } = context;
  const now = clock.now().toISOString();
  const id = crypto.randomUUID();
  await catalog.insertRun({
    id,
    job,
    outcome: "SKIPPED",
    host,
    ...processIdentity(pid),
    started_at: now,
    finished_at: now,
    statistics: null,
    error: reason,
    schedule: name,
    scheduled_for: dueAt.toISOString(),
  });
  log.warning("a run was left out", {
    schedule: name,
    due_at: dueAt.toISOString(),
    reason,
    in_a_row: skipped,
  });
  if (skipped < SKIPS_TOLD) return;
  await raiseAlert(context, {
    level: "WARNING",
    job,
    run_id: id,
    server: null,
    database: null,
    key: alertKey(name),
    message: `${skipped} runs of the schedule "${name}" in a row were left out: ${reason}`,
    metadata: { skipped },
  });
}

/** A run of the schedule has begun. */
export async function endSkips(context: JobContext, { name }: Schedule): Promise<void> {
  await resolveAlert(context, alertKey(name));
}

/** Whether a run that could not even begin may do so later: a catalog that was locked, or a full disk. */
export function mayBeginLater(error: unknown): boolean {
  return error instanceof Pg321Error && !["locked", "usage", "key"].includes(error.code);
}

/** A run could not begin, so that no record tells of it. Never throws. */
export async function alertNoRun(
  context: JobContext,
  { name, job }: Schedule,
  error: unknown,
): Promise<void> {
  await raiseAlert(context, {
    level: "CRITICAL",
    job,
    run_id: null,
    server: null,
    database: null,
    // That of a run that failed: the next one that goes well ends it.
    key: job,
    message: `${job} failed before it began: ${messageOf(error)}`,
    metadata: { schedule: name, hint: error instanceof Pg321Error ? (error.hint ?? null) : null },
  });
}

/** Whether a run could not begin since another process does the same. */
export function isHeldElsewhere(error: unknown): error is Pg321Error {
  return error instanceof Pg321Error && error.code === "locked";
}

function alertKey(name: string): string {
  return `schedule ${name}`;
}
