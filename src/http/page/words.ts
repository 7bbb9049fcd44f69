import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../base/limits.ts";
import { visibleLines } from "../../base/text/visible.ts";

/** Formats times for the page. */
export interface PageTimes {
  /** When the page was made. */
  now: string;
  /** `5 h ago`, `in 12 min`. */
  relative: (at: string) => string;
  /** `23 Nov, 05:00 CET`, in the time zone of the report; with the year if it is not this year. */
  absolute: (at: string) => string;
}

export function pageTimes(now: string, timezone: string): PageTimes {
  const parts: Intl.DateTimeFormatOptions = {
    timeZone: timezone,
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  };
  const year = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, year: "numeric" });
  const short = new Intl.DateTimeFormat("en-GB", parts);
  const long = new Intl.DateTimeFormat("en-GB", { ...parts, year: "numeric" });
  const thisYear = year.format(new Date(now));
  const nowMs = Date.parse(now);
  return {
    now,
    absolute(at) {
      const date = new Date(at);
      return (year.format(date) === thisYear ? short : long).format(date);
    },
    relative(at) {
      const agoMs = nowMs - Date.parse(at);
      const span = spanText(Math.abs(agoMs));
      if (span === undefined) return agoMs >= 0 ? "just now" : "any moment";
      return agoMs >= 0 ? `${span} ago` : `in ${span}`;
    },
  };
}

/** `12 min`, `5 h`, `3 days`; undefined for less than a minute. */
function spanText(durationMs: number): string | undefined {
  if (durationMs < MINUTE_MS) return;
  if (durationMs < 2 * HOUR_MS) return `${Math.floor(durationMs / MINUTE_MS)} min`;
  if (durationMs < 2 * DAY_MS) return `${Math.floor(durationMs / HOUR_MS)} h`;
  return `${Math.floor(durationMs / DAY_MS)} days`;
}

/** A text, cut at its end if it is too long for the page. */
export function shortened(text: string, charactersMax = 300): string {
  const characters = [...text];
  return characters.length <= charactersMax ? text : `${characters.slice(0, charactersMax).join("")}…`;
}

const DIRECTIONS = /[\u202a-\u202e\u2066-\u2069]/g;

/**
 * Replaces characters that a reader cannot see: control characters, and those that change the direction of the text
 * after them. Line breaks stay.
 */
export function readable(text: string): string {
  return visibleLines(text).replace(DIRECTIONS, "\ufffd");
}
