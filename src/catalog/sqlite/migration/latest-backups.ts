import { PLACES } from "../statements.ts";

const OF_PLACE = "server = place.server AND database = place.database";
const NEWEST_FIRST = "ORDER BY started_at DESC, id DESC LIMIT 1";
const IS_GOOD = `status IN ('VERIFIED', 'PARTIAL')
      AND EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id AND state = 'CONFIRMED')`;
const IS_ENDED = "status <> 'RUNNING'";

/** In the order in which `latestOf` selects them. */
export const LATEST_COLUMNS =
  "server, database, good_id, good_started_at, left_out, ended_id, ended_started_at";

/**
 * The newest good backup and the newest one that has ended, whatever their date, of every place that has a backup.
 * `leftOut`: an expression for what the config left out of the backup with these `facts`.
 */
export const latestOf = (places: string, leftOut: (facts: string) => string): string => `
    SELECT place.server, place.database, good.id, good.started_at, ${leftOut("good.facts")}, ended.id, ended.started_at
    FROM ${places} AS place
    LEFT JOIN backups AS good ON good.id = (SELECT id FROM backups WHERE ${OF_PLACE} AND ${IS_GOOD} ${NEWEST_FIRST})
    LEFT JOIN backups AS ended ON ended.id = (SELECT id FROM backups WHERE ${OF_PLACE} AND ${IS_ENDED} ${NEWEST_FIRST})`;

const OF_LATEST = "backups.server = latest_backups.server AND backups.database = latest_backups.database";

/**
 * Statements that settle the row of a place after a change of one of its backups, without looking at the others: only if
 * it was the newest, they search for the next one, which is not newer. `id`, `server`, `database`: expressions.
 */
export const settleGood = ({ id, server, database }: Changed, leftOut: (facts: string) => string): string => `
    UPDATE latest_backups SET (good_id, good_started_at, left_out) = (
        SELECT backups.id, backups.started_at, ${leftOut("backups.facts")} FROM backups
        WHERE ${OF_LATEST} AND backups.started_at <= latest_backups.good_started_at AND ${IS_GOOD} ${NEWEST_FIRST})
      WHERE server = ${server} AND database = ${database} AND good_id = ${id}
        AND NOT EXISTS (SELECT 1 FROM backups WHERE id = ${id} AND ${IS_GOOD});
    UPDATE latest_backups SET good_id = changed.id, good_started_at = changed.started_at, left_out = changed.left_out
      FROM (SELECT id, started_at, ${leftOut("facts")} AS left_out FROM backups WHERE id = ${id} AND ${IS_GOOD}) AS changed
      WHERE server = ${server} AND database = ${database} AND (good_id IS NULL
        OR (changed.started_at, changed.id) >= (good_started_at, good_id));`;

export const settleEnded = ({ id, server, database }: Changed): string => `
    UPDATE latest_backups SET (ended_id, ended_started_at) = (SELECT backups.id, backups.started_at FROM backups
        WHERE ${OF_LATEST} AND backups.started_at <= latest_backups.ended_started_at AND ${IS_ENDED} ${NEWEST_FIRST})
      WHERE server = ${server} AND database = ${database} AND ended_id = ${id}
        AND NOT EXISTS (SELECT 1 FROM backups WHERE id = ${id} AND ${IS_ENDED});
    UPDATE latest_backups SET ended_id = changed.id, ended_started_at = changed.started_at
      FROM (SELECT id, started_at FROM backups WHERE id = ${id} AND ${IS_ENDED}) AS changed
      WHERE server = ${server} AND database = ${database} AND (ended_id IS NULL
        OR (changed.started_at, changed.id) > (ended_started_at, ended_id));`;

export const dropEmptyPlace = ({ server, database }: Changed): string => `
    DELETE FROM latest_backups WHERE server = ${server} AND database = ${database}
      AND NOT EXISTS (SELECT 1 FROM backups WHERE server = ${server} AND database = ${database});`;

interface Changed {
  id: string;
  server: string;
  database: string;
}

/**
 * One row for each place, so that a report need not search the backups. The triggers keep it equal to the records, whose
 * `started_at` never changes.
 */
export const latestTable = (options: string): string => `
  CREATE TABLE latest_backups (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    good_id TEXT,
    good_started_at TEXT,
    left_out TEXT,
    ended_id TEXT,
    ended_started_at TEXT,
    PRIMARY KEY (server, database)
  ) ${options};`;

const leftOut = (facts: string) => `json_extract(${facts}, '$.left_out')`;
const of = (row: "NEW" | "OLD"): Changed => ({
  id: `${row}.id`,
  server: `${row}.server`,
  database: `${row}.database`,
});
const ofCopy = (row: "NEW" | "OLD"): Changed => ({
  id: `${row}.backup_id`,
  server: `(SELECT server FROM backups WHERE id = ${row}.backup_id)`,
  database: `(SELECT database FROM backups WHERE id = ${row}.backup_id)`,
});

/** Fills the table from the records. */
export const FILL_LATEST: string = `INSERT INTO latest_backups (${LATEST_COLUMNS}) ${latestOf(`(${PLACES})`, leftOut)}`;

export const LATEST_BACKUPS: string = `${latestTable("STRICT, WITHOUT ROWID")}
  ${FILL_LATEST};
  CREATE TRIGGER backups_latest_insert AFTER INSERT ON backups BEGIN
    INSERT INTO latest_backups (server, database) VALUES (NEW.server, NEW.database) ON CONFLICT DO NOTHING;
    ${settleEnded(of("NEW"))} END;
  CREATE TRIGGER backups_latest_update AFTER UPDATE OF status, facts ON backups BEGIN
    ${settleGood(of("NEW"), leftOut)}${settleEnded(of("NEW"))} END;
  CREATE TRIGGER backups_latest_delete AFTER DELETE ON backups BEGIN
    ${settleGood(of("OLD"), leftOut)}${settleEnded(of("OLD"))}${dropEmptyPlace(of("OLD"))} END;
  CREATE TRIGGER copies_latest_insert AFTER INSERT ON copies WHEN NEW.state = 'CONFIRMED' BEGIN
    ${settleGood(ofCopy("NEW"), leftOut)} END;
  CREATE TRIGGER copies_latest_update AFTER UPDATE OF state ON copies
    WHEN (NEW.state = 'CONFIRMED') <> (OLD.state = 'CONFIRMED') BEGIN
    ${settleGood(ofCopy("NEW"), leftOut)} END;
  CREATE TRIGGER copies_latest_delete AFTER DELETE ON copies WHEN OLD.state = 'CONFIRMED' BEGIN
    ${settleGood(ofCopy("OLD"), leftOut)} END;
`;
