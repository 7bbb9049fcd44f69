import type { Secret } from "../base/secret.ts";
import type { DatabaseConfig, SqlCheckConfig } from "./database/config.ts";
import type { HookConfig, HookKind } from "./database/hooks.ts";
import type { CompressionConfig, DumpConfig } from "./dump-config.ts";
import type { Network, StorageConfig } from "./storage-config.ts";

export type { DatabaseConfig, SqlCheckConfig } from "./database/config.ts";
export type { CompressionConfig } from "./dump-config.ts";
export {
  type BackfillConfig,
  type ExpireConfig,
  type ImmutableConfig,
  type KeepConfig,
  LOCK_MODES,
  type LocalStorageConfig,
  type LockConfig,
  type LockMode,
  type Network,
  S3_PROVIDERS,
  type S3Provider,
  type S3StorageConfig,
  type StorageCommon,
  type StorageConfig,
} from "./storage-config.ts";

/** Where pg321 keeps its state if the config names no other directory: StateDirectory= of the unit. */
export const DEFAULT_STATE_DIR = "/var/lib/pg321";

/** Where the records are: in a file of this host, or in a database that several hosts share. */
export type CatalogConfig =
  | { type: "sqlite"; path: string }
  /** `parseCatalogUrl` accepts it. */
  | { type: "postgres"; url: Secret };

/** Several hosts with one catalog. */
export interface FleetConfig {
  /** The name of this host among those with the same catalog. */
  host: string;
  /** Whether a due backup of a server that several hosts name is made by each of them, or by whichever takes it first. */
  workers: "own" | "any";
  /** A daemon without a heartbeat for this long counts as silent. */
  silent_after_ms: number;
}

/**
 * The config after loading: every value is resolved (environment, file, credential), every default is filled in, and
 * every amount is in the unit at the end of its name. Keys are those of the TOML file, in the order in which
 * `pg321 check` prints them.
 */
export interface Config {
  /** Absolute path of the config file. */
  file: string;
  /** Hex SHA-256 of the file's bytes. */
  checksum: string;
  /** IANA name; by default the system's time zone. */
  timezone: string;
  state_dir: string;
  /** Private directory for temporary files, 0700. */
  temp_dir: string;
  server: ServerConfig[];
  /** In the order of the file; `database/settings.ts` says which of them holds for a database. */
  database: DatabaseConfig[];
  storage: StorageConfig[];
  encryption: EncryptionConfig;
  compression: CompressionConfig;
  catalog: CatalogConfig;
  fleet: FleetConfig;
  dump: DumpConfig;
  guard: GuardConfig;
  rule: RuleConfig;
  cleanup: CleanupConfig;
  verify: VerifyConfig;
  schedule: ScheduleConfig;
  restore_test: RestoreTestConfig;
  http: HttpConfig;
  notify: NotifyConfig[];
  /** Settings that are allowed but unwise (a secret in a world-readable file), for the log and `check`. */
  warnings: string[];
  /** Tables that the loader set aside because a value could not be resolved; see `setAside`. */
  unusable: UnusableTable[];
}

/** A table that cannot be used because a value from outside the file is missing. */
export interface UnusableTable {
  kind: "storage" | "server" | "notify" | "http" | "encryption" | "restore_test";
  /** The table's name in the config; the kind, for a table without a name. */
  name: string;
  /** `secret_access_key: credential "r2-key" does not exist (…)` */
  reason: string;
}

/** libpq's modes, from the weakest to the strongest. */
export const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
export type SslMode = (typeof SSL_MODES)[number];

