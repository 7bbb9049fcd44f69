import { Cron } from "croner";
import { type Leaf, leaf } from "./schema/leaf.ts";

/** Written instead of a pattern for a job that the daemon never starts. */
export const OFF = "off";

/** Any moment will do: a pattern that has due times has one after every moment. */
const EXAMPLE_MOMENT = new Date("2024-01-01T00:00:00Z");

/**
 * The due times of a pattern (five or six fields, or `@daily` and the like); it starts nothing by itself. A fixed time
 * in the hour that the clock skips is due right after that hour; in the hour that the clock repeats, it is due once.
 * Throws for an invalid pattern.
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
