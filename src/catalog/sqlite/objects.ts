import type { Row } from "./tables.ts";

/** By the primary key, which begins with the backup: each page begins after the end of the previous one. */
const PAGE = 2_000;
const OBJECT_KEYS = `SELECT object_key, backup_id FROM copies
  WHERE storage = $storage AND state != 'DELETED' AND backup_id > $after ORDER BY backup_id LIMIT ${PAGE}`;

/**
 * First selects by an index the backups that may have no copies left: most backups have good ones, and to look at
 * the copies of each takes long.
 */
export const WITHOUT_COPIES = `WHERE status != 'RUNNING' AND id IN (
    SELECT backup_id FROM copies WHERE state IN ('FAILED', 'DELETED')
    UNION SELECT id FROM backups WHERE NOT EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id))
  AND NOT EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id AND state NOT IN ('FAILED', 'DELETED'))
  ORDER BY started_at, id`;

/** The keys of the objects that a storage may hold, page by page; gives way to other work in between. */
export async function* objectKeys(
  read: (sql: string, values: Row) => Promise<Row[]>,
  storage: string,
): AsyncGenerator<string[]> {
  let after = "";
  for (;;) {
    const rows = await read(OBJECT_KEYS, { storage, after });
    if (rows.length === 0) return;
    yield rows.map((row) => String(row["object_key"]));
    after = String(rows.at(-1)?.["backup_id"]);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
