import { Database, type Statement } from "bun:sqlite";

export interface RowsRead {
  /** The most rows that one query put into memory. */
  largest: number;
  /** All of them. */
  total: number;
  /** How often the event loop got a turn. */
  turns: number;
}

/** Counts the rows that queries of SQLite catalogs in this process return while `work` runs. */
export async function rowsRead(work: () => Promise<unknown>): Promise<RowsRead> {
  const { query } = Database.prototype;
  const read: RowsRead = { largest: 0, total: 0, turns: 0 };
  let isOver = false;
  const turn = () => {
    read.turns++;
    if (!isOver) setImmediate(turn);
  };
  const counted = new Set<Statement>();
  Database.prototype.query = function counting(this: Database, sql: string) {
    const statement = query.call(this, sql);
    if (counted.has(statement)) return statement;
    counted.add(statement);
    // Each statement has an `all` of its own, so one of the prototype would count nothing.
    const { all } = statement;
    statement.all = (...bindings) => {
      const rows = all.apply(statement, bindings);
      read.largest = Math.max(read.largest, rows.length);
      read.total += rows.length;
      return rows;
    };
    return statement;
  } as typeof query;
  try {
    setImmediate(turn);
    await work();
    return read;
  } finally {
    isOver = true;
    Database.prototype.query = query;
  }
}
