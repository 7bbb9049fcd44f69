import * as v from "valibot";
import type { ScheduleConfig, ScheduleOverride } from "../config.ts";
import { cron } from "../cron.ts";
import { age, duration, integer, serverDatabaseNames } from "./leaf.ts";
import { NAME } from "./server.ts";
import { list, namedTables, rule, table } from "./table.ts";

const override = v.pipe(
  table("a [[schedule.override]] table", {
    name: NAME,
    databases: list(serverDatabaseNames, 'an array such as ["app", "main/shop_*"]'),
    backup: v.optional(cron()),
    verify: v.optional(cron()),
  }),
  rule(({ databases, backup, verify }, report) => {
    if (Array.isArray(databases) && databases.length === 0)
      report(
        ["databases"],
        'found an empty array, expected at least one name or glob ("main/*" for a server)',
      );
    if (backup === undefined && verify === undefined)
      report(["backup"], "backup and verify are both missing, expected at least one of them");
  }),
  v.transform(
    ({ name, databases, backup, verify }): ScheduleOverride => ({ name, databases, backup, verify }),
  ),
);

export const scheduleSchema = v.pipe(
  table("the [schedule] table", {
    backup: v.optional(cron(), "0 2 * * *"),
    cleanup: v.optional(cron(), "0 5 * * *"),
    verify: v.optional(cron(), "0 6 * * 0"),
    repair: v.optional(cron(), "30 5 * * *"),
    override: v.optional(namedTables("schedule.override", override)),
    jitter: v.optional(duration("none"), "0"),
    catch_up: v.optional(age("1m", "never"), "1d"),
    retries: v.optional(integer(0, 20), 2),
    retry_delay: v.optional(duration(), "5m"),
    max_parallel: v.optional(integer(1, 64), 2),
    shutdown_grace: v.optional(duration("none"), "60s"),
  }),
  v.transform(
    ({ jitter, catch_up, retry_delay, shutdown_grace, override, ...schedule }): ScheduleConfig => ({
      ...schedule,
      override: override ?? [],
      jitter_ms: jitter,
      catch_up_ms: catch_up,
      retry_delay_ms: retry_delay,
      shutdown_grace_ms: shutdown_grace,
    }),
  ),
);
