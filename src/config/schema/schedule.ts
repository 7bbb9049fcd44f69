import * as v from "valibot";
import type { ScheduleConfig, ScheduleOverride } from "../config.ts";
import { cron, OFF } from "../cron.ts";
import { age, duration, integer, serverDatabaseNames } from "./leaf.ts";
import { NAME } from "./server.ts";
import { list, namedTables, rule, table } from "./table.ts";

const override = v.pipe(
  table("a [[schedule.override]] table", {
    name: NAME,
    databases: list(serverDatabaseNames, 'an array such as ["app", "main/shop_*"]'),
    backup: v.optional(cron()),
    verify: v.optional(cron()),
    restore_test: v.optional(cron()),
  }),
  rule(({ databases, backup, verify, restore_test }, report) => {
    if (Array.isArray(databases) && databases.length === 0)
      report(
        ["databases"],
        'found an empty array, expected at least one name or glob ("main/*" for a server)',
      );
    if (backup === undefined && verify === undefined && restore_test === undefined)
      report(["backup"], "backup, verify and restore_test are all missing, expected at least one of them");
  }),
  v.transform(
    ({ name, databases, backup, verify, restore_test }): ScheduleOverride => ({
      ...{ name, databases, backup, verify, restore_test },
    }),
  ),
);

/** The schedule of restore tests if [restore_test] exists; otherwise it is off. */
const RESTORE_TEST_DEFAULT = "0 7 * * 6";

/** Fills in the default that depends on another table. */
export function withRestoreTests(schedule: GivenSchedule, isConfigured: boolean): ScheduleConfig {
  const restore_test = schedule.restore_test ?? (isConfigured ? RESTORE_TEST_DEFAULT : OFF);
  return { ...schedule, restore_test };
}

type GivenSchedule = Omit<ScheduleConfig, "restore_test"> & { restore_test: string | undefined };

export const scheduleSchema = v.pipe(
  table("the [schedule] table", {
    backup: v.optional(cron(), "0 2 * * *"),
    cleanup: v.optional(cron(), "0 5 * * *"),
    verify: v.optional(cron(), "0 6 * * 0"),
    repair: v.optional(cron(), "30 5 * * *"),
    restore_test: v.optional(cron()),
    override: v.optional(namedTables("schedule.override", override)),
    jitter: v.optional(duration("none"), "0"),
    catch_up: v.optional(age("1m", "never"), "1d"),
    retries: v.optional(integer(0, 20), 2),
    retry_delay: v.optional(duration(), "5m"),
    max_parallel: v.optional(integer(1, 64), 2),
    shutdown_grace: v.optional(duration("none"), "60s"),
  }),
  v.transform(
    ({
      jitter,
      catch_up,
      retry_delay,
      shutdown_grace,
      override,
      restore_test,
      ...schedule
    }): GivenSchedule => ({
      ...schedule,
      restore_test,
      override: override ?? [],
      jitter_ms: jitter,
      catch_up_ms: catch_up,
      retry_delay_ms: retry_delay,
      shutdown_grace_ms: shutdown_grace,
    }),
  ),
);
