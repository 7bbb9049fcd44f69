import { Cron } from "croner";
import { type Leaf, leaf } from "./schema/leaf.ts";

/** Stands in the place of a pattern for what is never run by itself. */
export const OFF = "off";

/** Any moment does: a pattern that has a next time has one after each of these, unless it names a year. */
const EXAMPLE_MOMENT = new Date("2024-01-01T00:00:00Z");

/**
 * The times of a pattern (five or six fields, or `@daily` and the like), which are asked for with a reference
 * moment each time; it runs nothing by itself. In the hour that the clock skips, a run of a fixed time comes
 * right after it; in the hour that is repeated, it comes once. Throws for a pattern that is none.
 */
export function cronTimes(pattern: string, timezone: string): Cron {
  return new Cron(pattern, { paused: true, timezone, mode: "5-or-6-parts", fixedTimeRule: "no-wildcard" });
}

/** A cron pattern, or `off`. */
export function cron(): Leaf<string> {
  return leaf(
    'a cron pattern of five or six fields, such as "0 2 * * *", one of "@hourly", "@daily", "@weekly", "@monthly", or "off"',
    (value) => (typeof value === "string" && (value === OFF || isPattern(value)) ? value : undefined),
    { choices: [OFF, "@hourly", "@daily", "@weekly", "@monthly", "@yearly"] },
  );
}

function isPattern(text: string): boolean {
  try {
    return cronTimes(text, "UTC").nextRun(EXAMPLE_MOMENT) !== null;
  } catch {
    return false;
  }
}
