/** One metric: what it is called, what its series are told apart by, and what a reader is told of it. */
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
const STORAGE = ["storage"] as const;
/** Not `job`: Prometheus gives that to every series itself, and would rename ours. */
const JOB = ["pg321_job"] as const;
const SCHEDULE = ["schedule", "pg321_job"] as const;

/**
 * Every metric that is exported. Base units (seconds, bytes; times as Unix time), `_total` for counters only.
 * `docs/metrics.md` repeats this list word for word.
 */
export const METRICS = {
  // The installation.
  pg321_build_info: gauge("Version and commit of the running pg321; always 1.", ["version", "commit"]),
  pg321_installation_info: gauge("Id of the installation and name of its host; always 1.", [
    "installation",
    "host",
  ]),
  pg321_config_last_reload_success: gauge(
    "Whether the last load of the config was accepted (1); after a refused reload (0) the config before stays in force.",
    [],
  ),
  pg321_config_last_reload_timestamp_seconds: gauge(
    "When the config was last loaded, or its reload tried.",
    [],
  ),
  pg321_alerts_open: gauge("Alerts of pg321 whose trouble is not over, acknowledged ones included.", [
    "level",
  ]),
  pg321_alerts_unacknowledged: gauge("Open alerts of pg321 that nobody has acknowledged.", ["level"]),
  pg321_databases: gauge("Databases to be backed up, by the state of their backups.", ["state"]),
  pg321_metrics_databases_left_out: gauge(
    "Databases whose series are left out of this scrape because there are too many.",
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
    "When the newest good backup of the database began, which is the moment whose data it holds; absent when there is none.",
    DATABASE,
  ),
  pg321_backup_duration_seconds: gauge("How long the newest good backup took.", DATABASE),
  pg321_backup_dump_bytes: gauge("Size of the newest good backup as pg_dump wrote it.", DATABASE),
  pg321_backup_stored_bytes: gauge("Size of the newest good backup as stored, of one copy.", DATABASE),
  pg321_backup_last_attempt_timestamp_seconds: gauge(
    "When the newest backup that has ended began, whatever became of it.",
    DATABASE,
  ),
  pg321_backup_last_attempt_success: gauge(
    "Whether the newest backup that has ended was good (1): complete, in one storage at least.",
    DATABASE,
  ),
  pg321_backup_last_attempt_status: gauge(
    "Status of the newest backup that has ended: 1 for the one it has, 0 for the others.",
    [...DATABASE, "status"],
  ),

  // Each database in each storage.
  pg321_backup_copied: gauge(
    "Whether the storage has a confirmed copy of the newest good backup (1); absent for storages that only take what is archived.",
    DATABASE_STORAGE,
  ),
  pg321_copies: gauge("Confirmed copies of the database's backups in the storage.", DATABASE_STORAGE),
  pg321_copies_bytes: gauge(
    "Size as stored of the confirmed copies of the database's backups in the storage.",
    DATABASE_STORAGE,
  ),
  pg321_copies_newest_timestamp_seconds: gauge(
    "When the newest backup with a confirmed copy in the storage began; absent when there is none.",
    DATABASE_STORAGE,
  ),

  // Jobs and schedules.
  pg321_runs_total: counter("Runs that have ended since the beginning, pruned records included.", [
    ...JOB,
    "outcome",
  ]),
  pg321_running: gauge("Runs under way, those between two tries included.", JOB),
  pg321_queued: gauge("Runs that wait for their turn.", JOB),
  pg321_job_last_run_timestamp_seconds: gauge("When the last run of the job that has ended began.", JOB),
  pg321_job_last_run_duration_seconds: gauge("How long the last run of the job that has ended took.", JOB),
  pg321_job_last_run_outcome: gauge(
    "Outcome of the job's last run that has ended: 1 for the one it had, 0 for the others.",
    [...JOB, "outcome"],
  ),
  pg321_job_last_success_timestamp_seconds: gauge(
    "When the last run of the job in which everything went well ended.",
    JOB,
  ),
  pg321_job_next_run_timestamp_seconds: gauge("When the next run of the job is due.", JOB),
  pg321_schedule_interval_seconds: gauge("The longest time between two runs of the schedule.", SCHEDULE),
  pg321_schedule_next_run_timestamp_seconds: gauge("When the next run of the schedule is due.", SCHEDULE),
  pg321_schedule_last_run_timestamp_seconds: gauge(
    "When the last run of the schedule that has ended began.",
    SCHEDULE,
  ),
  pg321_schedule_skipped_runs: gauge(
    "Runs in a row that were left out because the one before was still under way.",
    SCHEDULE,
  ),

  // What the last run of a job that has ended counted; absent after one that could not run.
  pg321_backup_last_run_databases: gauge("Databases of the last backup run, by what became of them.", [
    "result",
  ]),
  pg321_verify_last_run_copies: gauge("Copies that the last verify run looked at, by what it found.", [
    "result",
  ]),
  pg321_repair_last_run_copies: gauge(
    "Copies that the last repair run set out to fill, by what came of it.",
    ["result"],
  ),
  pg321_cleanup_last_run_copies: gauge(
    "Copies that the last cleanup run dealt with, by what became of them.",
    ["storage", "result"],
  ),
  pg321_cleanup_last_run_freed_bytes: gauge("Bytes that the last cleanup run freed.", STORAGE),
  pg321_cleanup_last_run_orphans: gauge(
    "Objects that the last cleanup run found and no record knows.",
    STORAGE,
  ),
  pg321_cleanup_last_run_orphans_bytes: gauge(
    "Size of the objects that the last cleanup run found and no record knows.",
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
    "Copies that the last cleanup run found gone without anybody having asked for it.",
    [],
  ),
  pg321_cleanup_last_run_errors: gauge("Things that the last cleanup run could not do.", []),
  pg321_cleanup_last_run_suspended: gauge(
    "Whether the last cleanup run did not dare to expire copies (1), wholly or in part.",
    [],
  ),

  // Each storage.
  pg321_storage_info: gauge("Type of the storage, and whether it is off-site; always 1.", [
    "storage",
    "type",
    "off_site",
  ]),
  pg321_storage_reachable: gauge(
    "Whether the last look at the storage went well (1); absent before the first one.",
    STORAGE,
  ),
  pg321_storage_last_check_timestamp_seconds: gauge("When the storage was last looked at.", STORAGE),
  pg321_storage_free_bytes: gauge("Free space of the storage; absent where it does not tell.", STORAGE),
  pg321_storage_size_bytes: gauge(
    "Size of the storage's file system; absent where it does not tell.",
    STORAGE,
  ),
  pg321_storage_copies: gauge(
    "Confirmed copies of this installation in the storage, of every database.",
    STORAGE,
  ),
  pg321_storage_stored_bytes: gauge(
    "Size as stored of the confirmed copies of this installation in the storage.",
    STORAGE,
  ),
  pg321_storage_errors_total: counter("Copies and looks that failed at the storage.", STORAGE),
  pg321_storage_last_error_timestamp_seconds: gauge(
    "When a copy, or a look, last failed at the storage; absent if never.",
    STORAGE,
  ),

  // The process, by the names that Prometheus has for it.
  process_cpu_seconds_total: counter("User and system CPU time of the daemon, its children left out.", []),
  process_resident_memory_bytes: gauge("Resident memory of the daemon.", []),
  process_virtual_memory_bytes: gauge("Virtual memory of the daemon.", []),
  process_open_fds: gauge("Open file descriptors of the daemon.", []),
  process_max_fds: gauge("The most file descriptors that the daemon may open.", []),
  process_start_time_seconds: gauge("When the daemon started.", []),
} satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;
/** The labels of a metric, each with a value. */
export type MetricLabels<N extends MetricName> = Record<(typeof METRICS)[N]["labels"][number], string>;
