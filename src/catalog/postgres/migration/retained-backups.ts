import {
  BACKUP_CHANGED,
  COPY_CHANGED,
  COPY_VALUES,
  deleteRetained,
  FACTS,
  IS_STORED,
  insertRetained,
  retainedTable,
  STORED,
  updateRetained,
  WAS_STORED,
  whereRetained,
} from "../../sqlite/migration/retained-backups.ts";
import { triggerFunction } from "./trigger-function.ts";

const COPIES = `json_agg(json_build_array(${COPY_VALUES}) ORDER BY storage)::text`;

/** Fills the table from the records. */
export const FILL_RETAINED: string = `INSERT INTO retained_backups (${FACTS}, copies)
    SELECT ${FACTS}, stored.copies FROM backups LEFT JOIN (
        SELECT backup_id, ${COPIES} AS copies FROM copies WHERE state IN ${STORED} GROUP BY backup_id) AS stored
      ON stored.backup_id = backups.id
    ORDER BY server, database, started_at DESC, id DESC`;

/** The rows of the backups of which the ids are in a range, as far as they are missing: for a copy of the catalog. */
export const FILL_RETAINED_RANGE: string = `INSERT INTO retained_backups (${FACTS}, copies)
    SELECT ${FACTS}, (SELECT ${COPIES} FROM copies WHERE backup_id = backups.id AND state IN ${STORED})
    FROM backups WHERE id > $after AND id <= $until ON CONFLICT DO NOTHING`;

/**
 * As in SQLite. The row is locked before the copies are read, so that the list includes the changes of all others before.
 */
export const RETAINED_BACKUPS: string = `${retainedTable("", "WITH (fillfactor = 70)")}
  ${FILL_RETAINED};
  CREATE UNIQUE INDEX retained_backups_in_order ON retained_backups (server, database, started_at DESC, id DESC);
  CREATE FUNCTION settle_retained(of_backup text) RETURNS void LANGUAGE plpgsql SET search_path = pg321 AS $settle$
  BEGIN
    PERFORM 1 FROM retained_backups WHERE ${whereRetained("of_backup")} FOR UPDATE;
    UPDATE retained_backups SET copies = (SELECT ${COPIES} FROM copies WHERE backup_id = of_backup AND state IN ${STORED})
      WHERE ${whereRetained("of_backup")};
  END $settle$;
  ${triggerFunction(
    "retain_backup",
    `IF TG_OP = 'INSERT' THEN
      ${insertRetained}
    ELSIF TG_OP = 'UPDATE' THEN
      ${updateRetained}
    ELSE
      ${deleteRetained}
    END IF;`,
  )}
  ${triggerFunction(
    "retain_copy",
    `IF TG_OP = 'DELETE' THEN
      PERFORM settle_retained(OLD.backup_id);
    ELSE
      PERFORM settle_retained(NEW.backup_id);
    END IF;`,
  )}
  CREATE TRIGGER backups_retained AFTER INSERT OR DELETE OR ${BACKUP_CHANGED} ON backups
    FOR EACH ROW EXECUTE FUNCTION retain_backup();
  CREATE TRIGGER copies_retained_insert AFTER INSERT ON copies FOR EACH ROW
    WHEN (${IS_STORED}) EXECUTE FUNCTION retain_copy();
  CREATE TRIGGER copies_retained_update AFTER ${COPY_CHANGED} ON copies FOR EACH ROW
    WHEN (${IS_STORED} OR ${WAS_STORED}) EXECUTE FUNCTION retain_copy();
  CREATE TRIGGER copies_retained_delete AFTER DELETE ON copies FOR EACH ROW
    WHEN (${WAS_STORED}) EXECUTE FUNCTION retain_copy();
`;
