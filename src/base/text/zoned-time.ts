import { DAY_MS } from "../limits.ts";

/** `2026-10-25T02:30:00+01:00`: the time in a zone; the offset distinguishes the repeated hour of that night. */
export function zonedTime(time: Date, timezone: string): string {
  const parts = new Map(
    formatOf(timezone)
      .formatToParts(time)
      .map(({ type, value }) => [type, value]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? "";
  const date = `${part("year").padStart(4, "0")}-${part("month")}-${part("day")}`;
  // "GMT" alone is UTC. Only historic offsets have seconds, which are cut off.
  const offset = part("timeZoneName").replace("GMT", "") || "+00:00";
  return `${date}T${part("hour")}:${part("minute")}:${part("second")}${offset.slice(0, 6)}`;
}

/** By zone: to make one takes much longer than to use it. */
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timezone: string): Intl.DateTimeFormat {
  const known = formats.get(timezone);
  if (known) return known;
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    calendar: "iso8601",
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "longOffset",
  });
  formats.set(timezone, format);
  return format;
}

/** The zone of the process: TZ, or the host's. */
export function localZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** `2026-10-25 02:30:00`: the time (RFC 3339 in UTC) in a zone, to the second; a dash if there is none. */
export function wallTime(
  at: string | null | undefined,
  { timezone = "UTC" }: { timezone?: string | undefined } = {},
): string {
  if (!at) return "-";
  if (timezone === "UTC") return at.slice(0, 19).replace("T", " ");
  const time = new Date(at);
  const text = Number.isNaN(time.getTime()) ? at : zonedTime(time, timezone);
  return text.slice(0, 19).replace("T", " ");
}

/** `2026-10-25 02:30:00 UTC`: a time (RFC 3339 in UTC) in a sentence, to the second. */
export function timeText(at: string | Date): string {
  const text = typeof at === "string" ? at : at.toISOString();
  return `${text.slice(0, 19).replace("T", " ")} UTC`;
}

/** `2026-10-25T02:30:00+02:00`: the time (RFC 3339 in UTC) in a zone; in UTC as it is written, with milliseconds. */
export function fullTime(at: string, { timezone = "UTC" }: { timezone?: string | undefined }): string {
  return timezone === "UTC" ? at : zonedTime(new Date(at), timezone);
}

/** The title of a column of times: it says so if they are in UTC. */
export function timeTitle(title: string, { timezone = "UTC" }: { timezone?: string | undefined }): string {
  return timezone === "UTC" ? `${title} (UTC)` : title;
}

/**
 * The moment at which clocks in a zone show a time, which is given in milliseconds as if it were UTC. An hour that
 * is repeated counts as the first one; an hour that is skipped gives a moment within an hour of it.
 */
export function instantOf(wallMs: number, timezone: string): Date {
  const offsetMs = (atMs: number) =>
    Date.parse(`${zonedTime(new Date(atMs), timezone).slice(0, 19)}Z`) - Math.floor(atMs / 1000) * 1000;
  // With the offsets of the day before and the day after; a change of the clocks is between them.
  const [before, after] = [wallMs - offsetMs(wallMs - DAY_MS), wallMs - offsetMs(wallMs + DAY_MS)];
  const shown = [before, after].filter((atMs) => atMs + offsetMs(atMs) === wallMs);
  return new Date(shown.length === 0 ? before : Math.min(...shown));
}