export interface ServerConfig {
  name: string;
  host: string | undefined;
  port: number;
  user: string;
  password: Secret | undefined;
  sslmode: SslMode;
  sslrootcert: string | undefined;
  sslcert: string | undefined;
  sslkey: string | undefined;
  /** The database to connect to for the list of databases. */
  maintenance_database: string;
  connect_timeout_ms: number;
  /** Names, globs (`*`, `?`, `[a-z]`), or `=NAME`: see `databasePattern`. */
  databases: string[];
  exclude: string[];
  /** `consistent`: the databases are dumped from snapshots that were taken together. */
  group: "consistent" | undefined;
  standby: StandbyConfig;
  /** The directory of pg_dump and pg_restore; if unset, they are searched for. */
  bin_dir: string | undefined;
  /** Back up roles, memberships, role settings and tablespaces with each run. */
  globals: boolean;
  /** Hooks around the backup of each of its databases; a [[database]] may replace them. */
  pre_backup?: HookConfig[] | undefined;
  post_backup?: HookConfig[] | undefined;
  on_failure?: HookConfig[] | undefined;
}

/** How a server is backed up while it is a standby. */
export interface StandbyConfig {
  /** Whether its replay of WAL may be paused, after a dump has been ended by a conflict with it. */
  pause_replay: boolean;
  /** Beyond this lag an alert is raised, and a pause ends. */
  max_lag_ms: number;
}

export interface EncryptionConfig {
  mode: "age" | "none";
  /** age X25519 recipients, `age1…`. */
  recipients: string[];
  /** The identity that opens backups; unset on a host that only writes backups. */
  identity_file: string | undefined;
  /** The passphrase of a protected identity file. */
  identity_passphrase: Secret | undefined;
  signing_key_file: string;
}

export interface GuardConfig {
  /** A database without a new good backup for this long is stale; unset: 3 × its interval, or 3 days. */
  stale_after_ms: number | undefined;
  /** How many good backups of a stale database keep a copy. */
  keep: number;
  /** A dump smaller than this percentage of the median of the last good dumps raises an alert; 0: no alert. */
  shrunk_percent: number;
}

/** What 3-2-1-1-0 demands of each database's newest good backup. 0 or false: not demanded. */
export interface RuleConfig {
  /** Copies of the data, including the live database. */
  copies: number;
  kinds: number;
  off_site: number;
  immutable: number;
  /** Whether the last restore test must have passed. */
  zero_errors: boolean;
  /** A restore test older than this proves nothing any more. */
  restore_test_max_age_ms: number;
  /** Signers of other hosts whose results of restore tests count. */
  trusted_provers: string[];
}

export const ALERT_LEVELS = ["INFO", "WARNING", "CRITICAL"] as const;
export type AlertLevel = (typeof ALERT_LEVELS)[number];

export const JOBS = ["backup", "cleanup", "verify", "repair", "restore-test", "restore"] as const;
export type Job = (typeof JOBS)[number];

/** Jobs that have run records. Alerts about the restore of a whole server are about the job "restore". */
export const RUN_JOBS = [...JOBS, "restore-server"] as const;
export type RunJob = (typeof RUN_JOBS)[number];

/** The job of alerts about a run. */
export function alertJob(job: RunJob): Job {
  return job === "restore-server" ? "restore" : job;
}

interface NotifyCommon {
  name: string;
  /** Alerts below this level are not sent. */
  min_level: AlertLevel;
  jobs: Job[];
  timeout_ms: number;
}

interface AlertNotifyCommon extends NotifyCommon {
  /** Names, `SERVER/DATABASE`, or globs of either: see `serverPattern`. Alerts about no single database pass. */
  databases: string[];
}

export interface WebhookConfig extends AlertNotifyCommon, Network {
  type: "webhook";
  url: Secret;
  /** The key that signs the messages. */
  secret: Secret | undefined;
}

export interface SlackConfig extends AlertNotifyCommon, Network {
  type: "slack";
  url: Secret;
}

export interface NtfyConfig extends AlertNotifyCommon, Network {
  type: "ntfy";
  /** The server, without a slash at its end. */
  url: string;
  topic: Secret;
  token: Secret | undefined;
}

