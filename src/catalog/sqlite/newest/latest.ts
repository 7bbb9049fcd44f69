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

/** Statements, one after the other: each is yielded and comes back with its rows. */
export type Reading<T> = Generator<[sql: string, values: Row], T, Row[]>;

/** `places`: the number of databases read at once before other work gets its turn. */
export interface LatestReader {
  /**
   * All statements see the same moment: otherwise a backup that is removed between two of them would leave its database
   * without one, although there is an older one. Calls `begin` again if it must read again.
   */
  atOneMoment<T>(begin: () => Reading<T>): Promise<T>;
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
export function latestBackups(reader: LatestReader, now: Date): Promise<LatestBackups[]> {
  return pages(reader, now, function* (page) {
    const backups = yield* backupsOf(WHOLE, page, (row) => fromRow<BackupRecord>(BACKUPS, row));
    return page.map(({ server, database, goodId, endedId }) => {
      return { server, database, good: backups(goodId), ended: backups(endedId) };
    });
  });
}

/** `Overview.standings` */
export function standings(reader: LatestReader, now: Date): Promise<Standing[]> {
  return pages(reader, now, function* (page) {
    const backups = yield* backupsOf(STANDING, page, (row) => row as unknown as StandingBackup);
    const copies = yield* copiesOf(page);
    const found: Standing[] = [];
    for (const { server, database, goodId, endedId, leftOut } of page) {
      const good = backups(goodId);
      const left_out = leftOut === undefined ? yield* leftOutOf(goodId) : jsonOf(leftOut);
      found.push({
        server,
        database,
        good: good && { ...good, left_out, copies: copies.get(goodId) ?? [] },
        ended: backups(endedId),
      });
    }
    return found;
  });
}

async function pages<T>(
  { atOneMoment, places }: LatestReader,
  now: Date,
  readMore: (page: readonly Latest[]) => Reading<T[]>,
): Promise<T[]> {
  const until = believedUntil(now).toISOString();
  const found: T[] = [];
  let from: Row = { server: "", database: "" };
  for (;;) {
    const { page, more } = await atOneMoment(function* () {
      const rows = yield [PLACES_PAGE, { ...from, places }];
      const page: Latest[] = [];
      for (const row of rows) page.push(yield* latestOf(row, until));
      return { page, more: yield* readMore(page) };
    });
    for (const one of more) found.push(one);
    const last = page.at(-1);
    if (last === undefined || page.length < places) return found;
    from = { server: last.server, database: last.database };
    await setImmediate();
  }
}

/** A backup that is dated ahead counts only if there is no other. */
function* latestOf(row: Row, until: string): Reading<Latest> {
  const [server, database] = [String(row["server"]), String(row["database"])];
  function* idOf(which: keyof typeof NEWEST_BACKUP): Reading<string | null> {
    const id = row[`${which}_id`] as string | null;
    if (id === null || String(row[`${which}_started_at`]) <= until) return id;
    const [believed] = yield [NEWEST_BACKUP[which], { server, database, until }];
    return believed ? String(believed["id"]) : id;
  }
  const goodId = yield* idOf("good");
  const leftOut = goodId === row["good_id"] ? (row["left_out"] as string | null) : undefined;
  return { server, database, goodId, endedId: yield* idOf("ended"), leftOut };
}

/** Returns how to find the backups of a page by their ids. */
function* backupsOf<B>(
  sql: string,
  page: readonly Latest[],
  toBackup: (row: Row) => B,
): Reading<(id: string | null) => B | null> {
  const ids = [...new Set(page.flatMap(({ goodId, endedId }) => [goodId ?? [], endedId ?? []].flat()))];
  const rows = yield [sql, { ids: JSON.stringify(ids) }];
  const backups = new Map(rows.map((row) => [row["id"], toBackup(row)]));
  return (id) => backups.get(id) ?? null;
}

function* copiesOf(page: readonly Latest[]): Reading<Map<unknown, StandingCopy[]>> {
  const ids = JSON.stringify(page.flatMap(({ goodId }) => goodId ?? []));
  const copies = new Map<unknown, StandingCopy[]>();
  for (const { backup_id, ...copy } of yield [COPIES, { ids }]) {
    const own = copies.get(backup_id) ?? [];
    copies.set(backup_id, own);
    own.push(copy as unknown as StandingCopy);
  }
  return copies;
}

function* leftOutOf(id: string | null): Reading<unknown> {
  const [row] = yield [byId("facts"), { ids: JSON.stringify([id]) }];
  const facts = jsonOf((row?.["facts"] ?? null) as string | null) as Record<string, unknown> | null;
  return facts?.["left_out"] ?? null;
}

function jsonOf(text: string | null): unknown {
  return text === null ? null : JSON.parse(text);
}
