/** `2026-10-25T02:30:00+01:00`: the time in a zone; the offset distinguishes the repeated hour of that night. */
export function zonedTime(time: Date, timezone: string): string {
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
  const parts = new Map(format.formatToParts(time).map(({ type, value }) => [type, value]));
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? "";
  const date = `${part("year").padStart(4, "0")}-${part("month")}-${part("day")}`;
  // "GMT" alone is UTC. Only historic offsets have seconds, which are cut off.
  const offset = part("timeZoneName").replace("GMT", "") || "+00:00";
  return `${date}T${part("hour")}:${part("minute")}:${part("second")}${offset.slice(0, 6)}`;
}
