import { DAY_MS, HOUR_MS, MINUTE_MS } from "../base/limits.ts";

const DURATION_UNITS = { ms: 1, s: 1_000, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS } as const;
const SIZE_UNITS = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const;

/** Milliseconds of `90s`, `5m`, `2h`, `7d`, `250ms` or `0`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  return parseAmount(text, DURATION_UNITS);
}

/** Bytes of `512MiB`, `1.5GiB`, `1GB` or `0`; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  return parseAmount(text, SIZE_UNITS);
}

/** Bytes per second of `1MiB/s` or `0`; undefined for anything else. */
export function parseRate(text: string): number | undefined {
  if (text === "0") return 0;
  return text.endsWith("/s") ? parseSize(text.slice(0, -2).trimEnd()) : undefined;
}

/** The shortest text that `parseDuration` reads as the same number. */
export function formatDuration(durationMs: number): string {
  return formatAmount(durationMs, DURATION_UNITS);
}

/** The shortest text that `parseSize` reads as the same number. */
export function formatSize(sizeBytes: number): string {
  return formatAmount(sizeBytes, SIZE_UNITS);
}

/** The shortest text that `parseRate` reads as the same number. */
export function formatRate(bytesPerSecond: number): string {
  return bytesPerSecond === 0 ? "0" : `${formatSize(bytesPerSecond)}/s`;
}

/** An amount as a whole number of the smallest unit; a fraction is accepted only if the result is whole. */
function parseAmount(text: string, units: Readonly<Record<string, number>>): number | undefined {
  if (text === "0") return 0;
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]+)$/.exec(text);
  const factor = match?.[2] !== undefined && Object.hasOwn(units, match[2]) ? units[match[2]] : undefined;
  if (match?.[1] === undefined || factor === undefined) return undefined;
  const amount = Number(match[1]) * factor;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

function formatAmount(amount: number, units: Readonly<Record<string, number>>): string {
  if (amount === 0) return "0";
  const texts = Object.entries(units)
    .filter(([, factor]) => amount % factor === 0)
    .map(([unit, factor]) => `${amount / factor}${unit}`);
  return texts.reduce((shortest, text) => (text.length < shortest.length ? text : shortest));
}
