import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { BUSY_TIMEOUT_MS, whileBusy } from "../sqlite/busy.ts";
import { openConnection } from "../sqlite/connection.ts";
import { pragma, refuseForeign } from "../sqlite/migration/migrate.ts";
import { MIGRATIONS } from "../sqlite/migration/migrations.ts";
import { FILL_RETAINED_RANGE } from "../sqlite/migration/retained-backups.ts";
import { UNFINISHED, unfinishedCopy } from "../sqlite/migration/unfinished.ts";
import { refuseNewerSqlite } from "../sqlite/migration/version.ts";
import { refuseEmpty } from "../sqlite/open.ts";
import type { Row } from "../sqlite/tables.ts";
import {
  type CopiedTable,
  type CopyTarget,
  DERIVED,
  isCopied,
  keyValues,
  POSITION,
  POSITIONED,
  pageSql,
  quoted,
  type ReadablePlace,
} from "./place.ts";

const READING = "read it for a copy";
const WRITING = "write the copy";
const TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'";
const COLUMNS = `SELECT name, pk FROM pragma_table_info($table) ORDER BY name`;
/** The columns of the constraint that a table without a primary key has. */
const UNIQUE = `SELECT info.name FROM pragma_index_list($table) AS list, pragma_index_info(list.name) AS info
  WHERE list.origin = 'u' ORDER BY list.seq, info.seqno`;
const TRIGGERS = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid";

/** The word that PostgreSQL's catalog uses for a column, where SQLite's uses another. */
const RENAMED: Readonly<Record<string, string>> = { only: "single" };
const ownName = (column: string) => Object.keys(RENAMED).find((name) => RENAMED[name] === column) ?? column;

/**
 * Opens a catalog's file for a copy, at one moment, in a connection of its own; undefined if there is none. Throws code
 * `usage` if a newer program has written it, or if it belongs to another program.
 */
export async function readSqlite(path: string, clock: Clock): Promise<ReadablePlace | undefined> {
  if (!existsSync(path)) return undefined;
  refuseEmpty(path);
  refuseNewerSqlite({ path });
  const database = await whileBusy(path, READING, clock, () => {
    const opened = new Database(path, { readonly: true, strict: true });
    opened.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    opened.run("BEGIN");
    refuseForeign(opened, path);
    return opened;
  });
  const read = <T>(sql: string, values: Row = {}) =>
    whileBusy(path, READING, clock, () => database.query<T, Row>(sql).all(values));
  return {
    kind: "sqlite",
    label: `catalog ${path}`,
    isCurrent: pragma(database, "user_version") === MIGRATIONS.length,
    unfinished: await whileBusy(path, READING, clock, () => unfinishedCopy(database)),
    async leaseToken() {
      const [row] = await read<{ last: number }>("SELECT last FROM lease_tokens");
      return row?.last ?? 0;
    },
    async tables() {
      const names = (await read<{ name: string }>(TABLES)).map(({ name }) => name).filter(isCopied);
      const found: CopiedTable[] = [];
      for (const table of names) {
        const all = await read<{ name: string; pk: number }>(COLUMNS, { table });
        const primary = all.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
        const unique = await read<{ name: string }>(UNIQUE, { table });
        found.push(tableOf(table, all, primary.length > 0 ? primary : unique));
      }
      return found;
    },
    async count({ name }) {
      const [row] = await read<{ rows: number }>(`SELECT count(*) AS rows FROM ${quoted(name)}`);
      return row?.rows ?? 0;
    },
    async page({ name, columns, key }, after, limit) {
      const position = POSITIONED[name]?.sqlite;
      const selected = columns.map((column) => `${quoted(ownName(column))} AS ${quoted(column)}`);
      if (position !== undefined) selected.push(`${position} AS ${POSITION}`);
      const from = `SELECT ${selected.join(", ")} FROM ${quoted(name)}`;
      const order = position === undefined ? key.map(ownName) : [position];
      const sql = `${from} ${pageSql(order, after === undefined)}`;
      return read<Row>(sql, { ...keyValues(key, after), limit });
    },
    async [Symbol.asyncDispose]() {
      database.close();
    },
  };
}

function tableOf(
  name: string,
  columns: readonly { name: string }[],
  key: readonly { name: string }[],
): CopiedTable {
  const position = POSITIONED[name]?.sqlite;
  const names = columns.map((column) => column.name).filter((column) => column !== position);
  const shared = (column: string) => RENAMED[column] ?? column;
  return {
    name,
    columns: names.map(shared).sort(),
    key: position === undefined ? key.map((column) => shared(column.name)) : [POSITION],
  };
}

/** Opens a catalog's file to fill it. */
export async function fillSqlite(path: string, clock: Clock): Promise<CopyTarget> {
  const act = <T>(work: (database: Database) => T) => whileBusy(path, WRITING, clock, () => work(database));
  const database = await whileBusy(path, WRITING, clock, () => openConnection(path, undefined, true));
  const transact = (work: () => void) => act((opened) => opened.transaction(work).immediate());
  return {
    begin: ({ source, begun_at }) =>
      transact(() => {
        const triggers = database.query<{ name: string; sql: string }, []>(TRIGGERS).all();
        database.run(
          `CREATE TABLE ${UNFINISHED} (source TEXT NOT NULL, begun_at TEXT NOT NULL, triggers TEXT NOT NULL) STRICT`,
        );
        database
          .query(`INSERT INTO ${UNFINISHED} VALUES ($source, $begun_at, $triggers)`)
          .run({ source, begun_at, triggers: JSON.stringify(triggers.map(({ sql }) => sql)) });
        for (const { name } of triggers) database.run(`DROP TRIGGER ${quoted(name)}`);
      }),
    insert: ({ name, columns }, rows) =>
      transact(() => {
        const values = columns.map((column) => `$${column}`);
        const statement = database.query(
          `INSERT INTO ${quoted(name)} (${columns.map(ownName).map(quoted).join(", ")}) VALUES (${values.join(", ")})`,
        );
        for (const row of rows)
          statement.run(Object.fromEntries(columns.map((column) => [column, row[column] ?? null])));
      }),
    derive: (after, until) => transact(() => void database.query(FILL_RETAINED_RANGE).run({ after, until })),
    clear: (tables) =>
      transact(() => {
        database.run(`DELETE FROM ${DERIVED}`);
        for (const { name } of tables.toReversed()) database.run(`DELETE FROM ${quoted(name)}`);
      }),
    finish: (token) =>
      transact(() => {
        database.query("UPDATE lease_tokens SET last = max(last, $token)").run({ token });
        const kept = database.query<{ triggers: string }, []>(`SELECT triggers FROM ${UNFINISHED}`).get();
        for (const sql of JSON.parse(kept?.triggers ?? "[]") as string[]) database.run(sql);
        database.run(`DROP TABLE ${UNFINISHED}`);
      }),
    async [Symbol.asyncDispose]() {
      database.close();
    },
  };
}
