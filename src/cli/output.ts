import { stripVTControlCharacters } from "node:util";
import { Pg321Error } from "../base/errors.ts";

export { durationText, rateText, sizeText } from "../base/amounts.ts";

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

/** Stable JSON for `--json`. Control characters that JSON lets through are escaped, too. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
