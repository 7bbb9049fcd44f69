/** States of copies that are, or should be, in a storage. */
export const STORED = "('CONFIRMED', 'DAMAGED', 'MISSING')";
export const FACTS = "server, database, started_at, id, host, kind, status, held_at, hold_until, hold_reason";
/** The order of the values of a copy in the list. */
export const COPY_VALUES =
  "storage, state, object_bytes, confirmed_at, locked_until, lock_mode, lock_error, lock_place";
/** The columns of `copies` by which the list changes. */
const WATCHED = `state, object_bytes, confirmed_at, locked_until, lock_mode, lock_error, lock_place, storage`;

/**
 * A narrow row for each backup, with its stored copies as JSON (a list for each, null if there are none), in the order of
 * retention's plan, which reads all of them. Two thirds of the time went into finding the copies, and rows of kilobytes.
 */
export const retainedTable = (key: string, options: string): string => `
  CREATE TABLE retained_backups (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    started_at TEXT NOT NULL,
    id TEXT NOT NULL,
    host TEXT,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    held_at TEXT,
    hold_until TEXT,
    hold_reason TEXT,
    copies TEXT${key}
  ) ${options};`;

export const insertRetained = `INSERT INTO retained_backups (${FACTS})
      VALUES (${FACTS.replace(/\w+/g, "NEW.$&")});`;
const keyOf = (row: "NEW" | "OLD") =>
  `server = ${row}.server AND database = ${row}.database AND started_at = ${row}.started_at AND id = ${row}.id`;
export const updateRetained = `UPDATE retained_backups SET host = NEW.host, status = NEW.status, held_at = NEW.held_at,
      hold_until = NEW.hold_until, hold_reason = NEW.hold_reason WHERE ${keyOf("NEW")};`;
export const deleteRetained = `DELETE FROM retained_backups WHERE ${keyOf("OLD")};`;
/** `of`: an expression for the id of the backup. */
export const whereRetained = (of: string): string =>
  `(server, database, started_at, id) = (SELECT server, database, started_at, id FROM backups WHERE id = ${of})`;

/** When the triggers fire. */
export const BACKUP_CHANGED = "UPDATE OF host, status, held_at, hold_until, hold_reason";
export const COPY_CHANGED = `UPDATE OF ${WATCHED}`;
export const IS_STORED = `NEW.state IN ${STORED}`;
export const WAS_STORED = `OLD.state IN ${STORED}`;

const copiesOf = (of: string) => `(SELECT nullif(json_group_array(json_array(${COPY_VALUES})), '[]')
        FROM (SELECT * FROM copies WHERE backup_id = ${of} AND state IN ${STORED} ORDER BY storage))`;
const settle = (of: string) =>
  `UPDATE retained_backups SET copies = ${copiesOf(of)} WHERE ${whereRetained(of)};`;

/** The rows of the backups of which the ids are in a range, as far as they are missing: for a copy of the catalog. */
export const FILL_RETAINED_RANGE: string = `INSERT INTO retained_backups SELECT ${FACTS}, ${copiesOf("backups.id")}
    FROM backups WHERE id > $after AND id <= $until ON CONFLICT DO NOTHING`;

/** Fills the table from the records. */
export const FILL_RETAINED: string = `INSERT INTO retained_backups SELECT ${FACTS}, ${copiesOf("backups.id")} FROM backups
    ORDER BY server, database, started_at DESC, id DESC`;

export const RETAINED_BACKUPS: string = `${retainedTable(
  ",\n    PRIMARY KEY (server, database, started_at DESC, id DESC)",
  "STRICT, WITHOUT ROWID",
)}
  ${FILL_RETAINED};
  CREATE TRIGGER backups_retained_insert AFTER INSERT ON backups BEGIN ${insertRetained} END;
  CREATE TRIGGER backups_retained_update AFTER ${BACKUP_CHANGED} ON backups BEGIN ${updateRetained} END;
  CREATE TRIGGER backups_retained_delete AFTER DELETE ON backups BEGIN ${deleteRetained} END;
  CREATE TRIGGER copies_retained_insert AFTER INSERT ON copies WHEN ${IS_STORED} BEGIN ${settle("NEW.backup_id")} END;
  CREATE TRIGGER copies_retained_update AFTER ${COPY_CHANGED} ON copies WHEN ${IS_STORED} OR ${WAS_STORED} BEGIN ${settle("NEW.backup_id")} END;
  CREATE TRIGGER copies_retained_delete AFTER DELETE ON copies WHEN ${WAS_STORED} BEGIN ${settle("OLD.backup_id")} END;
`;
