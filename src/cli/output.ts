import { stripVTControlCharacters } from "node:util";
import { Pg321Error } from "../base/errors.ts";

/** Where a command's data goes. Everything else (log, progress, errors) goes to stderr. */
export interface Output {
  /** Data for a person, or JSON; a line break is added. */
  print(text: string): void;
  /** Raw bytes, with backpressure. Throws code `storage` when they cannot be written. */
  write(bytes: Uint8Array): Promise<void>;
  /** What a person reads beside the data; a line break is added. */
  note(text: string): void;
  style: Style;
  /** Whether a person would see what is printed. */
  isTerminal: boolean;
}

/** Refuses (code `usage`) to pour raw bytes over somebody's terminal. */
export function refuseTerminal(command: string, { isTerminal }: Output): void {
  if (!isTerminal) return;
  throw new Pg321Error("usage", `${command}: a dump is no text for a terminal`, {
    hint: "send it on, with | or >",
  });
}

/** Colours where they are wanted, else the text as it is. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
}

const wrap = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`;
const plain = (text: string) => text;

/** Whether a stream may be sent colours and more: a terminal, and not a dumb one. */
export function isSmartTerminal(
  { isTTY }: { isTTY?: boolean },
  env: Record<string, string | undefined>,
): boolean {
  return isTTY === true && env["TERM"] !== "dumb";
}

/** Colours only on a terminal, and not with `NO_COLOR` (no-color.org) set to anything. */
export function styleFor(isTerminal: boolean, env: Record<string, string | undefined>): Style {
  if (!isTerminal || env["NO_COLOR"]) {
    return { bold: plain, dim: plain, good: plain, warn: plain, bad: plain };
  }
  return { bold: wrap(1), dim: wrap(2), good: wrap(32), warn: wrap(33), bad: wrap(31) };
}

export interface Column<T> {
  title: string;
  cell: (row: T) => string;
  align?: "right";
}

/** A table of plain columns, as wide as its cells, which hold `visible` text. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], style: Style): string {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map((column, index) =>
    Math.max(...[column.title, ...cells.map((line) => line[index] ?? "")].map(width)),
  );
  const line = (texts: readonly string[]) =>
    texts
      .map((text, index) => pad(text, widths[index] ?? 0, columns[index]?.align))
      .join("  ")
      .trimEnd();
  return [style.bold(line(columns.map((column) => column.title))), ...cells.map(line)].join("\n");
}

function width(text: string): number {
  return Bun.stringWidth(stripVTControlCharacters(text));
}

function pad(text: string, to: number, align: "right" | undefined): string {
  const space = " ".repeat(Math.max(0, to - width(text)));
  return align === "right" ? space + text : text + space;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `1.4 GiB`; a dash where it is not known. */
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

/** `183 MiB/s`. */
export function rateText(bytes: number, durationMs: number): string {
  return durationMs <= 0 ? "-" : `${sizeText((bytes / durationMs) * 1000)}/s`;
}

/** Stable JSON for `--json`. Control characters that JSON lets through are escaped, too. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
