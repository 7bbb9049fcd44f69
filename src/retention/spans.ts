import { DAY_MS, HOUR_MS, MINUTE_MS } from "../base/limits.ts";

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ["d", DAY_MS],
  ["h", HOUR_MS],
  ["min", MINUTE_MS],
  ["s", 1_000],
];

/** A duration for people, in its two largest units: `35 d 2 h`. */
export function spanText(durationMs: number): string {
  const parts: string[] = [];
  let leftMs = Math.abs(durationMs);
  for (const [name, ms] of UNITS) {
    const amount = Math.floor(leftMs / ms);
    leftMs -= amount * ms;
    if (amount > 0 && parts.length < 2) parts.push(`${amount} ${name}`);
  }
  return parts.length === 0 ? "0 s" : parts.join(" ");
}

export function daysText(days: number): string {
  return days === 1 ? "1 day" : `${days} days`;
}
