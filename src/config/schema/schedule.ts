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
const VERIFY_DEFAULT = "0 6 * * 0";

/** Jobs that belong to the host that makes the backups, and their default there. */
const OWNER_DEFAULTS = { backup: "0 2 * * *", cleanup: "0 5 * * *", repair: "30 5 * * *" } as const;
export const OWNER_JOBS = Object.keys(OWNER_DEFAULTS) as (keyof typeof OWNER_DEFAULTS)[];

/** Fills in the defaults that depend on other tables. `isOwner`: this host makes backups. */
export function withDefaults(
  schedule: GivenSchedule,
  { isOwner, testsRestores }: { isOwner: boolean; testsRestores: boolean },
): ScheduleConfig {
  const { backup, cleanup, repair, verify, restore_test } = schedule;
  const owned = (job: keyof typeof OWNER_DEFAULTS) => (isOwner ? OWNER_DEFAULTS[job] : OFF);
  return {
    ...schedule,
    backup: backup ?? owned("backup"),
    cleanup: cleanup ?? owned("cleanup"),
    verify: verify ?? (isOwner ? VERIFY_DEFAULT : OFF),
    repair: repair ?? owned("repair"),
    restore_test: restore_test ?? (testsRestores ? RESTORE_TEST_DEFAULT : OFF),
  };
}

type Defaulted = "backup" | "cleanup" | "verify" | "repair" | "restore_test";
type GivenSchedule = Omit<ScheduleConfig, Defaulted> & Record<Defaulted, string | undefined>;

export const scheduleSchema = v.pipe(
  table("the [schedule] table", {
    backup: v.optional(cron()),
    cleanup: v.optional(cron()),
    verify: v.optional(cron()),
    repair: v.optional(cron()),
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
      backup,
      cleanup,
      verify,
      repair,
      restore_test,
      ...schedule
    }): GivenSchedule => ({
      ...schedule,
      ...{ backup, cleanup, verify, repair, restore_test },
      override: override ?? [],
      jitter_ms: jitter,
      catch_up_ms: catch_up,
      retry_delay_ms: retry_delay,
      shutdown_grace_ms: shutdown_grace,
    }),
  ),
);