export interface EmailConfig extends AlertNotifyCommon {
  type: "email";
  host: string;
  port: number;
  /** `tls`: encrypted from the first byte; `starttls`: sends nothing if the server does not offer STARTTLS. */
  tls: "starttls" | "tls" | "none";
  /** The certificate authorities that may sign the server's certificate, instead of those of this host. */
  ca_file: string | undefined;
  user: string | undefined;
  password: Secret | undefined;
  from: string;
  to: string[];
}

/** Gets a ping when a run begins, succeeds and fails; raises the alarm itself if no ping arrives. */
export interface HealthchecksConfig extends NotifyCommon, Network {
  type: "healthchecks";
  url: Secret;
}

export interface CommandConfig extends AlertNotifyCommon {
  type: "command";
  /** The program (an absolute path) and its arguments. */
  argv: string[];
}

export const NOTIFY_TYPES = ["webhook", "slack", "ntfy", "email", "healthchecks", "command"] as const;

export type NotifyConfig =
  | WebhookConfig
  | SlackConfig
  | NtfyConfig
  | EmailConfig
  | HealthchecksConfig
  | CommandConfig;

export interface CleanupConfig {
  temp_max_age_ms: number;
  /** The age at which a multipart upload that belongs to no run of this installation is aborted. */
  upload_max_age_ms: number;
  /** How long a removed backup stays in the history; 0: no history. */
  tombstones_ms: number;
  /** How long runs, resolved alerts and notices are kept. */
  history_ms: number;
}

export interface VerifyConfig {
  /**
   * The most that a scheduled verification reads: the copies that were not read back for the longest time. 0: the newest
   * good backup of each database, whole.
   */
  bytes_per_run_bytes: number;
}

/** When the daemon runs each job: cron patterns in the config's time zone, or "off". */
export interface ScheduleConfig {
  backup: string;
  cleanup: string;
  verify: string;
  repair: string;
  /** Off unless it is set or there is a table [restore_test]. */
  restore_test: string;
  /** The first override that matches a database and has a pattern for the job replaces the general pattern. */
  override: ScheduleOverride[];
  /** Each run starts up to this much later, by a delay that differs between hosts and schedules. */
  jitter_ms: number;
  /** A missed run is caught up if it was due within this time; 0: never. */
  catch_up_ms: number;
  /** How often a failed backup is retried before it counts as failed. */
  retries: number;
  /** The pause before the first retry; it doubles before each further one. */
  retry_delay_ms: number;
  /** How many runs may work at the same time. */
  max_parallel: number;
  /** The time that running runs get to end when the daemon is stopped; 0: none. */
  shutdown_grace_ms: number;
}

export interface ScheduleOverride {
  name: string;
  /** Names, `SERVER/DATABASE`, or globs of either: see `serverPattern`. */
  databases: string[];
  backup: string | undefined;
  verify: string | undefined;
  restore_test: string | undefined;
}

/** How to connect to a server on which databases may be made for tests. */
export type RestoreTestServer = Omit<
  ServerConfig,
  "name" | "databases" | "exclude" | "group" | "bin_dir" | "standby" | "globals" | HookKind
>;

export interface RestoreTestConfig {
  /** `throwaway`: a private cluster made for the test; `source`: the server that the backup comes from. */
  server: "throwaway" | "source" | RestoreTestServer;
  /** Errors of pg_restore that fail no test: texts or globs that their message must match. */
  allowed_errors: string[];
  /** No larger dump is restored; required for a server whose free space cannot be seen. */
  max_bytes: number | undefined;
  /** The time limit for the test of one database. */
  timeout_ms: number;
  /** Whether this host tests what another host backs up: it adopts those backups and leaves the results beside them. */
  adopt: boolean;
  check: SqlCheckConfig[];
}

export type Listen =
  | { type: "tcp"; host: string; port: number }
  | { type: "unix"; path: string }
  | { type: "off" };

export interface HttpConfig {
  listen: Listen;
  /** Required for every path except /health. */
  token: Secret | undefined;
  /** Host names by which the endpoint may be reached, in addition to `localhost` and IP addresses. */
  hosts: string[];
}
