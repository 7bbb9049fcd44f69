import {
  dropEmptyPlace,
  LATEST_COLUMNS,
  latestOf,
  latestTable,
  settleEnded,
  settleGood,
} from "../../sqlite/migration/latest-backups.ts";
import { PLACES } from "../../sqlite/statements.ts";
import { readableJson } from "../dialect.ts";
import { triggerFunction } from "./trigger-function.ts";

export const leftOut = (facts: string): string => `(${readableJson(facts)} -> 'left_out')::text`;
const CHANGED = { id: "of_backup", server: "of_server", database: "of_database" };

/**
 * As in SQLite. The row of the place is locked before the backups are read, so that what is read includes the changes of
 * all others before.
 */
export const LATEST_BACKUPS: string = `${latestTable("")}
  INSERT INTO latest_backups (${LATEST_COLUMNS}) ${latestOf(`(${PLACES})`, leftOut)};
  CREATE FUNCTION settle_latest(of_backup text, of_server text, of_database text) RETURNS void LANGUAGE plpgsql
    SET search_path = pg321 AS $settle$
  BEGIN
    PERFORM 1 FROM latest_backups WHERE server = of_server AND database = of_database FOR UPDATE;
    IF NOT FOUND THEN
      INSERT INTO latest_backups (server, database) VALUES (of_server, of_database)
        ON CONFLICT (server, database) DO UPDATE SET server = excluded.server;
    END IF;
    ${settleGood(CHANGED, leftOut)}${settleEnded(CHANGED)}
  END $settle$;
  ${triggerFunction(
    "latest_of_backup",
    `IF TG_OP = 'DELETE' THEN
      PERFORM settle_latest(OLD.id, OLD.server, OLD.database);
      ${dropEmptyPlace({ id: "OLD.id", server: "OLD.server", database: "OLD.database" })}
    ELSE
      PERFORM settle_latest(NEW.id, NEW.server, NEW.database);
    END IF;`,
  )}
  ${triggerFunction(
    "latest_of_copy",
    `IF TG_OP = 'DELETE' THEN
      PERFORM settle_latest(id, server, database) FROM backups WHERE id = OLD.backup_id;
    ELSE
      PERFORM settle_latest(id, server, database) FROM backups WHERE id = NEW.backup_id;
    END IF;`,
  )}
  CREATE TRIGGER backups_latest AFTER INSERT OR DELETE OR UPDATE OF status, facts ON backups
    FOR EACH ROW EXECUTE FUNCTION latest_of_backup();
  CREATE TRIGGER copies_latest_insert AFTER INSERT ON copies FOR EACH ROW
    WHEN (NEW.state = 'CONFIRMED') EXECUTE FUNCTION latest_of_copy();
  CREATE TRIGGER copies_latest_update AFTER UPDATE OF state ON copies FOR EACH ROW
    WHEN ((NEW.state = 'CONFIRMED') <> (OLD.state = 'CONFIRMED')) EXECUTE FUNCTION latest_of_copy();
  CREATE TRIGGER copies_latest_delete AFTER DELETE ON copies FOR EACH ROW
    WHEN (OLD.state = 'CONFIRMED') EXECUTE FUNCTION latest_of_copy();
`;
