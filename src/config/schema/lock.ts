import * as v from "valibot";
import { LOCK_MODES } from "../config.ts";
import { boolean, choice, integer } from "./leaf.ts";
import { type Report, table } from "./table.ts";
import { isTable } from "./values.ts";

/** A hundred years in days, as in `keep`: more is a mistake. */
const DAYS_MAX = 36_500;

export const lockSchema = table("a lock table", {
  mode: choice(LOCK_MODES),
  days: integer(1, DAYS_MAX),
  longer_than_retention: v.optional(boolean(), false),
});

export const immutableSchema = table("an immutable table", {
  by: choice(["bucket-rule"]),
  days: integer(1, DAYS_MAX),
});

const KEYS = ["lock", "immutable"] as const;

/** A directory cannot be immutable. */
export function directoryLocksNothing(storage: Readonly<Record<string, unknown>>, report: Report): void {
  for (const key of KEYS) {
    if (storage[key] === undefined) continue;
    report(
      [key],
      'not allowed with type = "local": a directory cannot be immutable, because its owner and root can delete every file in it; use an S3 storage with Object Lock',
    );
  }
}

/** A copy that expires while it is locked stays and is billed: a person must want that. */
export function lockFitsRetention(
  { lock, immutable, keep }: Readonly<Record<string, unknown>>,
  report: Report,
): void {
  if (lock !== undefined && immutable !== undefined)
    report(
      ["immutable"],
      "not allowed with lock: pg321 reads its own locks back, so no rule needs to be named",
    );
  if (!isTable(lock) || !isTable(keep)) return;
  const [lockDays, keepDays] = [lock["days"], keep["days"]];
  if (typeof lockDays !== "number" || typeof keepDays !== "number" || lockDays <= keepDays) return;
  if (lock["longer_than_retention"] === true) return;
  report(
    ["lock", "days"],
    `found ${lockDays}, expected at most keep.days (${keepDays}): expired copies could not be deleted before their lock ends; lower lock.days, raise keep.days, or set lock.longer_than_retention = true`,
  );
}
