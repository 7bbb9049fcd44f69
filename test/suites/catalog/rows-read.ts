import { Statement } from "bun:sqlite";

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
  const { all } = Statement.prototype;
  const read: RowsRead = { largest: 0, total: 0, turns: 0 };
  let isOver = false;
  const turn = () => {
    read.turns++;
    if (!isOver) setImmediate(turn);
  };
  Statement.prototype.all = function counted(...bindings) {
    const rows = all.apply(this, bindings);
    read.largest = Math.max(read.largest, rows.length);
    read.total += rows.length;
    return rows;
  };
  try {
    setImmediate(turn);
    await work();
    return read;
  } finally {
    isOver = true;
    Statement.prototype.all = all;
  }
}
