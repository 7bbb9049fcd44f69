/** The type of a metric, its HELP text, and the names of its labels. */
export interface MetricDefinition {
  type: "gauge" | "counter";
  help: string;
  labels: readonly string[];
}

function gauge<const L extends readonly string[]>(help: string, labels: L) {
  return { type: "gauge", help, labels } as const;
}

function counter<const L extends readonly string[]>(help: string, labels: L) {
  return { type: "counter", help, labels } as const;
}

const DATABASE = ["server", "database"] as const;
const DATABASE_STORAGE = ["server", "database", "storage"] as const;
const MARK = ["server", "database", "rule"] as const;
const STORAGE = ["storage"] as const;
const NOTIFIER = ["notifier"] as const;
const HOST = ["host"] as const;
/** Not `job`: Prometheus sets that label on every series itself, and would rename ours. */
const JOB = ["pg321_job"] as const;
const SCHEDULE = ["schedule", "pg321_job"] as const;

/**
 * Every exported metric. Base units (seconds, bytes; times as Unix time), `_total` for counters only.
 * `docs/metrics.md` repeats this list word for word (a test compares them).
 */
export const METRICS = {
  // The installation.
  pg321_build_info: gauge("Version and commit of the running pg321; always 1.", ["version", "commit"]),
  pg321_installation_info: gauge("Id of the installation and name of its host; always 1.", [
    "installation",
    "host",
  ]),
  pg321_config_last_reload_success: gauge(
    "Whether the last load of the config was accepted (1); after a refused reload (0) the previous config stays in force.",
    [],
  ),
  pg321_config_last_reload_timestamp_seconds: gauge(
    "When the daemon last loaded the config, or tried to.",
    [],
  ),
  pg321_alerts_open: gauge("Open alerts of pg321, including acknowledged ones.", ["level"]),
  pg321_alerts_unacknowledged: gauge("Open alerts of pg321 that nobody has acknowledged.", ["level"]),
  pg321_notifier_failing: gauge(
    "Whether notices to the notifier cannot be delivered (1), or can (0).",
    NOTIFIER,
  ),
  pg321_notifier_error_info: gauge(
    "Why notices to the notifier cannot be delivered; always 1, absent while they can.",
    [...NOTIFIER, "error"],
  ),
  pg321_notifier_waiting_notices: gauge("Notices that wait to be delivered to the notifier.", NOTIFIER),
  pg321_notifier_given_up_notices: gauge(
    "Notices to the notifier that were given up after the last one that was delivered.",
    NOTIFIER,
  ),
  pg321_notifier_last_delivery_timestamp_seconds: gauge(
    "When a notice was last delivered to the notifier; absent if never.",
    NOTIFIER,
  ),
  pg321_recovery_kit_made_timestamp_seconds: gauge(
    "When the newest recovery kit was made; absent if none was made.",
    [],
  ),
  pg321_recovery_kit_current: gauge(
    "Whether the newest recovery kit fits the storages and keys of the config (1), or is older than a change of them (0); absent if none was made.",
    [],
  ),
  pg321_globals_last_success_timestamp_seconds: gauge(
    "When the newest good backup of the server's globals (roles, tablespaces) began; absent if there is none.",
    ["server"],
  ),
  pg321_globals_good: gauge(
    "Whether the globals of the server have a recent good backup in every storage (1), or not (0).",
    ["server"],
  ),
  pg321_catalog_unreachable: gauge(
    "Whether the catalog in PostgreSQL is unreachable (1), or not (0); absent for a catalog of SQLite.",
    [],
  ),
  pg321_catalog_waiting_records: gauge(
    "Records in the spool of this host that wait for the catalog; absent for a catalog of SQLite.",
    [],
  ),
  pg321_databases: gauge("Databases to be backed up, by the state of their backups.", ["state"]),
  pg321_metrics_databases_left_out: gauge(
    "Databases whose series are omitted from this scrape because there are too many.",
    [],
  ),

  // Each database.
  pg321_database_first_seen_timestamp_seconds: gauge("When the database was first seen.", DATABASE),
  pg321_database_state: gauge("State of the database's backups: 1 for the one it is in, 0 for the others.", [
    ...DATABASE,
    "state",
  ]),
  pg321_backup_interval_seconds: gauge(
    "The longest time between two scheduled backups of the database; absent without a schedule.",
    DATABASE,
  ),
  pg321_backup_next_timestamp_seconds: gauge("When the next backup of the database is due.", DATABASE),
  pg321_backup_last_success_timestamp_seconds: gauge(
    "When the newest good backup of the database began, which is the point in time of its data; absent if there is no good backup.",
    DATABASE,
  ),
  pg321_backup_duration_seconds: gauge("How long the newest good backup took.", DATABASE),
  pg321_backup_dump_bytes: gauge("Size of the newest good backup as pg_dump wrote it.", DATABASE),
  pg321_backup_stored_bytes: gauge("Stored size of one copy of the newest good backup.", DATABASE),
  pg321_backup_last_attempt_timestamp_seconds: gauge(
    "When the newest backup that has ended began, whether good or not.",
    DATABASE,
  ),
  pg321_backup_last_attempt_success: gauge(
    "Whether the newest backup that has ended was good (1): complete in at least one storage.",
    DATABASE,
  ),
  pg321_backup_last_attempt_status: gauge(
    "Status of the newest backup that has ended: 1 for the one it has, 0 for the others.",
    [...DATABASE, "status"],
  ),

  pg321_rule_satisfied: gauge(
    "Whether the database holds the mark of 3-2-1-1-0 (1) or has lost it (0); absent if it is not set up or not demanded.",
    MARK,
  ),
  pg321_rule_since_timestamp_seconds: gauge(
    "When the database last got or lost the mark of 3-2-1-1-0; absent if it is not set up or not demanded.",
    MARK,
  ),

  pg321_restore_test_last_success_timestamp_seconds: gauge(
    "When a restore test of the database last passed; absent if none did.",
    DATABASE,
  ),
  pg321_restore_test_last_result: gauge(
    "Whether the last restore test of the database that came to a result passed (1) or failed (0); absent if there was none.",
    DATABASE,
  ),
  pg321_restore_test_recovery_seconds: gauge(
    "Measured recovery time of the last restore test of the database that passed: fetch and pg_restore.",
    DATABASE,
  ),

  // Each database in each storage.
  pg321_backup_copied: gauge(
    "Whether the storage has a confirmed copy of the newest good backup (1); absent for storages that only receive archived copies.",
    DATABASE_STORAGE,
  ),
  pg321_copies: gauge("Confirmed copies of the database's backups in the storage.", DATABASE_STORAGE),
  pg321_copies_bytes: gauge(
    "Stored size of the confirmed copies of the database's backups in the storage.",
    DATABASE_STORAGE,
  ),
  pg321_copies_newest_timestamp_seconds: gauge(
    "When the newest backup with a confirmed copy in the storage began; absent if there is none.",
    DATABASE_STORAGE,
  ),

  // Jobs and schedules.
  pg321_runs_total: counter("Runs that have ended, including those whose records were pruned.", [
    ...JOB,
    "outcome",
  ]),
  pg321_running: gauge("Runs in progress, including those waiting for a retry.", JOB),
  pg321_queued: gauge("Runs waiting to start.", JOB),
  pg321_job_last_run_timestamp_seconds: gauge("When the job's last finished run began.", JOB),
  pg321_job_last_run_duration_seconds: gauge("How long the job's last finished run took.", JOB),
  pg321_job_last_run_outcome: gauge(
    "Outcome of the job's last finished run: 1 for the one it had, 0 for the others.",
    [...JOB, "outcome"],
  ),
  pg321_job_last_success_timestamp_seconds: gauge("When the job's last run with the outcome OK ended.", JOB),
  pg321_job_next_run_timestamp_seconds: gauge("When the next run of the job is due.", JOB),
  pg321_schedule_interval_seconds: gauge("The longest time between two runs of the schedule.", SCHEDULE),
  pg321_schedule_next_run_timestamp_seconds: gauge("When the next run of the schedule is due.", SCHEDULE),
  pg321_schedule_last_run_timestamp_seconds: gauge("When the schedule's last finished run began.", SCHEDULE),
  pg321_schedule_skipped_runs: gauge(
    "Runs skipped in a row because the run before them was still in progress.",
    SCHEDULE,
  ),

  // Counts of the last finished run of a job; absent if that run could not start its work.
  pg321_backup_last_run_databases: gauge("Databases of the last backup run, by result.", ["result"]),
  pg321_restore_server_last_run_databases: gauge(
    "Databases of the last restore of a whole server, by result.",
    ["result"],
  ),
  pg321_verify_last_run_copies: gauge("Copies that the last verify run checked, by result.", ["result"]),
  pg321_repair_last_run_copies: gauge("Copies that the last repair run tried to fill, by result.", [
    "result",
  ]),
  pg321_cleanup_last_run_copies: gauge("Copies that the last cleanup run handled, by result.", [
    "storage",
    "result",
  ]),
  pg321_cleanup_last_run_freed_bytes: gauge("Bytes that the last cleanup run freed.", STORAGE),
  pg321_cleanup_last_run_orphans: gauge(
    "Objects that the last cleanup run found and that are in no record.",
    STORAGE,
  ),
  pg321_cleanup_last_run_orphans_bytes: gauge(
    "Size of the objects that the last cleanup run found and that are in no record.",
    STORAGE,
  ),
  pg321_cleanup_last_run_records_deleted: gauge("Records of backups that the last cleanup run removed.", []),
  pg321_cleanup_last_run_temporary_files_deleted: gauge(
    "Temporary files that the last cleanup run removed.",
    [],
  ),
  pg321_cleanup_last_run_uploads_aborted: gauge(
    "Unfinished multipart uploads that the last cleanup run aborted.",
    [],
  ),
  pg321_cleanup_last_run_copies_missing: gauge(
    "Copies that the last cleanup run found missing although nobody asked pg321 to delete them.",
    [],
  ),
  pg321_cleanup_last_run_errors: gauge("Errors of the last cleanup run.", []),
  pg321_cleanup_last_run_suspended: gauge(
    "Whether the last cleanup run stopped and waits for --confirm (1), for all or some of the copies.",
    [],
  ),

  // Each storage.
  pg321_storage_info: gauge("Type of the storage, and whether it is off-site; always 1.", [
    "storage",
    "type",
    "off_site",
  ]),
  pg321_storage_reachable: gauge(
    "Whether the storage was reachable at the last check (1); absent before the first check.",
    STORAGE,
  ),
  pg321_storage_last_check_timestamp_seconds: gauge("When the storage was last checked.", STORAGE),
  pg321_storage_free_bytes: gauge(
    "Free space of the storage; absent if the storage does not report it.",
    STORAGE,
  ),
  pg321_storage_size_bytes: gauge(
    "Size of the storage's file system; absent if the storage does not report it.",
    STORAGE,
  ),
  pg321_storage_copies: gauge(
    "Confirmed copies of this installation in the storage, for all databases.",
    STORAGE,
  ),
  pg321_storage_stored_bytes: gauge(
    "Stored size of the confirmed copies of this installation in the storage.",
    STORAGE,
  ),
  pg321_storage_immutable: gauge(
    "Whether copies in the storage can count as immutable (1): it locks them, or refused to delete a probe object.",
    STORAGE,
  ),
  pg321_storage_lock_probe_timestamp_seconds: gauge(
    "When the storage last refused to delete a probe object; absent if never, or if the last one was deleted.",
    STORAGE,
  ),
  pg321_verify_coverage_ratio: gauge(
    "Share of the confirmed copies in the storage that were read back and found good within that many days.",
    [...STORAGE, "days"],
  ),
  pg321_verify_coverage_bytes_ratio: gauge(
    "Share of the stored bytes in the storage that were read back and found good within that many days.",
    [...STORAGE, "days"],
  ),
  pg321_storage_errors_total: counter("Copies and checks that failed at the storage.", STORAGE),
  pg321_storage_last_error_timestamp_seconds: gauge(
    "When a copy or a check last failed at the storage; absent if never.",
    STORAGE,
  ),

  // The process, under the names that Prometheus client libraries use.
  process_cpu_seconds_total: counter(
    "User and system CPU time of the daemon, without its child processes.",
    [],
  ),
  process_resident_memory_bytes: gauge("Resident memory of the daemon.", []),
  process_virtual_memory_bytes: gauge("Virtual memory of the daemon.", []),
  process_open_fds: gauge("Open file descriptors of the daemon.", []),
  process_max_fds: gauge("Maximum number of file descriptors that the daemon may open.", []),
  process_start_time_seconds: gauge("When the daemon started.", []),
} satisfies Record<string, MetricDefinition>;

