import * as v from "valibot";
import type { DumpConfig } from "../dump-config.ts";
import { boolean, choice, duration, integer, size } from "./leaf.ts";
import { table } from "./table.ts";

/** The `[dump]` table. */
export const dumpSchema = v.pipe(
  table("the [dump] table", {
    max_duration: v.optional(duration("no limit"), "0"),
    stall_timeout: v.optional(duration(), "5m"),
    run_timeout: v.optional(duration(), "24h"),
    nice: v.optional(integer(-20, 19), 10),
    io_class: v.optional(choice(["idle", "best-effort", "none"]), "best-effort"),
    max_parallel: v.optional(integer(1, 64), 1),
    jobs: v.optional(integer(1, 64), 1),
    lock_wait_timeout: v.optional(duration(), "5m"),
    retries: v.optional(integer(0, 20), 2),
    counts: v.optional(boolean(), true),
    count_grace: v.optional(duration(), "30s"),
    count_max_bytes: v.optional(size("no limit"), "100GiB"),
  }),
  v.transform(
    ({ nice, io_class, max_parallel, jobs, retries, counts, count_max_bytes, ...dump }): DumpConfig => ({
      max_duration_ms: dump.max_duration,
      stall_timeout_ms: dump.stall_timeout,
      run_timeout_ms: dump.run_timeout,
      nice,
      io_class,
      max_parallel,
      jobs,
      lock_wait_timeout_ms: dump.lock_wait_timeout,
      retries,
      counts,
      count_grace_ms: dump.count_grace,
      count_max_bytes,
    }),
  ),
);
