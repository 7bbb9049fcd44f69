import { createHash, type Hash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { Row } from "../sqlite/tables.ts";
import type { CopiedTable, ReadablePlace } from "./place.ts";

/** What a table holds, in one kind of catalog as in the other. */
export interface TableContent {
  name: string;
  rows: number;
  /** SHA-256 of all rows in their order, hexadecimal. */
  sha256: string;
}

/** A row as it is hashed and compared. */
export function rowText({ columns }: CopiedTable, row: Row): string {
  const values = columns.map((column) => row[column] ?? null);
  return JSON.stringify(values.map((value) => (typeof value === "string" ? sharedText(value) : value)));
}

/** A text as both kinds of catalog can hold it: PostgreSQL's has no U+0000. */
export function sharedText(text: string): string {
  return text.toWellFormed().replaceAll("\u0000", "\ufffd");
}

/** Collects the content of a table, page by page. */
export class ContentHash {
  readonly #table: CopiedTable;
  readonly #hash: Hash;
  rows = 0;

  constructor(table: CopiedTable) {
    this.#table = table;
    this.#hash = createHash("sha256").update(`${JSON.stringify(table.columns)}\n`);
  }

  add(rows: readonly Row[]): void {
    for (const row of rows) this.#hash.update(`${rowText(this.#table, row)}\n`);
    this.rows += rows.length;
  }

  content(): TableContent {
    return { name: this.#table.name, rows: this.rows, sha256: this.#hash.digest("hex") };
  }
}

/** The hash of a whole catalog. An empty table does not count, because the other kind of catalog may not have it. */
export function catalogHash(tables: readonly TableContent[]): string {
  const lines = tables
    .filter(({ rows }) => rows > 0)
    .map(({ name, rows, sha256 }) => `${name} ${rows} ${sha256}\n`);
  return createHash("sha256").update(lines.sort().join("")).digest("hex");
}

const PAGE_BYTES = 1024 * 1024;
const ROWS_MAX = 1000;
/** A backup's facts may take a megabyte, and the next page may begin with such ones after many small rows. */
const LARGE_ROWS_MAX = 200;

/** How many rows a page may have: as many as make about 1 MiB, judged by the page before. */
export class PageSize {
  readonly #max: number;
  limit = 50;

  constructor({ columns }: CopiedTable) {
    this.#max = columns.includes("facts") ? LARGE_ROWS_MAX : ROWS_MAX;
  }

  learn(rows: readonly Row[]): void {
    if (rows.length === 0) return;
    const bytes = rows.reduce((sum, row) => sum + JSON.stringify(row).length, 0) / rows.length;
    this.limit = Math.max(1, Math.min(this.#max, Math.floor(PAGE_BYTES / bytes)));
  }
}

/** The rows of a table after a known one, page by page; gives way to other work in between. */
export async function* pagesOf(place: ReadablePlace, table: CopiedTable, from?: Row): AsyncGenerator<Row[]> {
  const size = new PageSize(table);
  let after = from;
  for (;;) {
    const rows = await place.page(table, after, size.limit);
    if (rows.length === 0) return;
    size.learn(rows);
    yield rows;
    after = rows.at(-1);
    await setImmediate();
  }
}

/** Throws code `verification` unless all rows of a table were read: the pages are found by their keys, the count is not. */
export async function requireAll(place: ReadablePlace, table: CopiedTable, rows: number): Promise<void> {
  const there = await place.count(table);
  if (there === rows) return;
  throw new Pg321Error(
    "verification",
    `${place.label}: ${rows} of ${plural(there, "record")} of ${table.name} were read, so they cannot be copied or compared`,
  );
}

export async function contentOf(
  place: ReadablePlace,
  table: CopiedTable,
  onRows: (rows: number) => void,
): Promise<TableContent> {
  const hash = new ContentHash(table);
  for await (const rows of pagesOf(place, table)) {
    hash.add(rows);
    onRows(rows.length);
  }
  await requireAll(place, table, hash.rows);
  return hash.content();
}
