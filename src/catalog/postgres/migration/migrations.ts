import { CHANGED_TIMES } from "./changed-times.ts";
import { HOST_TOTALS } from "./host-totals.ts";
import { LATEST_BACKUPS } from "./latest-backups.ts";
import { CLOCKS_OF_HOSTS, KITS_OF_HOSTS, STORAGES_OF_HOSTS } from "./of-hosts.ts";
import { RETAINED_BACKUPS } from "./retained-backups.ts";
import { SPOOLS } from "./spools.ts";
import { STANDINGS } from "./standings.ts";
import { TESTED_DATABASES } from "./tested-databases.ts";
import { TOTALS } from "./totals.ts";

/** Sorted and compared by bytes, as SQLite does, whatever the collation of the database. */
const TEXT = 'text COLLATE "C"';

/** The tables as SQLite's catalog has them after all its migrations; see `sqlite/tables.ts`. */
const TABLES = `
  CREATE TABLE installation (
    single integer PRIMARY KEY CHECK (single = 1),
    id TEXT NOT NULL
  );

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
    dump_bytes bigint,
    object_bytes bigint,
    object_sha256 TEXT,
    compression TEXT NOT NULL,
    encryption TEXT NOT NULL,
    server_version TEXT,
    pg_dump_version TEXT,
    previous_id TEXT,
    manifest TEXT,
    error TEXT,
    stderr_tail TEXT,
    held_at TEXT,
    hold_until TEXT,
    hold_reason TEXT,
    recipients TEXT,
    facts TEXT,
    unreadable TEXT,
    hooks TEXT
  );
  CREATE INDEX backups_by_time ON backups (started_at, id);
  CREATE INDEX backups_by_server ON backups (server, database, started_at, id);
  CREATE INDEX backups_by_database ON backups (database, started_at, id);
  CREATE INDEX backups_by_status ON backups (status, started_at, id);
  CREATE INDEX backups_by_run ON backups (run_id, server);

  CREATE TABLE copies (
    backup_id TEXT NOT NULL REFERENCES backups (id),
    storage TEXT NOT NULL,
    object_key TEXT NOT NULL,
    state TEXT NOT NULL,
    upload_id TEXT,
    object_bytes bigint,
    confirmed_at TEXT,
    verified_at TEXT,
    error TEXT,
    locked_until TEXT,
    lock_mode TEXT,
    locked_checked_at TEXT,
    lock_error TEXT,
    lock_place TEXT,
    PRIMARY KEY (backup_id, storage)
  );
  CREATE INDEX copies_by_state ON copies (state, backup_id, storage);
  CREATE INDEX copies_by_verification ON copies (verified_at, backup_id, storage) WHERE state = 'CONFIRMED';

  CREATE TABLE tombstones (
    backup_id TEXT PRIMARY KEY,
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at TEXT NOT NULL,
    dump_bytes bigint,
    object_bytes bigint,
    was_good integer NOT NULL,
    removed_at TEXT NOT NULL,
    removed_by TEXT NOT NULL
  );
  CREATE INDEX tombstones_by_time ON tombstones (removed_at, backup_id);

  CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    outcome TEXT NOT NULL,
    host TEXT NOT NULL,
    pid bigint NOT NULL,
    pid_start bigint,
    host_id TEXT,
    boot_id TEXT,
    pid_namespace TEXT,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    statistics TEXT,
    error TEXT,
    schedule TEXT,
    scheduled_for TEXT
  );
  CREATE INDEX runs_by_time ON runs (started_at, id);
  CREATE INDEX runs_by_outcome ON runs (outcome, started_at, id);
  CREATE INDEX runs_by_schedule ON runs (schedule, scheduled_for, started_at, id);
  CREATE INDEX runs_by_job ON runs (job, started_at, id);
  CREATE INDEX runs_by_job_outcome ON runs (job, outcome, started_at, id);

  CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    level TEXT NOT NULL,
    job TEXT NOT NULL,
    run_id TEXT,
    server TEXT,
    database TEXT,
    message TEXT NOT NULL,
    metadata TEXT NOT NULL,
    count bigint NOT NULL,
    created_at TEXT NOT NULL,
    last_at TEXT NOT NULL,
    reminders bigint NOT NULL,
    remind_at TEXT,
    resolved_at TEXT,
    acknowledged_at TEXT
  );
  CREATE INDEX alerts_by_time ON alerts (created_at, id);
  CREATE INDEX alerts_open ON alerts (created_at, id) WHERE acknowledged_at IS NULL;
  CREATE UNIQUE INDEX alerts_one_open ON alerts (key) WHERE resolved_at IS NULL;
  CREATE INDEX alerts_by_key ON alerts (key, created_at, id);

  CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    alert_id TEXT REFERENCES alerts (id),
    notifier TEXT NOT NULL,
    notice TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts bigint NOT NULL,
    created_at TEXT NOT NULL,
    next_try_at TEXT NOT NULL,
    finished_at TEXT,
    error TEXT,
    position bigint GENERATED ALWAYS AS IDENTITY
  );
  CREATE INDEX deliveries_by_alert ON deliveries (alert_id);
  CREATE INDEX deliveries_by_state ON deliveries (state, notifier, position);
  CREATE UNIQUE INDEX deliveries_by_position ON deliveries (position);

  CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid bigint NOT NULL,
    pid_start bigint,
    host_id TEXT,
    boot_id TEXT,
    pid_namespace TEXT,
    acquired_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
  );

  CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    pattern TEXT NOT NULL,
    since TEXT NOT NULL
  );

  CREATE TABLE databases (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    first_seen_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL,
    gone_at TEXT,
    PRIMARY KEY (server, database)
  );

  CREATE TABLE storages (
    name TEXT PRIMARY KEY,
    checked_at TEXT,
    check_error TEXT,
    free_bytes bigint,
    total_bytes bigint,
    errors bigint NOT NULL,
    last_error TEXT,
    last_error_at TEXT
  );

  CREATE TABLE storage_identities (
    name TEXT PRIMARY KEY,
    storage_id TEXT NOT NULL UNIQUE,
    marked_at TEXT,
    place TEXT
  );

  CREATE TABLE clock_trust (
    single integer PRIMARY KEY CHECK (single = 1),
    trusted_at TEXT NOT NULL,
    accepted_until TEXT
  );

  CREATE TABLE host_export (
    single integer PRIMARY KEY CHECK (single = 1),
    exported_at TEXT NOT NULL,
    fingerprint TEXT NOT NULL
  );

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
    fetch_ms bigint,
    restore_ms bigint,
    check_ms bigint,
    dump_bytes bigint,
    checks TEXT NOT NULL,
    error TEXT
  );
  CREATE INDEX restore_tests_of_database ON restore_tests (server, database, finished_at);
  CREATE INDEX restore_tests_of_backup ON restore_tests (backup_id, finished_at);

  CREATE TABLE lock_probes (
    id TEXT PRIMARY KEY,
    storage TEXT NOT NULL,
    object_key TEXT NOT NULL,
    by TEXT NOT NULL,
    probed_at TEXT NOT NULL,
    finished_at TEXT,
    refused integer NOT NULL,
    message TEXT NOT NULL,
    locked_until TEXT,
    removed_at TEXT,
    place TEXT
  );
  CREATE INDEX lock_probes_of_storage ON lock_probes (storage, probed_at);

  CREATE TABLE rule_marks (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    rule TEXT NOT NULL,
    state TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (server, database, rule)
  );

  CREATE TABLE recovery_kits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at TEXT NOT NULL,
    fingerprint TEXT NOT NULL
  );

  CREATE TABLE scratch_databases (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    oid bigint,
    comment TEXT NOT NULL,
    role TEXT,
    is_made integer NOT NULL,
    created_at TEXT NOT NULL
  );`;

