import * as v from "valibot";
import type { VerifyConfig } from "../config.ts";
import { size } from "./leaf.ts";
import { table } from "./table.ts";

/** The `[verify]` table. */
export const verifySchema = v.pipe(
  table("the [verify] table", {
    bytes_per_run: v.optional(size("the newest good backup of each database"), 0),
  }),
  v.transform(({ bytes_per_run }): VerifyConfig => ({ bytes_per_run_bytes: bytes_per_run })),
);
