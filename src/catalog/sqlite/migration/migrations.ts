import { CHANGED_TIMES } from "./changed-times.ts";
import { FIRST_MIGRATIONS } from "./first-migrations.ts";
import { HOST_TOTALS } from "./host-totals.ts";
import { LATEST_BACKUPS } from "./latest-backups.ts";
import { CLOCKS_OF_HOSTS, KITS_OF_HOSTS, storagesOfHosts } from "./of-hosts.ts";
import { RETAINED_BACKUPS } from "./retained-backups.ts";
import { STANDINGS } from "./standings.ts";
import { TESTED_DATABASES } from "./tested-databases.ts";

/** The copies read back on each day; a day without any has no row. */
const COUNT_VERIFIED = `INSERT INTO verified_days
      VALUES (NEW.storage, substr(NEW.verified_at, 1, 10), 1, ifnull(NEW.object_bytes, 0))
      ON CONFLICT DO UPDATE SET copies = copies + 1, bytes = bytes + excluded.bytes`;
const UNCOUNT_VERIFIED = `UPDATE verified_days SET copies = copies - 1, bytes = bytes - ifnull(OLD.object_bytes, 0)
      WHERE storage = OLD.storage AND day = substr(OLD.verified_at, 1, 10);
    DELETE FROM verified_days
      WHERE storage = OLD.storage AND day = substr(OLD.verified_at, 1, 10) AND copies = 0 AND bytes = 0`;
/** A copy that a person interrupted (Ctrl-C) is no error of its storage. */
const IS_FAILURE = "NEW.error IS NOT NULL AND NEW.error NOT IN ('interrupted by hand', 'ended by SIGINT')";
/** Nor is one of a backup that ended for another reason, such as its dump: `reasonFor` in `jobs/backup/record.ts`. */
const IS_OF_STORAGE = `${IS_FAILURE} AND NEW.error <> 'not stored: the backup ended before it was complete'`;
const COUNT_FAILURE = `INSERT INTO storages (name, errors, last_error, last_error_at)
      VALUES (NEW.storage, 1, NEW.error, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
      ON CONFLICT (name) DO UPDATE SET errors = errors + 1, last_error = excluded.last_error,
        last_error_at = excluded.last_error_at`;

/** What is stored at the end of a month: the last change in it. */
const STORED_NOW = `INSERT INTO stored_months
      VALUES (NEW.server, NEW.database, NEW.storage, strftime('%Y-%m', 'now'), NEW.copies, NEW.bytes)
      ON CONFLICT DO UPDATE SET copies = excluded.copies, bytes = excluded.bytes`;

/**
 * The schema's history: entry N takes a catalog from version N to N + 1. A released entry is never edited; a change
 * is a new entry at the end. Backups name their run and their predecessor without a foreign key, because a catalog
 * rebuilt from manifests does not contain those.
 */
