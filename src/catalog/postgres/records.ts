import { Pg321Error } from "../../base/errors.ts";
import { insertion, whereAll } from "../sqlite/statements.ts";
import { fromRow, type Row, type Table, toRow } from "../sqlite/tables.ts";
import type { Do, Transaction } from "./transactions.ts";

/** The columns of a table that its records have; the table may have more. */
export function columnsOf<R extends object>(table: Table<R>): string {
  return Object.keys(table.columns).join(", ");
}

/** The records of a table; `rest` is what follows `FROM`. */
export async function recordsOf<R extends object>(
  transaction: Transaction,
  table: Table<R>,
  rest: string,
  values: Row,
): Promise<R[]> {
  const rows = await transaction.rows(`SELECT ${columnsOf(table)} FROM ${table.name} ${rest}`, values);
  return rows.map((row) => fromRow(table, row));
}

export function select<R extends object>(
  transact: Do,
  table: Table<R>,
  rest: string,
  values: Row,
): Promise<R[]> {
  return transact(`read ${table.name}`, (transaction) => recordsOf(transaction, table, rest, values));
}

export function insert<R extends object>(transact: Do, table: Table<R>, record: R): Promise<void> {
  return transact(
    `insert into ${table.name}`,
    async (transaction) => void (await transaction.run(...insertion("INSERT", table, record))),
  );
}

/** Changes the given fields of one record. Throws if there is none. */
export function update<R extends object>(
  { do: transact, label }: { do: Do; label: string },
  table: Table<R>,
  key: Row,
  change: Partial<NoInfer<R>>,
): Promise<void> {
  const row = toRow(table, change);
  const equal = (names: Row) => Object.keys(names).map((column) => `${column} = $${column}`);
  // Without a change the row is still looked up, so that a missing one is an error.
  const [first] = Object.keys(key);
  const set = equal(row).join(", ") || `${first} = ${first}`;
  const sql = `UPDATE ${table.name} SET ${set} ${whereAll(equal(key))}`;
  return transact(`update ${table.name}`, async (transaction) => {
    if ((await transaction.run(sql, { ...row, ...key })) === 1) return;
    const wanted = Object.values(key).join(" in ");
    throw new Pg321Error("storage", `${label}: update ${table.name}: no record of ${wanted}`);
  });
}
