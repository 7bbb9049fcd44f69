import * as v from "valibot";
import type { CleanupConfig } from "../config.ts";
import { age } from "./leaf.ts";
import { table } from "./table.ts";

/** The `[cleanup]` table. */
export const cleanupSchema = v.pipe(
  table("the [cleanup] table", {
    // The minimum ages leave time for long restores and uploads that are still in progress.
    temp_max_age: v.optional(age("1h"), "1d"),
    upload_max_age: v.optional(age("1d"), "7d"),
    tombstones: v.optional(age("1d", "no history"), "365d"),
    // Reminders, deliveries and the check of the clock need records of several weeks.
    history: v.optional(age("30d"), "365d"),
  }),
  v.transform(
    ({ temp_max_age, upload_max_age, tombstones, history }): CleanupConfig => ({
      temp_max_age_ms: temp_max_age,
      upload_max_age_ms: upload_max_age,
      tombstones_ms: tombstones,
      history_ms: history,
    }),
  ),
);
