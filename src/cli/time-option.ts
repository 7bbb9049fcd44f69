import { Pg321Error } from "../base/errors.ts";
import { DAY_MS } from "../base/limits.ts";
import { instantOf, zonedTime } from "../base/text/zoned-time.ts";
import { parseDuration } from "../config/units.ts";

/** The help for a value that `timeOption` reads. */
export const TIME_HELP =
  "2026-11-23, 2026-11-23T18:00, with Z or +01:00 after it, yesterday, or an age: 12h, 7d";

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const MOMENT = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?$/;
const WEEKS = /^(\d{1,4})w$/;

/** Where and how a time was given. */
export interface TimeContext {
  command: string;
  /** The option, without its dashes. */
  name: string;
  now: Date;
  /** The zone of a time without one, and of days. */
  timezone: string;
  /** Whether a day means its first or its last moment. */
  edge: "first" | "last";
}

/** Reads a time or an age from the command line. Throws code `usage`. */
export function timeOption(text: string | undefined, context: TimeContext): Date | undefined {
  if (text === undefined) return undefined;
  const found = momentIn(text, context) ?? dayIn(text, context) ?? ageIn(text, context);
  if (found !== undefined && !Number.isNaN(found.getTime())) return found;
  throw new Pg321Error(
    "usage",
    `${context.command}: --${context.name} is "${text}", expected a time or an age`,
    {
      hint: TIME_HELP,
    },
  );
}

function momentIn(text: string, { timezone }: TimeContext): Date | undefined {
  const [found, day = "", minutes, seconds = ":00", zone] = MOMENT.exec(text) ?? [];
  if (found === undefined) return undefined;
  const wallMs = Date.parse(`${day}T${minutes}${seconds}Z`);
  if (!isDay(day) || Number.isNaN(wallMs)) return undefined;
  return zone === undefined ? instantOf(wallMs, timezone) : new Date(`${day}T${minutes}${seconds}${zone}`);
}

function dayIn(text: string, { now, timezone, edge }: TimeContext): Date | undefined {
  const today = zonedTime(now, timezone).slice(0, 10);
  const named: Record<string, string> = { today, yesterday: dayAfter(today, -1) };
  const day = Object.hasOwn(named, text) ? named[text] : text;
  if (day === undefined || !DAY.test(day) || !isDay(day)) return undefined;
  const startOf = (date: string) => instantOf(Date.parse(`${date}T00:00:00Z`), timezone);
  return edge === "first" ? startOf(day) : new Date(startOf(dayAfter(day, 1)).getTime() - 1);
}

function ageIn(text: string, { now }: TimeContext): Date | undefined {
  const weeks = WEEKS.exec(text)?.[1];
  const ageMs = weeks === undefined ? parseDuration(text) : Number(weeks) * 7 * DAY_MS;
  return ageMs === undefined ? undefined : new Date(now.getTime() - ageMs);
}

/** Whether the calendar has this day: JavaScript turns February 30 into March 2. */
function isDay(day: string): boolean {
  const time = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(day);
}

function dayAfter(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}
