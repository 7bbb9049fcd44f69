import { Pg321Error } from "../../base/errors.ts";
import { changeOf, insertion } from "../sqlite/statements.ts";
import { columnsOf, fromRow, type Row, type Table } from "../sqlite/tables.ts";
import type { Do, Transaction } from "./transactions.ts";

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
  const changing = changeOf(table, key, change);
  return transact(`update ${table.name}`, async (transaction) => {
    if ((await transaction.run(...changing)) === 1) return;
    const wanted = Object.values(key).join(" in ");
    throw new Pg321Error("storage", `${label}: cannot update ${table.name}: no record of ${wanted}`);
  });
}
