import type { Clock } from "../../base/clock.ts";
import type { CatalogUrl } from "../../config/catalog-url.ts";
import { refuseNewerSchema, schemaVersion, unfinishedCopy } from "../postgres/migration/migrate.ts";
import { MIGRATIONS } from "../postgres/migration/migrations.ts";
import { FILL_RETAINED_RANGE } from "../postgres/migration/retained-backups.ts";
import { type Transaction, Transactions } from "../postgres/transactions.ts";
import { UNFINISHED } from "../sqlite/migration/unfinished.ts";
import type { Row } from "../sqlite/tables.ts";
import { sharedText } from "./content.ts";
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
const TABLES = `SELECT relname AS name FROM pg_class
  WHERE relnamespace = to_regnamespace('pg321') AND relkind IN ('r', 'p') ORDER BY relname`;
const COLUMNS = `SELECT attname AS name FROM pg_attribute
  WHERE attrelid = ('pg321.' || $table)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname`;
/** Of the primary key, otherwise of the first unique index of columns only. */
const KEY = `SELECT attname AS name FROM (
    SELECT * FROM pg_index WHERE indrelid = ('pg321.' || $table)::regclass
      AND indisunique AND indpred IS NULL AND indexprs IS NULL
    ORDER BY indisprimary DESC, indexrelid LIMIT 1) AS one, unnest(indkey) WITH ORDINALITY AS part (number, place)
  JOIN pg_attribute AS a ON a.attnum = part.number
  WHERE attrelid = indrelid ORDER BY place`;

/**
 * Opens a catalog in PostgreSQL for a copy, at one moment, in a session of its own; undefined if its database has none.
 * Throws code `usage` if a newer program has made it, or if the schema belongs to another program.
 */
export async function readPostgres(url: CatalogUrl, clock: Clock): Promise<ReadablePlace | undefined> {
  const transactions = new Transactions(url, clock);
  try {
    const version = await transactions.do(READING, (look) => schemaVersion(look, transactions.label));
    refuseNewerSchema(version, transactions.label);
    if (version > 0) return await readSnapshot(transactions, version);
  } catch (error) {
    await transactions[Symbol.asyncDispose]();
    throw error;
  }
  await transactions[Symbol.asyncDispose]();
  return undefined;
}

async function readSnapshot(transactions: Transactions, version: number): Promise<ReadablePlace> {
  const snapshot = await transactions.snapshot(READING);
  const read = <T>(sql: string, values: Row = {}) => snapshot.rows<T>(sql, values);
  return {
    kind: "postgres",
    label: transactions.label,
    isCurrent: version === MIGRATIONS.length,
    unfinished: await unfinishedCopy(snapshot),
    async leaseToken() {
      const [row] = await read<{ last: number }>("SELECT last_value AS last FROM lease_tokens");
      return Number(row?.last);
    },
    async tables() {
      const names = (await read<{ name: string }>(TABLES)).map(({ name }) => name).filter(isCopied);
      const found: CopiedTable[] = [];
      for (const table of names) {
        const position = POSITIONED[table]?.postgres;
        const columns = (await read<{ name: string }>(COLUMNS, { table })).map(({ name }) => name);
        const key = (await read<{ name: string }>(KEY, { table })).map(({ name }) => name);
        found.push({
          name: table,
          columns: columns.filter((column) => column !== position).sort(),
          key: position === undefined ? key : [POSITION],
        });
      }
      return found;
    },
    async count({ name }) {
      const [row] = await read<{ rows: number }>(`SELECT count(*) AS rows FROM ${quoted(name)}`);
      return Number(row?.rows);
    },
    page({ name, columns, key }, after, limit) {
      const position = POSITIONED[name]?.postgres;
      const selected = columns.map(quoted);
      if (position !== undefined) selected.push(`${quoted(position)} AS ${POSITION}`);
      const order = position === undefined ? key : [position];
      const sql = `SELECT ${selected.join(", ")} FROM ${quoted(name)} ${pageSql(order, after === undefined)}`;
      return read<Row>(sql, { ...keyValues(key, after), limit });
    },
    async [Symbol.asyncDispose]() {
      await snapshot[Symbol.asyncDispose]();
      await transactions[Symbol.asyncDispose]();
    },
  };
}

/** Opens a catalog in PostgreSQL to fill it. */
export async function fillPostgres(url: CatalogUrl, clock: Clock): Promise<CopyTarget> {
  const transactions = new Transactions(url, clock);
  const act = <T>(work: (transaction: Transaction) => Promise<T>) => transactions.doSlowly(WRITING, work);
  return {
    begin: ({ source, begun_at }) =>
      act(async (transaction) => {
        await transaction.script(`CREATE TABLE ${UNFINISHED} (source text NOT NULL, begun_at text NOT NULL)`);
        await transaction.run(`INSERT INTO ${UNFINISHED} VALUES ($source, $begun_at)`, { source, begun_at });
        await transaction.script(await switchTriggers(transaction, "DISABLE"));
      }),
    insert: ({ name, columns }, rows) =>
      act(async ({ run }) => {
        const list = columns.map(quoted).join(", ");
        await run(
          `INSERT INTO ${quoted(name)} (${list}) SELECT ${list} FROM json_populate_recordset(NULL::${quoted(name)}, $rows::text::json)`,
          {
            rows: JSON.stringify(rows, (_, value) => (typeof value === "string" ? sharedText(value) : value)),
          },
        );
      }),
    derive: (after, until) => act(async ({ run }) => void (await run(FILL_RETAINED_RANGE, { after, until }))),
    clear: (tables) =>
      act(({ script }) =>
        script(
          `TRUNCATE ${[DERIVED, ...tables.map(({ name }) => quoted(name))].join(", ")} RESTART IDENTITY`,
        ),
      ),
    finish: (token) =>
      act(async (transaction) => {
        const next = "setval('lease_tokens', greatest(last_value, $token))";
        if (token > 0) await transaction.rows(`SELECT ${next} FROM lease_tokens`, { token });
        await transaction.script(`${await switchTriggers(transaction, "ENABLE")}; DROP TABLE ${UNFINISHED}`);
      }),
    [Symbol.asyncDispose]: () => transactions[Symbol.asyncDispose](),
  };
}

async function switchTriggers({ rows }: Transaction, how: "ENABLE" | "DISABLE"): Promise<string> {
  const names = (await rows<{ name: string }>(TABLES)).map(({ name }) => name).filter(isCopied);
  return names.map((name) => `ALTER TABLE ${quoted(name)} ${how} TRIGGER USER`).join(";\n");
}
