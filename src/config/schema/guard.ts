import * as v from "valibot";
import type { GuardConfig } from "../config.ts";
import { age, integer } from "./leaf.ts";
import { table } from "./table.ts";

/** The `[guard]` table. */
export const guardSchema = v.pipe(
  table("the [guard] table", {
    stale_after: v.optional(age("1h")),
    keep: v.optional(integer(1, 1000), 3),
    shrunk_percent: v.optional(integer(0, 99), 50),
  }),
  v.transform(
    ({ stale_after, keep, shrunk_percent }): GuardConfig => ({
      stale_after_ms: stale_after,
      keep,
      shrunk_percent,
    }),
  ),
);
