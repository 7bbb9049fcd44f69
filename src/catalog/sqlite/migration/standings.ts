const BACKUP_FIELDS =
  "id, kind, host, status, started_at, finished_at, dump_bytes, object_bytes, error".split(", ");
const COPY_FIELDS = "storage, state, confirmed_at, locked_until, lock_mode, lock_error, lock_place".split(
  ", ",
);

/** Names and values, as the functions of both catalogs that make a JSON object take them. */
const pairs = (fields: readonly string[]) => fields.map((field) => `'${field}', ${field}`).join(", ");
export const BACKUP_PAIRS: string = pairs(BACKUP_FIELDS);
export const COPY_PAIRS: string = pairs(COPY_FIELDS);

/**
 * The columns of `latest_backups` with the fields of its backups that a report shows, as JSON: finding 2,000 backups and
 * 6,000 copies among millions took longer than all else that a report reads.
 */
export const STANDING_COLUMNS = `
  ALTER TABLE latest_backups ADD COLUMN good TEXT;
  ALTER TABLE latest_backups ADD COLUMN good_copies TEXT;
  ALTER TABLE latest_backups ADD COLUMN ended TEXT;`;

/** Whatever sets one of these ids, even to the same, makes a trigger read the fields again. */
export const READ_AGAIN = "UPDATE latest_backups SET good_id = good_id";
export const IDS_SET = "UPDATE OF good_id, ended_id";
/** When the fields change, although the ids may not. */
export const BACKUP_FIELDS_CHANGED = `UPDATE OF ${BACKUP_FIELDS.join(", ")}`;
export const COPY_FIELDS_CHANGED = `UPDATE OF ${COPY_FIELDS.join(", ")}`;
export const IS_LATEST =
  "server = NEW.server AND database = NEW.database AND (good_id = NEW.id OR ended_id = NEW.id)";
export const isOfGood = (row: "NEW" | "OLD"): string => `good_id = ${row}.backup_id
      AND (server, database) = (SELECT server, database FROM backups WHERE id = ${row}.backup_id)`;

const FIELDS = `
    UPDATE latest_backups SET
      good = (SELECT json_object(${BACKUP_PAIRS}) FROM backups WHERE id = good_id),
      good_copies = (SELECT json_group_array(json(one)) FROM (
        SELECT json_object(${COPY_PAIRS}) AS one FROM copies WHERE backup_id = good_id ORDER BY storage)),
      ended = (SELECT json_object(${BACKUP_PAIRS}) FROM backups WHERE id = ended_id)
    WHERE server = NEW.server AND database = NEW.database;`;

export const STANDINGS = `${STANDING_COLUMNS}
  CREATE TRIGGER latest_fields_insert AFTER INSERT ON latest_backups BEGIN ${FIELDS} END;
  CREATE TRIGGER latest_fields_update AFTER ${IDS_SET} ON latest_backups BEGIN ${FIELDS} END;
  ${READ_AGAIN};
  CREATE TRIGGER backups_fields AFTER ${BACKUP_FIELDS_CHANGED} ON backups BEGIN ${READ_AGAIN} WHERE ${IS_LATEST}; END;
  CREATE TRIGGER copies_fields_insert AFTER INSERT ON copies BEGIN ${READ_AGAIN} WHERE ${isOfGood("NEW")}; END;
  CREATE TRIGGER copies_fields_update AFTER ${COPY_FIELDS_CHANGED} ON copies BEGIN
    ${READ_AGAIN} WHERE ${isOfGood("NEW")}; END;
  CREATE TRIGGER copies_fields_delete AFTER DELETE ON copies BEGIN ${READ_AGAIN} WHERE ${isOfGood("OLD")}; END;
`;
