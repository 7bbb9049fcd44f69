import {
  BACKUP_FIELDS_CHANGED,
  BACKUP_PAIRS,
  COPY_FIELDS_CHANGED,
  COPY_PAIRS,
  IDS_SET,
  IS_LATEST,
  isOfGood,
  READ_AGAIN,
  STANDING_COLUMNS,
} from "../../sqlite/migration/standings.ts";
import { triggerFunction } from "./trigger-function.ts";

const fieldsOf = (id: string) =>
  `(SELECT json_build_object(${BACKUP_PAIRS})::text FROM backups WHERE id = ${id})`;

/** Another session may be making this backup the newest: whether it is one is known only once that session has ended. */
const lock = (where: string) => `PERFORM 1 FROM latest_backups WHERE ${where} FOR UPDATE;`;
const readAgainOf = (row: "NEW" | "OLD") => `
      ${lock(`(server, database) = (SELECT server, database FROM backups WHERE id = ${row}.backup_id)`)}
      ${READ_AGAIN} WHERE ${isOfGood(row)};`;

/**
 * As in SQLite. The row is locked before its trigger runs, and each statement of a trigger sees what is committed by then:
 * so the fields that are read include the changes of all others before.
 */
export const STANDINGS = `${STANDING_COLUMNS}
  CREATE FUNCTION read_latest_fields() RETURNS trigger LANGUAGE plpgsql SET search_path = pg321 AS $trigger$
  BEGIN
    NEW.good := ${fieldsOf("NEW.good_id")};
    NEW.good_copies := (SELECT json_agg(json_build_object(${COPY_PAIRS}) ORDER BY storage)::text
      FROM copies WHERE backup_id = NEW.good_id);
    NEW.ended := ${fieldsOf("NEW.ended_id")};
    RETURN NEW;
  END $trigger$;
  CREATE TRIGGER latest_fields BEFORE INSERT OR ${IDS_SET} ON latest_backups
    FOR EACH ROW EXECUTE FUNCTION read_latest_fields();
  ${READ_AGAIN};
  ${triggerFunction(
    "fields_of_backup",
    `${lock("server = NEW.server AND database = NEW.database")}
      ${READ_AGAIN} WHERE ${IS_LATEST};`,
  )}
  ${triggerFunction(
    "fields_of_copy",
    `IF TG_OP = 'DELETE' THEN ${readAgainOf("OLD")}
    ELSE ${readAgainOf("NEW")}
    END IF;`,
  )}
  CREATE TRIGGER backups_fields AFTER ${BACKUP_FIELDS_CHANGED} ON backups
    FOR EACH ROW EXECUTE FUNCTION fields_of_backup();
  CREATE TRIGGER copies_fields AFTER INSERT OR DELETE OR ${COPY_FIELDS_CHANGED} ON copies
    FOR EACH ROW EXECUTE FUNCTION fields_of_copy();
`;