/**
 * The metrics of all hosts of a shared catalog, which only `/metrics?fleet=1` exports: each host would repeat them. Labels are
 * bounded by the number of hosts; `docs/metrics.md` lists these too.
 */
export const FLEET_METRICS = {
  pg321_fleet_hosts: gauge("Hosts of the fleet, by the state of their daemon.", ["state"]),
  pg321_fleet_databases: gauge("Databases of all hosts, by the state of their backups.", ["state"]),
  pg321_fleet_alerts_open: gauge("Open alerts of all hosts, including acknowledged ones.", ["level"]),
  pg321_fleet_known_timestamp_seconds: gauge(
    "When the other hosts and the alerts were read from the catalog: some time ago while it is unreachable.",
    [],
  ),
  pg321_fleet_hosts_left_out: gauge(
    "Hosts whose series are omitted from this scrape because there are too many.",
    [],
  ),
  pg321_fleet_host_info: gauge("Version of the host's daemon; always 1.", [...HOST, "version"]),
  pg321_fleet_host_state: gauge("State of the host's daemon: 1 for the one it is in, 0 for the others.", [
    ...HOST,
    "state",
  ]),
  pg321_fleet_host_heartbeat_timestamp_seconds: gauge(
    "When the host's daemon last recorded a heartbeat, by the clock of the catalog; absent if never.",
    HOST,
  ),
  pg321_fleet_host_databases: gauge("Databases of the host, by the state of their backups.", [
    ...HOST,
    "state",
  ]),
  pg321_fleet_host_oldest_success_timestamp_seconds: gauge(
    "The oldest of the newest good backups of the host's databases; absent if none has one.",
    HOST,
  ),
  pg321_fleet_host_marks_lost: gauge("Lost marks of 3-2-1-1-0 of the host's databases.", HOST),
} satisfies Record<string, MetricDefinition>;

const ALL = { ...METRICS, ...FLEET_METRICS };
/** Every metric, in the order of a scrape. */
export const ALL_METRICS: typeof ALL = ALL;

export type MetricName = keyof typeof ALL;
/** The labels of a metric, each with a value. */
export type MetricLabels<N extends MetricName> = Record<(typeof ALL)[N]["labels"][number], string>;
