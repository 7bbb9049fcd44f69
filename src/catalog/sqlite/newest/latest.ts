import { setImmediate } from "node:timers/promises";
import { believedUntil } from "../../../base/newest-good.ts";
import type { LatestBackups, Standing, StandingBackup, StandingCopy } from "../../overview.ts";
import type { BackupRecord } from "../../records.ts";
import { BACKUPS, fromRow, type Row } from "../tables.ts";
import { NEWEST_BACKUP } from "./newest.ts";

/*
 * The latest backups of every database, by the table that triggers keep: page by page, each in three statements, for both
 * catalogs. No statement joins it with the backups, so no planner can choose to read all of them.
 */

type Read = (sql: string, values: Row) => Promise<Row[]>;

/** Reads rows; `places`: the number of databases read at once before other work gets its turn. */
export interface LatestReader {
  read: Read;
  places: number;
}

const PLACES_PAGE = `SELECT server, database, good_id, good_started_at, left_out, ended_id, ended_started_at FROM latest_backups
  WHERE (server, database) > ($server, $database) ORDER BY server, database LIMIT $places`;
const byId = (columns: string) =>
  `SELECT ${columns} FROM backups WHERE id IN (SELECT value FROM json_each($ids))`;
const STANDING = byId("id, kind, host, status, started_at, finished_at, dump_bytes, object_bytes, error");
const WHOLE = byId(Object.keys(BACKUPS.columns).join(", "));
const COPIES = `SELECT backup_id, storage, state, confirmed_at, locked_until, lock_mode, lock_error, lock_place FROM copies
  WHERE backup_id IN (SELECT value FROM json_each($ids)) ORDER BY backup_id, storage`;

/** One row of the table, with the ids by the rule of `base/newest-good.ts`. */
interface Latest {
  server: string;
  database: string;
  goodId: string | null;
  endedId: string | null;
  /** JSON; undefined: not of this backup. */
  leftOut: string | null | undefined;
}

/** `Overview.latestBackups` */
export async function latestBackups(reader: LatestReader, now: Date): Promise<LatestBackups[]> {
  const { read } = reader;
  const found: LatestBackups[] = [];
  for await (const page of pages(reader, now)) {
    const backups = await backupsOf(read, WHOLE, page, (row) => fromRow<BackupRecord>(BACKUPS, row));
    for (const { server, database, goodId, endedId } of page)
      found.push({ server, database, good: backups(goodId), ended: backups(endedId) });
  }
  return found;
}

/** `Overview.standings` */
export async function standings(reader: LatestReader, now: Date): Promise<Standing[]> {
  const { read } = reader;
  const found: Standing[] = [];
  for await (const page of pages(reader, now)) {
    const backups = await backupsOf(read, STANDING, page, (row) => row as unknown as StandingBackup);
    const ids = JSON.stringify(page.flatMap(({ goodId }) => goodId ?? []));
    const copies = new Map<unknown, StandingCopy[]>();
    for (const { backup_id, ...copy } of await read(COPIES, { ids })) {
      const own = copies.get(backup_id) ?? [];
      copies.set(backup_id, own);
      own.push(copy as unknown as StandingCopy);
    }
    for (const { server, database, goodId, endedId, leftOut } of page) {
      const good = backups(goodId);
      const left_out = leftOut === undefined ? await leftOutOf(read, goodId) : jsonOf(leftOut);
      found.push({
        server,
        database,
        good: good && { ...good, left_out, copies: copies.get(goodId) ?? [] },
        ended: backups(endedId),
      });
    }
  }
  return found;
}

async function* pages({ read, places }: LatestReader, now: Date): AsyncGenerator<Latest[]> {
  const until = believedUntil(now).toISOString();
  let from: Row = { server: "", database: "" };
  for (;;) {
    const rows = await read(PLACES_PAGE, { ...from, places });
    const last = rows.at(-1);
    if (last === undefined) return;
    const page: Latest[] = [];
    for (const row of rows) page.push(await latestOf(read, row, until));
    yield page;
    if (rows.length < places) return;
    from = { server: last["server"] ?? "", database: last["database"] ?? "" };
    await setImmediate();
  }
}

/** A backup that is dated ahead counts only if there is no other. */
async function latestOf(read: Read, row: Row, until: string): Promise<Latest> {
  const [server, database] = [String(row["server"]), String(row["database"])];
  const idOf = async (which: keyof typeof NEWEST_BACKUP) => {
    const id = row[`${which}_id`] as string | null;
    if (id === null || String(row[`${which}_started_at`]) <= until) return id;
    const [believed] = await read(NEWEST_BACKUP[which], { server, database, until });
    return believed ? String(believed["id"]) : id;
  };
  const goodId = await idOf("good");
  const leftOut = goodId === row["good_id"] ? (row["left_out"] as string | null) : undefined;
  return { server, database, goodId, endedId: await idOf("ended"), leftOut };
}

/** Returns how to find the backups of a page by their ids. */
async function backupsOf<B>(
  read: Read,
  sql: string,
  page: readonly Latest[],
  toBackup: (row: Row) => B,
): Promise<(id: string | null) => B | null> {
  const ids = [...new Set(page.flatMap(({ goodId, endedId }) => [goodId ?? [], endedId ?? []].flat()))];
  const rows = await read(sql, { ids: JSON.stringify(ids) });
  const backups = new Map(rows.map((row) => [row["id"], toBackup(row)]));
  return (id) => backups.get(id) ?? null;
}

async function leftOutOf(read: Read, id: string | null): Promise<unknown> {
  const [row] = await read(byId("facts"), { ids: JSON.stringify([id]) });
  const facts = jsonOf((row?.["facts"] ?? null) as string | null) as Record<string, unknown> | null;
  return facts?.["left_out"] ?? null;
}

function jsonOf(text: string | null): unknown {
  return text === null ? null : JSON.parse(text);
}
