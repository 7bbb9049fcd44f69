import { triggerFunction } from "./trigger-function.ts";

/** The host's clock may be wrong, the server's is one for all. */
export const NOW = `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
const MONTH = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM')";
const OLDEST_MONTH = "to_char((clock_timestamp() AT TIME ZONE 'UTC') - interval '36 months', 'YYYY-MM')";
/** A copy that a person interrupted is no error of its storage, nor one of a backup that ended for another reason. */
const NO_FAILURES = `('interrupted by hand', 'ended by SIGINT', 'not stored: the backup ended before it was complete')`;

/**
 * The tables of sums, and the triggers that keep them equal to the records. A trigger that changes a sum holds the lock
 * on its row until the end of the transaction, so what it reads afterwards includes the changes of all others before.
 * Triggers of one event fire in the order of their names.
 */
export const TOTALS = `
  CREATE TABLE copy_totals (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    storage TEXT NOT NULL,
    copies bigint NOT NULL,
    bytes bigint NOT NULL,
    newest_started_at TEXT,
    PRIMARY KEY (server, database, storage)
  );
  CREATE TABLE run_totals (
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    runs bigint NOT NULL,
    PRIMARY KEY (job, outcome)
  );
  CREATE TABLE verified_days (
    storage TEXT NOT NULL,
    day TEXT NOT NULL,
    copies bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (storage, day)
  );
  CREATE TABLE stored_months (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    storage TEXT NOT NULL,
    month TEXT NOT NULL,
    copies bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (server, database, storage, month)
  );
  CREATE INDEX stored_months_by_month ON stored_months (month);
  ${triggerFunction(
    "count_failure",
    `INSERT INTO storages (name, errors, last_error, last_error_at) VALUES (NEW.storage, 1, NEW.error, ${NOW})
      ON CONFLICT (name) DO UPDATE SET errors = storages.errors + 1, last_error = excluded.last_error,
        last_error_at = excluded.last_error_at;`,
  )}
  CREATE TRIGGER copies_failed_insert AFTER INSERT ON copies FOR EACH ROW
    WHEN (NEW.error NOT IN ${NO_FAILURES}) EXECUTE FUNCTION count_failure();
  CREATE TRIGGER copies_failed_update AFTER UPDATE OF error ON copies FOR EACH ROW
    WHEN (NEW.error NOT IN ${NO_FAILURES} AND NEW.error IS DISTINCT FROM OLD.error)
    EXECUTE FUNCTION count_failure();
  ${triggerFunction(
    "count_copy",
    `IF TG_OP = 'INSERT' THEN
      INSERT INTO copy_totals AS total
        SELECT server, database, NEW.storage, 1, coalesce(NEW.object_bytes, 0), started_at
        FROM backups WHERE id = NEW.backup_id
        ON CONFLICT (server, database, storage) DO UPDATE SET copies = total.copies + 1,
          bytes = total.bytes + excluded.bytes,
          newest_started_at = greatest(total.newest_started_at, excluded.newest_started_at);
    ELSIF TG_OP = 'DELETE' THEN
      UPDATE copy_totals AS total SET copies = total.copies - 1, bytes = total.bytes - coalesce(OLD.object_bytes, 0)
        FROM backups WHERE backups.id = OLD.backup_id AND total.server = backups.server
          AND total.database = backups.database AND total.storage = OLD.storage;
    ELSE
      INSERT INTO copy_totals AS total
        SELECT server, database, NEW.storage,
          (NEW.state = 'CONFIRMED')::int - (OLD.state = 'CONFIRMED')::int,
          CASE WHEN NEW.state = 'CONFIRMED' THEN coalesce(NEW.object_bytes, 0) ELSE 0 END
            - CASE WHEN OLD.state = 'CONFIRMED' THEN coalesce(OLD.object_bytes, 0) ELSE 0 END,
          CASE WHEN NEW.state = 'CONFIRMED' THEN started_at END
        FROM backups WHERE id = NEW.backup_id
        ON CONFLICT (server, database, storage) DO UPDATE SET copies = total.copies + excluded.copies,
          bytes = total.bytes + excluded.bytes,
          newest_started_at = greatest(total.newest_started_at, excluded.newest_started_at);
    END IF;`,
  )}
  CREATE TRIGGER copies_counted_insert AFTER INSERT ON copies FOR EACH ROW
    WHEN (NEW.state = 'CONFIRMED') EXECUTE FUNCTION count_copy();
  CREATE TRIGGER copies_counted_update AFTER UPDATE OF state, object_bytes ON copies FOR EACH ROW
    WHEN (NEW.state = 'CONFIRMED' OR OLD.state = 'CONFIRMED') EXECUTE FUNCTION count_copy();
  CREATE TRIGGER copies_counted_delete AFTER DELETE ON copies FOR EACH ROW
    WHEN (OLD.state = 'CONFIRMED') EXECUTE FUNCTION count_copy();
  ${triggerFunction(
    "find_newest_copy",
    `UPDATE copy_totals AS total SET newest_started_at = (
        SELECT one.started_at FROM backups AS one WHERE one.server = total.server AND one.database = total.database
          AND one.started_at <= total.newest_started_at
          AND EXISTS (SELECT 1 FROM copies WHERE backup_id = one.id AND copies.storage = OLD.storage
            AND state = 'CONFIRMED')
        ORDER BY one.started_at DESC LIMIT 1)
      FROM backups AS gone WHERE gone.id = OLD.backup_id AND total.server = gone.server
        AND total.database = gone.database AND total.storage = OLD.storage
        AND total.newest_started_at = gone.started_at;`,
  )}
  CREATE TRIGGER copies_newest_update AFTER UPDATE OF state ON copies FOR EACH ROW
    WHEN (OLD.state = 'CONFIRMED' AND NEW.state <> 'CONFIRMED') EXECUTE FUNCTION find_newest_copy();
  CREATE TRIGGER copies_newest_delete AFTER DELETE ON copies FOR EACH ROW
    WHEN (OLD.state = 'CONFIRMED') EXECUTE FUNCTION find_newest_copy();
  ${triggerFunction(
    "count_verified",
    `IF TG_OP <> 'DELETE' AND NEW.state = 'CONFIRMED' AND NEW.verified_at IS NOT NULL THEN
      INSERT INTO verified_days AS total
        VALUES (NEW.storage, substr(NEW.verified_at, 1, 10), 1, coalesce(NEW.object_bytes, 0))
        ON CONFLICT (storage, day) DO UPDATE SET copies = total.copies + 1, bytes = total.bytes + excluded.bytes;
    END IF;
    IF TG_OP <> 'INSERT' AND OLD.state = 'CONFIRMED' AND OLD.verified_at IS NOT NULL THEN
      UPDATE verified_days SET copies = copies - 1, bytes = bytes - coalesce(OLD.object_bytes, 0)
        WHERE storage = OLD.storage AND day = substr(OLD.verified_at, 1, 10);
      DELETE FROM verified_days
        WHERE storage = OLD.storage AND day = substr(OLD.verified_at, 1, 10) AND copies = 0 AND bytes = 0;
    END IF;`,
  )}
  CREATE TRIGGER copies_verified AFTER INSERT OR DELETE OR UPDATE OF state, verified_at, object_bytes, storage
    ON copies FOR EACH ROW EXECUTE FUNCTION count_verified();
  ${triggerFunction(
    "count_run",
    `INSERT INTO run_totals AS total VALUES (NEW.job, NEW.outcome, 1)
      ON CONFLICT (job, outcome) DO UPDATE SET runs = total.runs + 1;`,
  )}
  CREATE TRIGGER runs_counted_insert AFTER INSERT ON runs FOR EACH ROW
    WHEN (NEW.outcome <> 'RUNNING') EXECUTE FUNCTION count_run();
  CREATE TRIGGER runs_counted_update AFTER UPDATE OF outcome ON runs FOR EACH ROW
    WHEN (OLD.outcome = 'RUNNING' AND NEW.outcome <> 'RUNNING') EXECUTE FUNCTION count_run();
  ${triggerFunction(
    "store_month",
    `INSERT INTO stored_months VALUES (NEW.server, NEW.database, NEW.storage, ${MONTH}, NEW.copies, NEW.bytes)
      ON CONFLICT (server, database, storage, month) DO UPDATE SET copies = excluded.copies, bytes = excluded.bytes;`,
  )}
  CREATE TRIGGER copy_totals_month_insert AFTER INSERT ON copy_totals FOR EACH ROW EXECUTE FUNCTION store_month();
  CREATE TRIGGER copy_totals_month_update AFTER UPDATE OF copies, bytes ON copy_totals FOR EACH ROW
    EXECUTE FUNCTION store_month();
  ${triggerFunction(
    "drop_old_months",
    `DELETE FROM stored_months AS past WHERE past.server = NEW.server AND past.database = NEW.database
      AND past.storage = NEW.storage AND past.month < (SELECT max(one.month) FROM stored_months AS one
        WHERE one.server = NEW.server AND one.database = NEW.database AND one.storage = NEW.storage
          AND one.month <= ${OLDEST_MONTH});`,
  )}
  CREATE TRIGGER stored_months_old AFTER INSERT ON stored_months FOR EACH ROW EXECUTE FUNCTION drop_old_months();
`;
