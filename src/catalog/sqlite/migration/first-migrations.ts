/** "pg32" as SQLite's application id: distinguishes our file from any other SQLite database. */
export const APPLICATION_ID = 0x70673332;

/** If the newest copy is gone, the next newest is beside it in the index. */
const FIND_NEWEST = `
    UPDATE copy_totals SET newest_started_at = (
      SELECT started_at FROM backups WHERE server = copy_totals.server AND database = copy_totals.database
        AND started_at <= copy_totals.newest_started_at
        AND EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id AND storage = OLD.storage
          AND state = 'CONFIRMED')
      ORDER BY started_at DESC LIMIT 1)
    WHERE server = (SELECT server FROM backups WHERE id = OLD.backup_id)
      AND database = (SELECT database FROM backups WHERE id = OLD.backup_id)
      AND storage = OLD.storage
      AND newest_started_at = (SELECT started_at FROM backups WHERE id = OLD.backup_id)`;

/** The first entries of the schema's history, never edited: those of the first catalogs, with their totals. */
export const FIRST_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE installation (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id TEXT NOT NULL
  ) STRICT;

  CREATE TABLE backups (
    id TEXT PRIMARY KEY,
    installation TEXT NOT NULL,
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    run_id TEXT NOT NULL,
    object_key TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    dump_bytes INTEGER,
    object_bytes INTEGER,
    object_sha256 TEXT,
    compression TEXT NOT NULL,
    encryption TEXT NOT NULL,
    server_version TEXT,
    pg_dump_version TEXT,
    previous_id TEXT,
    manifest TEXT,
    error TEXT,
    stderr_tail TEXT
  ) STRICT;
  CREATE INDEX backups_by_time ON backups (started_at, id);
  CREATE INDEX backups_by_server ON backups (server, database, started_at, id);
  CREATE INDEX backups_by_database ON backups (database, started_at, id);
  CREATE INDEX backups_by_status ON backups (status, started_at, id);

  CREATE TABLE copies (
    backup_id TEXT NOT NULL REFERENCES backups (id),
    storage TEXT NOT NULL,
    object_key TEXT NOT NULL,
    state TEXT NOT NULL,
    upload_id TEXT,
    object_bytes INTEGER,
    confirmed_at TEXT,
    verified_at TEXT,
    error TEXT,
    PRIMARY KEY (backup_id, storage)
  ) STRICT;
  CREATE INDEX copies_by_state ON copies (state, backup_id, storage);

  CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    statistics TEXT,
    error TEXT
  ) STRICT;
  CREATE INDEX runs_by_time ON runs (started_at, id);
  CREATE INDEX runs_by_outcome ON runs (outcome, started_at, id);

  CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    level TEXT NOT NULL,
    job TEXT NOT NULL,
    run_id TEXT,
    server TEXT,
    database TEXT,
    message TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at TEXT NOT NULL,
    acknowledged_at TEXT
  ) STRICT;
  CREATE INDEX alerts_by_time ON alerts (created_at, id);
  CREATE INDEX alerts_open ON alerts (created_at, id) WHERE acknowledged_at IS NULL;

  CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    pid_start INTEGER,
    acquired_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
  ) STRICT;

  PRAGMA application_id = ${APPLICATION_ID};
  `,
  "ALTER TABLE runs ADD COLUMN pid_start INTEGER",
  `
  ALTER TABLE backups ADD COLUMN held_at TEXT;
  ALTER TABLE backups ADD COLUMN hold_until TEXT;
  ALTER TABLE copies ADD COLUMN locked_until TEXT;

  CREATE TABLE tombstones (
    backup_id TEXT PRIMARY KEY,
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at TEXT NOT NULL,
    dump_bytes INTEGER,
    object_bytes INTEGER,
    was_good INTEGER NOT NULL,
    removed_at TEXT NOT NULL,
    removed_by TEXT NOT NULL
  ) STRICT;
  CREATE INDEX tombstones_by_time ON tombstones (removed_at, backup_id);
  `,
  `
  ALTER TABLE alerts ADD COLUMN key TEXT NOT NULL DEFAULT '';
  ALTER TABLE alerts ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE alerts ADD COLUMN last_at TEXT NOT NULL DEFAULT '';
  ALTER TABLE alerts ADD COLUMN reminders INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE alerts ADD COLUMN remind_at TEXT;
  ALTER TABLE alerts ADD COLUMN resolved_at TEXT;
  UPDATE alerts SET key = id, last_at = created_at, resolved_at = created_at;
  CREATE UNIQUE INDEX alerts_one_open ON alerts (key) WHERE resolved_at IS NULL;
  CREATE INDEX alerts_by_key ON alerts (key, created_at, id);

  CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    alert_id TEXT REFERENCES alerts (id),
    notifier TEXT NOT NULL,
    notice TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    next_try_at TEXT NOT NULL,
    finished_at TEXT,
    error TEXT
  ) STRICT;
  CREATE INDEX deliveries_by_alert ON deliveries (alert_id);
  CREATE INDEX deliveries_by_state ON deliveries (state, notifier);
  `,
  `
  ALTER TABLE runs ADD COLUMN schedule TEXT;
  ALTER TABLE runs ADD COLUMN scheduled_for TEXT;
  CREATE INDEX runs_by_schedule ON runs (schedule, scheduled_for, started_at, id);
  CREATE INDEX runs_by_job ON runs (job, started_at, id);
  CREATE INDEX runs_by_job_outcome ON runs (job, outcome, started_at, id);

  CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    pattern TEXT NOT NULL,
    since TEXT NOT NULL
  ) STRICT;

  CREATE TABLE databases (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    first_seen_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL,
    gone_at TEXT,
    PRIMARY KEY (server, database)
  ) STRICT;
  INSERT INTO databases
    SELECT server, database, min(started_at), max(started_at), NULL FROM backups GROUP BY server, database;

  CREATE TABLE storages (
    name TEXT PRIMARY KEY,
    checked_at TEXT,
    check_error TEXT,
    free_bytes INTEGER,
    total_bytes INTEGER,
    errors INTEGER NOT NULL,
    last_error TEXT,
    last_error_at TEXT
  ) STRICT;
  CREATE TRIGGER copies_failed_insert AFTER INSERT ON copies WHEN NEW.error IS NOT NULL BEGIN
    INSERT INTO storages (name, errors, last_error, last_error_at)
      VALUES (NEW.storage, 1, NEW.error, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
      ON CONFLICT (name) DO UPDATE SET errors = errors + 1, last_error = excluded.last_error,
        last_error_at = excluded.last_error_at;
  END;
  CREATE TRIGGER copies_failed_update AFTER UPDATE OF error ON copies
    WHEN NEW.error IS NOT NULL AND NEW.error IS NOT OLD.error BEGIN
    INSERT INTO storages (name, errors, last_error, last_error_at)
      VALUES (NEW.storage, 1, NEW.error, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
      ON CONFLICT (name) DO UPDATE SET errors = errors + 1, last_error = excluded.last_error,
        last_error_at = excluded.last_error_at;
  END;

  CREATE TABLE copy_totals (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    storage TEXT NOT NULL,
    copies INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    newest_started_at TEXT,
    PRIMARY KEY (server, database, storage)
  ) STRICT;
  INSERT INTO copy_totals
    SELECT server, database, storage, count(*), sum(ifnull(copies.object_bytes, 0)), max(started_at)
    FROM copies JOIN backups ON backups.id = copies.backup_id
    WHERE state = 'CONFIRMED' GROUP BY server, database, storage;
  CREATE TRIGGER copies_counted_insert AFTER INSERT ON copies WHEN NEW.state = 'CONFIRMED' BEGIN
    INSERT INTO copy_totals
      SELECT server, database, NEW.storage, 1, ifnull(NEW.object_bytes, 0), started_at
      FROM backups WHERE id = NEW.backup_id
      ON CONFLICT DO UPDATE SET copies = copies + 1, bytes = bytes + excluded.bytes,
        newest_started_at = nullif(max(ifnull(newest_started_at, ''), excluded.newest_started_at), '');
  END;
  CREATE TRIGGER copies_counted_update AFTER UPDATE OF state, object_bytes ON copies
    WHEN NEW.state = 'CONFIRMED' OR OLD.state = 'CONFIRMED' BEGIN
    INSERT INTO copy_totals
      SELECT server, database, NEW.storage,
        (NEW.state = 'CONFIRMED') - (OLD.state = 'CONFIRMED'),
        iif(NEW.state = 'CONFIRMED', ifnull(NEW.object_bytes, 0), 0)
          - iif(OLD.state = 'CONFIRMED', ifnull(OLD.object_bytes, 0), 0),
        iif(NEW.state = 'CONFIRMED', started_at, '')
      FROM backups WHERE id = NEW.backup_id
      ON CONFLICT DO UPDATE SET copies = copies + excluded.copies, bytes = bytes + excluded.bytes,
        newest_started_at = nullif(max(ifnull(newest_started_at, ''), excluded.newest_started_at), '');
  END;
  CREATE TRIGGER copies_counted_delete AFTER DELETE ON copies WHEN OLD.state = 'CONFIRMED' BEGIN
    INSERT INTO copy_totals
      SELECT server, database, OLD.storage, -1, -ifnull(OLD.object_bytes, 0), '' FROM backups WHERE id = OLD.backup_id
      ON CONFLICT DO UPDATE SET copies = copies - 1, bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER copies_newest_update AFTER UPDATE OF state ON copies
    WHEN OLD.state = 'CONFIRMED' AND NEW.state <> 'CONFIRMED' BEGIN ${FIND_NEWEST}; END;
  CREATE TRIGGER copies_newest_delete AFTER DELETE ON copies WHEN OLD.state = 'CONFIRMED' BEGIN ${FIND_NEWEST}; END;

  CREATE TABLE run_totals (
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (job, outcome)
  ) STRICT;
  INSERT INTO run_totals SELECT job, outcome, count(*) FROM runs WHERE outcome <> 'RUNNING' GROUP BY job, outcome;
  CREATE TRIGGER runs_counted_insert AFTER INSERT ON runs WHEN NEW.outcome <> 'RUNNING' BEGIN
    INSERT INTO run_totals VALUES (NEW.job, NEW.outcome, 1) ON CONFLICT DO UPDATE SET runs = runs + 1;
  END;
  CREATE TRIGGER runs_counted_update AFTER UPDATE OF outcome ON runs
    WHEN OLD.outcome = 'RUNNING' AND NEW.outcome <> 'RUNNING' BEGIN
    INSERT INTO run_totals VALUES (NEW.job, NEW.outcome, 1) ON CONFLICT DO UPDATE SET runs = runs + 1;
  END;
  `,
];
