import type { Database } from "bun:sqlite";
import { setImmediate } from "node:timers/promises";
import { DAY_MS } from "../../base/limits.ts";
import { believedUntil } from "../../base/newest-good.ts";
import type { CopyToVerify, Coverage, Verification } from "../verification.ts";
import type { Do } from "./busy.ts";
import type { Row } from "./tables.ts";

type Read = (sql: string, values: Row) => Promise<Row[]>;

const COLUMNS = "copies.backup_id, copies.storage, copies.object_bytes, server, database, host";
/** Continues after the end of the previous page, by the index on time. */
const BACKUPS = `SELECT id, started_at FROM backups WHERE (started_at, id) > ($started_at, $id)
  ORDER BY started_at, id LIMIT $limit`;
const NEVER_READ = `SELECT ${COLUMNS} FROM copies JOIN backups ON backups.id = copies.backup_id
  WHERE backup_id IN (SELECT value FROM json_each($ids)) AND state = 'CONFIRMED' AND verified_at IS NULL
  ORDER BY started_at, id, storage`;
/** SQLite would choose the index on the state, and sort all copies for every page. */
const READ = `SELECT ${COLUMNS}, verified_at FROM copies INDEXED BY copies_by_verification JOIN backups ON backups.id = copies.backup_id
  WHERE state = 'CONFIRMED' AND verified_at < $before
    AND (verified_at, copies.backup_id, copies.storage) > ($verified_at, $backup_id, $storage)
  ORDER BY verified_at, copies.backup_id, copies.storage LIMIT $limit`;
export const COVERAGE: string = `SELECT storage, sum(copies) AS copies, sum(bytes) AS bytes FROM verified_days
  WHERE day BETWEEN $since AND $until GROUP BY storage ORDER BY storage`;
/** Rows read at once before other work gets its turn. */
const BATCH = 300;

export class SqliteVerification implements Verification {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  queue(before: string): AsyncGenerator<CopyToVerify[]> {
    return verificationQueue((sql, values) => this.#rows(sql, values), before);
  }

  async coverage(days: number, now: Date): Promise<Coverage[]> {
    const since = dayOf(new Date(now.getTime() - days * DAY_MS));
    const rows = await this.#rows(COVERAGE, { since, until: dayOf(believedUntil(now)) });
    return rows.map((row) => ({ ...(row as unknown as Omit<Coverage, "days">), days }));
  }

  #rows(sql: string, values: Row): Promise<Row[]> {
    return this.#do("read when copies were verified", () => this.#database.query<Row, Row>(sql).all(values));
  }
}

/** See `Verification.queue`. Also for the catalog in PostgreSQL. */
export async function* verificationQueue(read: Read, before: string): AsyncGenerator<CopyToVerify[]> {
  yield* neverRead(read);
  let from: Row = { verified_at: "", backup_id: "", storage: "" };
  for (;;) {
    const rows = await read(READ, { before, ...from, limit: BATCH });
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows.map(({ verified_at: _, ...copy }) => copy as unknown as CopyToVerify);
    const { verified_at = "", backup_id = "", storage = "" } = last;
    from = { verified_at, backup_id, storage };
    await setImmediate();
  }
}

async function* neverRead(read: Read): AsyncGenerator<CopyToVerify[]> {
  let from: Row = { started_at: "", id: "" };
  for (;;) {
    const backups = await read(BACKUPS, { ...from, limit: BATCH });
    const last = backups.at(-1);
    if (last === undefined) return;
    const ids = JSON.stringify(backups.map(({ id }) => id));
    const copies = await read(NEVER_READ, { ids });
    if (copies.length > 0) yield copies as unknown as CopyToVerify[];
    from = { started_at: last["started_at"] ?? "", id: last["id"] ?? "" };
    await setImmediate();
  }
}

export function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}
