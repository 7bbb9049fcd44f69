import { stripVTControlCharacters } from "node:util";
import { atOnce, changed, type Steps } from "../steps.ts";

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
  /** Names, of which a few letters are enough to recognize them: cut in the middle if the terminal is too narrow. */
  isName?: boolean;
}

/** Names are not cut to fewer columns. */
const NAME_COLUMNS_MIN = 16;

/**
 * A table whose columns are as wide as their cells. The cells must be `visible` text. On a terminal that is too narrow,
 * long names are cut in the middle; if that is not enough, the columns that do not fit follow below each row, with
 * their titles. `notesOf`: lines of a row that are always below it.
 */
export function table<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  style: Style,
  notesOf?: (row: T) => readonly string[],
): string {
  return atOnce(tableSteps(rows, columns, style, notesOf));
}

/** `table`, in steps of a few rows. */
export function* tableSteps<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  style: Style,
  notesOf: (row: T) => readonly string[] = () => [],
): Steps<string> {
  const whole = yield* changed(rows, (some) =>
    some.map((row) => ({ row, texts: columns.map((column) => column.cell(row)) })),
  );
  const needed = columns.map((column, index) =>
    whole.reduce((widest, { texts }) => Math.max(widest, width(texts[index] ?? "")), width(column.title)),
  );
  const { head, linesOf } = layout(columns, needed, style);
  const rowLines = yield* changed(whole, (some) =>
    some.flatMap(({ row, texts }) => [...linesOf(texts), ...notesOf(row)]),
  );
  return [head, ...rowLines].join("\n");
}

/**
 * `table` of a list that is too long for memory, with a line break at its end, in parts. The list is read twice: once for
 * the widths of the columns.
 */
export async function* longTable<T>(
  pages: () => AsyncIterable<readonly T[]>,
  columns: readonly Column<T>[],
  style: Style,
): AsyncGenerator<string> {
  const textsOf = (row: T) => columns.map((column) => column.cell(row));
  let needed = columns.map(({ title }) => width(title));
  for await (const page of pages())
    for (const texts of page.map(textsOf))
      needed = needed.map((widest, index) => Math.max(widest, width(texts[index] ?? "")));
  const { head, linesOf } = layout(columns, needed, style);
  yield `${head}\n`;
  for await (const page of pages())
    yield page.flatMap((row) => linesOf(textsOf(row)).map((line) => `${line}\n`)).join("");
}

/** The head of a table, and the lines of a row, once it is known how wide its cells are. */
function layout(columns: readonly Column<never>[], needed: readonly number[], style: Style) {
  const widths = cutWidths(columns, needed, style.columns);
  const shown = fittingColumns(widths, style.columns);
  const titles = columns.map((column) => column.title);
  const aligns = columns.map(({ align }) => align);
  const line = (texts: readonly string[]) => tableLine(texts.slice(0, shown), widths, aligns);
  const linesOf = (texts: readonly string[]) => {
    const cells = texts.map((text, index) => cutInMiddle(text, widths[index] ?? 0));
    return [line(cells), ...detailLines(titles, cells, shown, style.columns ?? 0)];
  };
  return { head: style.bold(line(titles)), linesOf };
}

/** The widths with those of names reduced, the widest first, until all columns fit. */
function cutWidths(
  columns: readonly Pick<Column<never>, "isName" | "title">[],
  needed: readonly number[],
  columnsMax: number | undefined,
): number[] {
  const widths = [...needed];
  let excess = sumOf(widths) + 2 * (widths.length - 1) - (columnsMax ?? Number.POSITIVE_INFINITY);
  const leastOf = (index: number) => Math.max(NAME_COLUMNS_MIN, width(columns[index]?.title ?? ""));
  while (excess > 0) {
    const names = columns.flatMap(({ isName }, index) =>
      isName === true && (widths[index] ?? 0) > leastOf(index) ? [index] : [],
    );
    const widest = names.sort((one, other) => (widths[other] ?? 0) - (widths[one] ?? 0))[0];
    if (widest === undefined) return cappedWidths(columns, needed, columnsMax ?? 0);
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess--;
  }
  return widths;
}

/** If columns must go below the row, no name takes more than a third of it. */
function cappedWidths(
  columns: readonly Pick<Column<never>, "isName">[],
  needed: readonly number[],
  columnsMax: number,
): number[] {
  const cap = Math.max(NAME_COLUMNS_MIN, Math.floor(columnsMax / 3));
  return needed.map((width, index) => (columns[index]?.isName === true ? Math.min(width, cap) : width));
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** `customers_production…2026_11`: at most so many terminal columns. Colours are kept. */
export function cutInMiddle(text: string, columnsMax: number): string {
  const columns = width(text);
  if (columns <= columnsMax) return text;
  const tail = Math.floor((columnsMax - 1) / 2);
  const head = Math.max(0, columnsMax - 1 - tail);
  return `${Bun.sliceAnsi(text, 0, head)}…${Bun.sliceAnsi(text, columns - tail, columns)}`;
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

const PLAIN_ASCII = /^[\x20-\x7e]*$/;

/** The number of terminal columns that a text takes. */
export function width(text: string): number {
  if (PLAIN_ASCII.test(text)) return text.length;
  return Bun.stringWidth(stripVTControlCharacters(text));
}

function pad(text: string, to: number, align: "right" | undefined): string {
  const space = " ".repeat(Math.max(0, to - width(text)));
  return align === "right" ? space + text : text + space;
}
