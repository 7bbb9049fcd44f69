import { countWord } from "./states.ts";

/** Sizes and times as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `1.4 GiB`; a dash if unknown. */
export function sizeText(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return "-";
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `+1.4 GiB`, `-12 MiB`, `±0 B`; a dash if unknown. */
export function growthText(bytes: number | null): string {
  if (bytes === null) return "-";
  return `${bytes === 0 ? "±" : bytes > 0 ? "+" : "-"}${sizeText(Math.abs(bytes))}`;
}

/** Two sizes that differ: in bytes if the units would not show the difference. */
export function twoSizes(one: number, other: number): [one: string, other: string] {
  const texts: [string, string] = [sizeText(one), sizeText(other)];
  return texts[0] === texts[1] ? [plural(one, "byte"), plural(other, "byte")] : texts;
}

/** `1h 02m`, `3m 05s`, `4.2 s`, `87 ms`. */
export function durationText(durationMs: number | null | undefined): string {
  if (durationMs === null || durationMs === undefined) return "-";
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  const seconds = durationMs / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h ${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${two((seconds % 86_400) / 3600)}h`;
}

/** How long ago something happened; `in 20m 00s` if it is dated in the future, because a clock was ahead. */
export function ageText(ageMs: number): string {
  return ageMs < 0 ? `in ${durationText(-ageMs)}` : durationText(ageMs);
}

/** `183 MiB/s`. */
export function rateText(bytes: number, durationMs: number): string {
  return durationMs <= 0 ? "-" : `${sizeText((bytes / durationMs) * 1000)}/s`;
}

/** Names of counts in the statistics of runs, as the noun for one of them. */
const ONE: Readonly<Record<string, string>> = {
  databases: "database",
  copies: "copy",
  records: "record",
  files: "file",
  uploads: "upload",
  objects: "object",
  backups: "backup",
  runs: "run",
  alerts: "alert",
  deliveries: "delivery",
  storages: "storage",
};

/** A count with its name: `1 temporary file deleted` for `temporary_files_deleted`. */
export function countText(count: number, name: string): string {
  const words = countWord(name)
    .split("_")
    .map((word) => (count === 1 ? (ONE[word] ?? word) : word));
  return `${count.toLocaleString("en")} ${words.join(" ")}`;
}

/** `1 copy`, `2,000 copies`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
