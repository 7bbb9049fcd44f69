import { setImmediate } from "node:timers/promises";
import { believedUntil } from "../../../base/newest-good.ts";
import type { LatestBackups, Standing, StandingBackup, StandingCopy } from "../../overview.ts";
import type { BackupRecord } from "../../records.ts";
import { BACKUPS, type Binding, fromRow, type Row } from "../tables.ts";
import { NEWEST_BACKUP } from "./newest.ts";

/*
 * The latest backups of every database, by the table that triggers keep, page by page, for both catalogs. What a report shows
 * of them stands in the table itself. No statement joins it with the backups, so no planner can choose to read all of them.
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

const placesPage = (columns: string) =>
  `SELECT ${columns} FROM latest_backups
  WHERE (server, database) > ($server, $database) ORDER BY server, database LIMIT $places`;
const IDS = "server, database, good_id, good_started_at, ended_id, ended_started_at";
const IDS_PAGE = placesPage(IDS);
const STANDINGS_PAGE = placesPage(`${IDS}, left_out, good, good_copies, ended`);
const byId = (columns: string) =>
  `SELECT ${columns} FROM backups WHERE id IN (SELECT value FROM json_each($ids))`;
const STANDING = byId("id, kind, host, status, started_at, finished_at, dump_bytes, object_bytes, error");
const WHOLE = byId(Object.keys(BACKUPS.columns).join(", "));
const COPIES = `SELECT storage, state, confirmed_at, locked_until, lock_mode, lock_error, lock_place FROM copies
  WHERE backup_id IN (SELECT value FROM json_each($ids)) ORDER BY storage`;

/** One row of the table, with the ids by the rule of `base/newest-good.ts`. */
interface Latest {
  server: string;
  database: string;
  goodId: string | null;
  endedId: string | null;
  row: Row;
}

/** `Overview.latestBackups` */
export function latestBackups(reader: LatestReader, now: Date): Promise<LatestBackups[]> {
  return pages(reader, now, IDS_PAGE, function* (page) {
    const ids = [...new Set(page.flatMap(({ goodId, endedId }) => [goodId ?? [], endedId ?? []].flat()))];
    const rows = yield [WHOLE, { ids: JSON.stringify(ids) }];
    const backups = new Map(rows.map((row) => [row["id"], fromRow<BackupRecord>(BACKUPS, row)]));
    const backup = (id: string | null) => backups.get(id) ?? null;
    return page.map(({ server, database, goodId, endedId }) => {
      return { server, database, good: backup(goodId), ended: backup(endedId) };
    });
  });
}

/** `Overview.standings` */
export function standings(reader: LatestReader, now: Date): Promise<Standing[]> {
  return pages(reader, now, STANDINGS_PAGE, function* (page) {
    const found: Standing[] = [];
    for (const { server, database, goodId, endedId, row } of page) {
      const good = goodId === row["good_id"] ? goodIn(row) : yield* goodOf(goodId);
      const ended = endedId === row["ended_id"] ? jsonOf(row["ended"]) : yield* standingOf(endedId);
      found.push({ server, database, good, ended: ended as StandingBackup | null });
    }
    return found;
  });
}

async function pages<T>(
  { atOneMoment, places }: LatestReader,
  now: Date,
  sql: string,
  readMore: (page: readonly Latest[]) => Reading<T[]>,
): Promise<T[]> {
  const until = believedUntil(now).toISOString();
  const found: T[] = [];
  let from: Row = { server: "", database: "" };
  for (;;) {
    const { page, more } = await atOneMoment(function* () {
      const page: Latest[] = [];
      for (const row of yield [sql, { ...from, places }]) page.push(yield* latestOf(row, until));
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
  return { server, database, goodId: yield* idOf("good"), endedId: yield* idOf("ended"), row };
}

function goodIn(row: Row): Standing["good"] {
  const good = jsonOf(row["good"]) as StandingBackup | null;
  const copies = (jsonOf(row["good_copies"]) ?? []) as StandingCopy[];
  return good && { ...good, left_out: jsonOf(row["left_out"]), copies };
}

/** One that the table does not name. */
function* goodOf(id: string | null): Reading<Standing["good"]> {
  const good = yield* standingOf(id);
  const ids = JSON.stringify([id]);
  const [row] = yield [byId("facts"), { ids }];
  const facts = jsonOf(row?.["facts"]) as Record<string, unknown> | null;
  const copies = (yield [COPIES, { ids }]) as unknown as StandingCopy[];
  return good && { ...good, left_out: facts?.["left_out"] ?? null, copies };
}

function* standingOf(id: string | null): Reading<StandingBackup | null> {
  const [row] = yield [STANDING, { ids: JSON.stringify([id]) }];
  return (row as unknown as StandingBackup | undefined) ?? null;
}

function jsonOf(text: Binding | undefined): unknown {
  return typeof text === "string" ? JSON.parse(text) : null;
}
