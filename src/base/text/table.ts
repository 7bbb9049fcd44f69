import { stripVTControlCharacters } from "node:util";

/** Adds colours if they are wanted; otherwise returns the text unchanged. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
}

const plain = (text: string) => text;

/** The style without colours. */
export const PLAIN: Style = { bold: plain, dim: plain, good: plain, warn: plain, bad: plain };

export interface Column<T> {
  title: string;
  cell: (row: T) => string;
  align?: "right";
}

/** A table whose columns are as wide as their cells. The cells must be `visible` text. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], style: Style): string {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map((column, index) =>
    Math.max(...[column.title, ...cells.map((line) => line[index] ?? "")].map(width)),
  );
  const line = (texts: readonly string[]) =>
    tableLine(
      texts,
      widths,
      columns.map(({ align }) => align),
    );
  return [style.bold(line(columns.map((column) => column.title))), ...cells.map(line)].join("\n");
}

/** One line of a table, for tables too long to build at once. */
export function tableLine(
  cells: readonly string[],
  widths: readonly number[],
  align: readonly Column<unknown>["align"][] = [],
): string {
  return cells
    .map((text, index) => pad(text, widths[index] ?? 0, align[index]))
    .join("  ")
    .trimEnd();
}

/** The number of terminal columns that a text takes. */
export function width(text: string): number {
  return Bun.stringWidth(stripVTControlCharacters(text));
}

function pad(text: string, to: number, align: "right" | undefined): string {
  const space = " ".repeat(Math.max(0, to - width(text)));
  return align === "right" ? space + text : text + space;
}
