import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { processIdentity } from "../../base/process/identity.ts";
import type { RunOutcome } from "../../catalog/records.ts";
import type { Repeat } from "../../jobs/backup/backup.ts";
import { runBackup } from "../../jobs/backup/backup.ts";
import { mayMean } from "../../jobs/backup/targets.ts";
import { adoptBackups } from "../../jobs/cleanup/adopt-backups.ts";
import { runCleanup } from "../../jobs/cleanup/cleanup.ts";
import type { JobContext } from "../../jobs/context.ts";
import { runRestoreTests } from "../../jobs/restore-test/restore-test.ts";
import type { Schedule } from "../../jobs/schedules.ts";
import { byUrgency } from "../../jobs/verify/budget.ts";
import { runRepair } from "../../jobs/verify/repair.ts";
import type { VerifyReport } from "../../jobs/verify/report.ts";
import { runVerify } from "../../jobs/verify/verify.ts";
import { collectGarbage } from "../../stream/garbage-collection.ts";
import type { Claim } from "../turns.ts";
import { takeSlots } from "./slots.ts";

/** The number of runs skipped in a row that raises an alert. */
const SKIPS_ALERTED = 3;

/** The claim of a run of a schedule. */
export async function claimOf(context: JobContext, { job, selects }: Schedule): Promise<Claim> {
  if (job === "verify" || job === "restore-test") return { type: "verify" };
  if (job !== "backup") return { type: "upkeep" };
  return { type: "backup", servers: await serversOf(context, selects) };
}

/** Whether a schedule may have a database of the config in force. */
export async function selectsAny(context: JobContext, { selects }: Schedule): Promise<boolean> {
  return (await serversOf(context, selects)).size > 0;
}

async function serversOf(context: JobContext, selects: Schedule["selects"]): Promise<Set<string>> {
  const servers = new Set<string>();
  for (const server of context.config.server)
    if (await mayMean(context, server, selects)) servers.add(server.name);
  return servers;
}

/** Runs the job of a schedule. `repeat` decides how often and when a failed backup is retried. */
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
        const servers = claim.type === "backup" ? claim.servers : new Set<string>();
        const taken = await takeSlots(context, servers);
        // A run without databases may still find a new one, but its outcome says nothing about the job.
        const isPart = servers.size === 0 || taken.isElsewhere;
        const isOurs: Schedule["selects"] = (server, database) =>
          taken.has(server) && selects(server, database);
        return runBackup(context, [], { selects: isOurs, repeat, isPart, idle: taken.why });
      }
      case "cleanup":
        return runCleanup(context, {});
      case "repair": {
        const report = await runRepair(context);
        await report.results[Symbol.asyncDispose]();
        return report;
      }
      case "restore-test":
        return runRestoreTests(context, {
          selects,
          ...(context.config.restore_test.adopt && { adopt: adoptBackups }),
        });
      case "verify": {
        const report = await verifyChosen(context, selects);
        await report.verdicts[Symbol.asyncDispose]();
        return report;
      }
    }
  };
  try {
    return (await run()).run?.outcome ?? "OK";
  } finally {
    collectGarbage();
  }
}

async function verifyChosen(context: JobContext, selects: Schedule["selects"]): Promise<VerifyReport> {
  const bytes = context.config.verify.bytes_per_run_bytes;
  if (bytes > 0) return runVerify(context, byUrgency(context, selects), { limit: { bytes } });
  const latest = await context.catalog.overview.latestBackups(context.clock.now());
  const chosen = latest.filter(({ server, database }) => selects(server, database));
  return runVerify(
    context,
    chosen.flatMap(({ good }) => (good === null ? [] : [good.id])),
  );
}

/** Records a skipped run; raises an alert from the third in a row on. `skipped`: how many in a row, this one included. */
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
    ...(catalog.isShared && { host_id: null }),
    started_at: now,
    finished_at: now,
    statistics: null,
    error: reason,
    schedule: name,
    scheduled_for: dueAt.toISOString(),
  });
  log.warning("a run was skipped", {
    schedule: name,
    due_at: dueAt.toISOString(),
    reason,
    in_a_row: skipped,
  });
  if (skipped < SKIPS_ALERTED) return;
  await raiseAlert(context, {
    level: "WARNING",
    job,
    run_id: id,
    server: null,
    database: null,
    key: alertKey(name),
    message: `${skipped} runs of the schedule "${name}" in a row were skipped: ${reason}`,
    metadata: {
      skipped,
      hint: "see with pg321 status how long its runs take, and leave more time between them in the config",
    },
  });
}

/** Resolves the alert about skipped runs: a run of the schedule has started. */
export async function endSkips(context: JobContext, { name }: Schedule): Promise<void> {
  await resolveAlert(context, alertKey(name), `the schedule "${name}" runs again`);
}

/** Whether a run that could not start may be able to later: the catalog was busy, or the disk was full. */
export function mayBeginLater(error: unknown): boolean {
  return error instanceof Pg321Error && !["locked", "usage", "key"].includes(error.code);
}

/** Raises an alert about a run that could not start and so has no record. Never throws. */
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
    // The same key as for a failed run: the next good run resolves it.
    key: job,
    message: `${job} could not start: ${messageOf(error)}`,
    metadata: { schedule: name, hint: error instanceof Pg321Error ? (error.hint ?? null) : null },
  });
}

/** Whether a run could not start because another process holds the lease. */
export function isHeldElsewhere(error: unknown): error is Pg321Error {
  return error instanceof Pg321Error && error.code === "locked";
}

function alertKey(name: string): string {
  return `schedule ${name}`;
}