export const MIGRATIONS: readonly string[] = [
  ...FIRST_MIGRATIONS,
  `
  ALTER TABLE runs ADD COLUMN host_id TEXT;
  ALTER TABLE runs ADD COLUMN boot_id TEXT;
  ALTER TABLE runs ADD COLUMN pid_namespace TEXT;
  ALTER TABLE leases ADD COLUMN host_id TEXT;
  ALTER TABLE leases ADD COLUMN boot_id TEXT;
  ALTER TABLE leases ADD COLUMN pid_namespace TEXT;
  `,
  `
  CREATE TABLE storage_identities (
    name TEXT PRIMARY KEY,
    storage_id TEXT NOT NULL UNIQUE,
    marked_at TEXT,
    place TEXT
  ) STRICT;
  `,
  `
  CREATE TABLE clock_trust (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    trusted_at TEXT NOT NULL,
    accepted_until TEXT
  ) STRICT;
  INSERT INTO clock_trust
    SELECT 1, max(started_at), NULL FROM runs WHERE job = 'cleanup'
      AND (json_extract(statistics, '$.clock_suspected') = 0 OR json_extract(statistics, '$.confirmed') = 1)
      AND started_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    HAVING max(started_at) IS NOT NULL;
  `,
  `
  CREATE TABLE host_export (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    exported_at TEXT NOT NULL,
    fingerprint TEXT NOT NULL
  ) STRICT;
  `,
  `
  ALTER TABLE backups ADD COLUMN hold_reason TEXT;
  `,
  `
  CREATE TABLE restore_tests (
    id TEXT PRIMARY KEY,
    run_id TEXT,
    prover TEXT,
    backup_id TEXT NOT NULL,
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    backup_started_at TEXT NOT NULL,
    storage TEXT,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    fetch_ms INTEGER,
    restore_ms INTEGER,
    check_ms INTEGER,
    dump_bytes INTEGER,
    checks TEXT NOT NULL,
    error TEXT
  ) STRICT;
  CREATE INDEX restore_tests_of_database ON restore_tests (server, database, finished_at);
  CREATE INDEX restore_tests_of_backup ON restore_tests (backup_id, finished_at);
  `,
  `
  ALTER TABLE copies ADD COLUMN lock_mode TEXT;
  ALTER TABLE copies ADD COLUMN locked_checked_at TEXT;
  ALTER TABLE copies ADD COLUMN lock_error TEXT;
  CREATE TABLE lock_probes (
    id TEXT PRIMARY KEY,
    storage TEXT NOT NULL,
    object_key TEXT NOT NULL,
    by TEXT NOT NULL,
    probed_at TEXT NOT NULL,
    finished_at TEXT,
    refused INTEGER NOT NULL,
    message TEXT NOT NULL,
    locked_until TEXT,
    removed_at TEXT
  ) STRICT;
  CREATE INDEX lock_probes_of_storage ON lock_probes (storage, probed_at);
  `,
  `
  CREATE TABLE rule_marks (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    rule TEXT NOT NULL,
    state TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (server, database, rule)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE backups ADD COLUMN recipients TEXT;
  CREATE TABLE recovery_kits (
    id INTEGER PRIMARY KEY,
    made_at TEXT NOT NULL,
    fingerprint TEXT NOT NULL
  ) STRICT;
  `,
  `
  ALTER TABLE backups ADD COLUMN facts TEXT;
  `,
  `
  CREATE TABLE verified_days (
    storage TEXT NOT NULL,
    day TEXT NOT NULL,
    copies INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (storage, day)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO verified_days
    SELECT storage, substr(verified_at, 1, 10), count(*), sum(ifnull(object_bytes, 0)) FROM copies
    WHERE state = 'CONFIRMED' AND verified_at IS NOT NULL GROUP BY storage, substr(verified_at, 1, 10);
  CREATE TRIGGER copies_verified_insert AFTER INSERT ON copies
    WHEN NEW.state = 'CONFIRMED' AND NEW.verified_at IS NOT NULL BEGIN ${COUNT_VERIFIED}; END;
  CREATE TRIGGER copies_verified_delete AFTER DELETE ON copies
    WHEN OLD.state = 'CONFIRMED' AND OLD.verified_at IS NOT NULL BEGIN ${UNCOUNT_VERIFIED}; END;
  CREATE TRIGGER copies_verified_count AFTER UPDATE OF state, verified_at, object_bytes, storage ON copies
    WHEN NEW.state = 'CONFIRMED' AND NEW.verified_at IS NOT NULL BEGIN ${COUNT_VERIFIED}; END;
  CREATE TRIGGER copies_verified_uncount AFTER UPDATE OF state, verified_at, object_bytes, storage ON copies
    WHEN OLD.state = 'CONFIRMED' AND OLD.verified_at IS NOT NULL BEGIN ${UNCOUNT_VERIFIED}; END;
  CREATE INDEX copies_by_verification ON copies (verified_at, backup_id, storage) WHERE state = 'CONFIRMED';
  ALTER TABLE backups ADD COLUMN unreadable TEXT;
  `,
  `
  CREATE TABLE scratch_databases (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    oid INTEGER,
    comment TEXT NOT NULL,
    role TEXT,
    is_made INTEGER NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;
  `,
  "ALTER TABLE lock_probes ADD COLUMN place TEXT",
  "ALTER TABLE copies ADD COLUMN lock_place TEXT",
  "CREATE INDEX backups_by_run ON backups (run_id, server)",
  `
  DROP TRIGGER copies_failed_insert;
  DROP TRIGGER copies_failed_update;
  CREATE TRIGGER copies_failed_insert AFTER INSERT ON copies WHEN ${IS_FAILURE} BEGIN ${COUNT_FAILURE}; END;
  CREATE TRIGGER copies_failed_update AFTER UPDATE OF error ON copies
    WHEN ${IS_FAILURE} AND NEW.error IS NOT OLD.error BEGIN ${COUNT_FAILURE}; END;
  `,
  `
  DROP TRIGGER copies_failed_insert;
  DROP TRIGGER copies_failed_update;
  CREATE TRIGGER copies_failed_insert AFTER INSERT ON copies WHEN ${IS_OF_STORAGE} BEGIN ${COUNT_FAILURE}; END;
  CREATE TRIGGER copies_failed_update AFTER UPDATE OF error ON copies
    WHEN ${IS_OF_STORAGE} AND NEW.error IS NOT OLD.error BEGIN ${COUNT_FAILURE}; END;
  `,
  "ALTER TABLE backups ADD COLUMN hooks TEXT",
  `
  CREATE TABLE stored_months (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    storage TEXT NOT NULL,
    month TEXT NOT NULL,
    copies INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (server, database, storage, month)
  ) STRICT;
  CREATE INDEX stored_months_by_month ON stored_months (month);
  INSERT INTO stored_months
    SELECT server, database, storage, strftime('%Y-%m', 'now'), copies, bytes FROM copy_totals;
  CREATE TRIGGER copy_totals_month_insert AFTER INSERT ON copy_totals BEGIN ${STORED_NOW}; END;
  CREATE TRIGGER copy_totals_month_update AFTER UPDATE OF copies, bytes ON copy_totals BEGIN ${STORED_NOW}; END;
  CREATE TRIGGER stored_months_old AFTER INSERT ON stored_months BEGIN
    DELETE FROM stored_months WHERE server = NEW.server AND database = NEW.database AND storage = NEW.storage
      AND month < (SELECT max(month) FROM stored_months AS one
        WHERE one.server = NEW.server AND one.database = NEW.database AND one.storage = NEW.storage
          AND one.month <= strftime('%Y-%m', 'now', '-36 months'));
  END;
  `,
  `
  CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL,
    stopped_at TEXT,
    storages TEXT NOT NULL,
    servers TEXT NOT NULL,
    next_runs TEXT NOT NULL,
    problems TEXT NOT NULL
  ) STRICT;
  CREATE INDEX runs_by_host ON runs (host, job, started_at, id);
  ALTER TABLE backups ADD COLUMN host TEXT;
  CREATE INDEX backups_by_host ON backups (host, started_at, id) WHERE host IS NOT NULL;
  `,
  `
  ALTER TABLE leases ADD COLUMN token INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE lease_tokens (last INTEGER NOT NULL) STRICT;
  INSERT INTO lease_tokens VALUES (0);
  CREATE TABLE slots (
    schedule TEXT NOT NULL,
    server TEXT NOT NULL,
    due_at TEXT NOT NULL,
    host TEXT NOT NULL,
    claimed_at TEXT NOT NULL,
    PRIMARY KEY (schedule, server, due_at)
  ) STRICT;
  ALTER TABLE deliveries ADD COLUMN host TEXT;
  ALTER TABLE alerts ADD COLUMN host TEXT;
  DROP INDEX alerts_one_open;
  CREATE UNIQUE INDEX alerts_one_open ON alerts (key, coalesce(host, '')) WHERE resolved_at IS NULL;
  `,
  `
  CREATE INDEX copies_by_key ON copies (storage, object_key);
  CREATE TABLE listings (
    storage TEXT NOT NULL,
    purpose TEXT NOT NULL,
    storage_id TEXT NOT NULL,
    began_at TEXT NOT NULL,
    after_key TEXT,
    listed INTEGER NOT NULL,
    orphans INTEGER NOT NULL,
    orphan_bytes INTEGER NOT NULL,
    PRIMARY KEY (storage, purpose)
  ) STRICT, WITHOUT ROWID;
  `,
  LATEST_BACKUPS,
  RETAINED_BACKUPS,
  HOST_TOTALS,
  CHANGED_TIMES,
  STANDINGS,
  TESTED_DATABASES,
  CLOCKS_OF_HOSTS,
  storagesOfHosts(IS_OF_STORAGE),
  KITS_OF_HOSTS,
];
