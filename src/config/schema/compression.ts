import * as v from "valibot";
import type { CompressionConfig } from "../config.ts";
import { choice, integer } from "./leaf.ts";
import { rule, table } from "./table.ts";

/** The highest level and the default level of each algorithm. */
const LEVELS = { zstd: { max: 19, default: 3 }, gzip: { max: 9, default: 6 } } as const;

/** The `[compression]` table. */
export const compressionSchema = v.pipe(
  table("the [compression] table", {
    algorithm: v.optional(choice(["zstd", "gzip", "none"]), "zstd"),
    level: v.optional(integer(1, LEVELS.zstd.max)),
  }),
  rule(({ algorithm, level }, report) => {
    if (algorithm === "none" && level !== undefined)
      report(["level"], 'not allowed with algorithm "none", which has no levels');
    if (algorithm === "gzip" && typeof level === "number" && level > LEVELS.gzip.max) {
      report(["level"], `found ${level}, expected a whole number from 1 to ${LEVELS.gzip.max} for gzip`);
    }
  }),
  v.transform(
    ({ algorithm, level }): CompressionConfig => ({
      algorithm,
      level: algorithm === "none" ? 0 : (level ?? LEVELS[algorithm].default),
    }),
  ),
);
