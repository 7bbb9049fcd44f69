import { setImmediate } from "node:timers/promises";
import type { BackupOutline, OutlineFilter } from "../outlines.ts";
import { equalTo } from "./statements.ts";
import type { Row } from "./tables.ts";

type Read = (sql: string, values: Row) => Promise<Row[]>;

/**
 * Continues after the end of the previous page, by the index on time: no page takes longer the more backups there
 * are.
 */
const page = (conditions: readonly string[]) =>
  `SELECT id, run_id, server, database, host, status, started_at, held_at, hold_until, unreadable FROM backups
  WHERE (started_at, id) < ($started_at, $id) AND ${conditions.join(" AND ")}
  ORDER BY started_at DESC, id DESC LIMIT $limit`;
/** Written so that SQLite does not choose the index on the status, and sort. */
const STATUS = "($status IS NULL OR status IN (SELECT value FROM json_each($status)))";
const COPIES = `SELECT backup_id, storage, state FROM copies
  WHERE backup_id IN (SELECT value FROM json_each($ids)) ORDER BY backup_id, storage`;
/** Backups read at once before other work gets its turn. */
const BATCH = 100;
/** Sorts after every time and every id. */
const END = "\u{10ffff}";

/** `Catalog.outlines` */
export async function* backupOutlines(
  read: Read,
  { server, database, status, isAny = false }: OutlineFilter,
): AsyncGenerator<BackupOutline[]> {
  const wanted = status === undefined ? null : JSON.stringify(status);
  const { where, values } = equalTo({ server, database });
  const sql = page([...where, STATUS, ...(isAny ? [] : ["manifest IS NOT NULL"])]);
  let from: Row = { started_at: END, id: END };
  for (;;) {
    const rows = await read(sql, { ...values, ...from, status: wanted, limit: BATCH });
    const last = rows.at(-1);
    if (last === undefined) return;
    const ids = JSON.stringify(rows.map(({ id }) => id));
    const copies = Map.groupBy(await read(COPIES, { ids }), ({ backup_id }) => backup_id);
    yield rows.map((row) => ({
      ...(row as unknown as Omit<BackupOutline, "copies">),
      copies: (copies.get(row["id"] ?? null) ?? []) as unknown as BackupOutline["copies"],
    }));
    from = { started_at: last["started_at"] ?? END, id: last["id"] ?? END };
    await setImmediate();
  }
}
