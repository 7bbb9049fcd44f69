import type { CatalogConfig } from "../../config/config.ts";
import type { UnfinishedCopy } from "../sqlite/migration/unfinished.ts";
import type { Row } from "../sqlite/tables.ts";

/** A table of a catalog as it is copied: the same names in both kinds of catalog. */
export interface CopiedTable {
  readonly name: string;
  /** Sorted by name, without the number that only orders the rows. */
  readonly columns: readonly string[];
  /** The columns that order the rows; `POSITION` alone if the order of insertion is part of the content. */
  readonly key: readonly string[];
}

/** In a row that was read: its number in the order of insertion. It is not copied, the order is. */
export const POSITION = "position";

/** The tables whose rows are read in the order of insertion, and the column that has it. */
export const POSITIONED: Readonly<Record<string, { sqlite: string; postgres: string }>> = {
  deliveries: { sqlite: "rowid", postgres: "position" },
  recovery_kits: { sqlite: "id", postgres: "id" },
};

/** Other tables refer to the rows of these. */
const FIRST = ["installation", "backups", "alerts"];

/** Belong to the processes that use this very catalog, or to its schema. */
const NOT_COPIED = ["calls", "leases", "lease_tokens", "schema_version", "unfinished_copy"];

/** Only catalogs in PostgreSQL have these: how far the spool of each host was delivered. */
const OF_POSTGRES = ["spools"];

/** The tables of one end that both have, in the order in which they can be filled. */
export async function sharedTables(
  place: ReadablePlace,
  other: Pick<ReadablePlace, "kind">,
): Promise<CopiedTable[]> {
  const isShared = place.kind === other.kind;
  return inOrder((await place.tables()).filter(({ name }) => isShared || !OF_POSTGRES.includes(name)));
}

/** Made anew from the copied records: its key runs in two directions, so it cannot be read page by page. */
export const DERIVED = "retained_backups";

export function isCopied(table: string): boolean {
  return table !== DERIVED && !NOT_COPIED.includes(table) && !table.startsWith("sqlite_");
}

function inOrder(tables: readonly CopiedTable[]): CopiedTable[] {
  const rank = ({ name }: CopiedTable) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...tables].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
}

/** One end of a copy. All reads see the same moment. */
export interface ReadablePlace extends AsyncDisposable {
  readonly kind: CatalogConfig["type"];
  /** For messages, without a login: `catalog /srv/catalog.db`. */
  readonly label: string;
  /** Whether its schema is that of this program, not an older one. */
  readonly isCurrent: boolean;
  /** What an unfinished copy says about itself; undefined for a catalog. */
  readonly unfinished: UnfinishedCopy | undefined;
  /** The newest token of a lease. */
  leaseToken(): Promise<number>;
  tables(): Promise<CopiedTable[]>;
  count(table: CopiedTable): Promise<number>;
  /** The next rows after this one by the key, at most `limit`. */
  page(table: CopiedTable, after: Row | undefined, limit: number): Promise<Row[]>;
}

/** The end that is filled. Nothing else opens it until it is finished. */
export interface CopyTarget extends AsyncDisposable {
  /** Records that a copy is under way, and turns off the triggers that keep sums: the sums are copied. */
  begin(mark: UnfinishedCopy): Promise<void>;
  insert(table: CopiedTable, rows: readonly Row[]): Promise<void>;
  /** Fills `DERIVED` for backups whose ids are greater than the first and at most the second. */
  derive(after: string, until: string): Promise<void>;
  /** Removes all rows of an unfinished copy, after its source has changed. */
  clear(tables: readonly CopiedTable[]): Promise<void>;
  /** Turns the triggers on again, lets the tokens of leases go on after this one, and removes the record of `begin`. */
  finish(leaseToken: number): Promise<void>;
}

/** A name of the schema, quoted for SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The condition of the rows after a known one, and their order. */
export function pageSql(columns: readonly string[], isFirst: boolean): string {
  const list = columns.map(quoted).join(", ");
  const where = isFirst ? "" : `WHERE (${list}) > (${columns.map((_, index) => `$key${index}`).join(", ")})`;
  return `${where} ORDER BY ${list} LIMIT $limit`;
}

export function keyValues(key: readonly string[], after: Row | undefined): Row {
  return Object.fromEntries(after ? key.map((column, index) => [`key${index}`, after[column] ?? null]) : []);
}