const FLEET = `
  CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    pid bigint NOT NULL,
    started_at TEXT NOT NULL,
    heartbeat_at TEXT NOT NULL,
    stopped_at TEXT,
    storages TEXT NOT NULL,
    servers TEXT NOT NULL,
    next_runs TEXT NOT NULL,
    problems TEXT NOT NULL
  );
  CREATE INDEX runs_by_host ON runs (host, job, started_at, id);
  ALTER TABLE backups ADD COLUMN host TEXT;
  CREATE INDEX backups_by_host ON backups (host, started_at, id) WHERE host IS NOT NULL;
`;

const FENCING = `
  ALTER TABLE leases ADD COLUMN token bigint NOT NULL DEFAULT 0;
  CREATE SEQUENCE lease_tokens;
  CREATE TABLE slots (
    schedule TEXT NOT NULL,
    server TEXT NOT NULL,
    due_at TEXT NOT NULL,
    host TEXT NOT NULL,
    claimed_at TEXT NOT NULL,
    PRIMARY KEY (schedule, server, due_at)
  );
  ALTER TABLE deliveries ADD COLUMN host TEXT;
  ALTER TABLE alerts ADD COLUMN host TEXT;
  DROP INDEX alerts_one_open;
  CREATE UNIQUE INDEX alerts_one_open ON alerts (key, coalesce(host, '')) WHERE resolved_at IS NULL;
`;

const LISTINGS = `
  CREATE INDEX copies_by_key ON copies (storage, object_key);
  CREATE TABLE listings (
    storage TEXT NOT NULL,
    purpose TEXT NOT NULL,
    storage_id TEXT NOT NULL,
    began_at TEXT NOT NULL,
    after_key TEXT,
    listed bigint NOT NULL,
    orphans bigint NOT NULL,
    orphan_bytes bigint NOT NULL,
    PRIMARY KEY (storage, purpose)
  );`;

/**
 * The schema's history: entry N takes a catalog from version N to N + 1. A released entry is never edited; a change is
 * a new entry at the end, and one in `sqlite/migration/migrations.ts`.
 */
export const MIGRATIONS: readonly string[] = [
  `${TABLES}${TOTALS}`,
  FLEET,
  FENCING,
  SPOOLS,
  LISTINGS,
  LATEST_BACKUPS,
  RETAINED_BACKUPS,
  HOST_TOTALS,
  CHANGED_TIMES,
  STANDINGS,
  TESTED_DATABASES,
  CLOCKS_OF_HOSTS,
  STORAGES_OF_HOSTS,
  KITS_OF_HOSTS,
].map((sql) => sql.replace(/\bTEXT\b/g, TEXT));
