import { stripVTControlCharacters } from "node:util";

/** Adds colours if they are wanted; otherwise returns the text unchanged. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
  /** The width of the terminal; undefined if the output goes elsewhere. */
  columns?: number | undefined;
  /** The zone in which times are shown; UTC if there is none. */
  timezone?: string | undefined;
}

const plain = (text: string) => text;

/** The style without colours. */
export const PLAIN: Style = { bold: plain, dim: plain, good: plain, warn: plain, bad: plain };

export interface Column<T> {
  title: string;
  cell: (row: T) => string;
  align?: "right";
}

/**
 * A table whose columns are as wide as their cells. The cells must be `visible` text. On a terminal that is too narrow,
 * the columns that do not fit follow below each row, with their titles.
 */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], style: Style): string {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map((column, index) =>
    Math.max(...[column.title, ...cells.map((line) => line[index] ?? "")].map(width)),
  );
  const shown = fittingColumns(widths, style.columns);
  const titles = columns.map((column) => column.title);
  const aligns = columns.map(({ align }) => align);
  const line = (texts: readonly string[]) => tableLine(texts.slice(0, shown), widths, aligns);
  const below = (texts: readonly string[]) => detailLines(titles, texts, shown, style.columns ?? 0);
  return [style.bold(line(titles)), ...cells.flatMap((texts) => [line(texts), ...below(texts)])].join("\n");
}

/** How many columns, from the left, fit beside each other; at least one. */
function fittingColumns(widths: readonly number[], columnsMax = Number.POSITIVE_INFINITY): number {
  let taken = -2;
  const tooMany = widths.findIndex((columns) => {
    taken += columns + 2;
    return taken > columnsMax;
  });
  return tooMany === -1 ? widths.length : Math.max(1, tooMany);
}

/** The cells from column `from` on, with their titles, in indented lines. Empty cells are left out. */
function detailLines(
  titles: readonly string[],
  texts: readonly string[],
  from: number,
  columnsMax: number,
): string[] {
  const lines: string[] = [];
  for (const [index, text] of texts.entries()) {
    if (index < from || text === "" || text === "-") continue;
    const detail = `  ${(titles[index] ?? "").toLowerCase()}: ${text}`;
    const last = lines.at(-1);
    if (last !== undefined && width(last) + width(detail) <= columnsMax) lines.push(lines.pop() + detail);
    else lines.push(detail);
  }
  return lines;
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
