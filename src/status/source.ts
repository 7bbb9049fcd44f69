import type { CopyTotal, Standing, StorageRecord } from "../catalog/overview.ts";
import type { LockProbeRecord } from "../catalog/records.ts";
import type { TestStanding } from "../catalog/restore-tests.ts";
import type { JobContext } from "../jobs/context.ts";
import { type Ownership, ownershipOf } from "../jobs/ownership.ts";
import type { TimetableEntry } from "../jobs/schedules.ts";

/** What a report is made from. It reads only the settings of the storages and sends them no request. */
export type StatusSource = Pick<
  JobContext,
  "catalog" | "config" | "storages" | "clock" | "host" | "installation"
>;

/** A schedule and its next run; null if it never runs again. */
export interface TimedSchedule extends TimetableEntry {
  nextRunAt: string | null;
}

/** The records that several parts of a report look at, read once for all of them. */
export interface ReportRecords {
  now: Date;
  ownership: Ownership;
  /** Of every database, and of the globals of servers. */
  latest: readonly Standing[];
  totals: readonly CopyTotal[];
  tests: readonly TestStanding[];
  /** `LockProbes.latest` */
  probes: readonly LockProbeRecord[];
  storages: readonly StorageRecord[];
}

/** Rejects as `Catalog` does. */
export async function readRecords(
  source: Pick<StatusSource, "catalog" | "clock" | "config" | "host">,
  now: Date,
): Promise<ReportRecords> {
  const { overview, restoreTests, lockProbes } = source.catalog;
  return {
    now,
    ownership: await ownershipOf(source),
    latest: await overview.standings(now),
    totals: await overview.copyTotals(now),
    tests: await restoreTests.standings(),
    probes: await lockProbes.latest(),
    storages: await overview.storages(),
  };
}
