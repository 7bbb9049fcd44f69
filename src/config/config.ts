import type { Secret } from "../base/secret.ts";

/** Where pg321 keeps its state if the config names no other directory: StateDirectory= of the unit. */
export const DEFAULT_STATE_DIR = "/var/lib/pg321";

/**
 * The config after loading: every value resolved (environment, file, credential), every default filled
 * in, every amount turned into the unit that ends its name. Keys are those of the TOML file, in the order in
 * which `pg321 check` shows them.
 */
export interface Config {
  /** Absolute path of the file it came from. */
  file: string;
  /** Hex SHA-256 of the file's bytes. */
  checksum: string;
  /** IANA name; the system's when not set. */
  timezone: string;
  state_dir: string;
  /** Private directory for temporary files, 0700. */
  temp_dir: string;
  server: ServerConfig[];
  storage: StorageConfig[];
  encryption: EncryptionConfig;
  compression: CompressionConfig;
  catalog: { type: "sqlite"; path: string };
  dump: DumpConfig;
  guard: GuardConfig;
  cleanup: CleanupConfig;
  schedule: ScheduleConfig;
  http: HttpConfig;
  notify: NotifyConfig[];
  /** Things that are allowed but unwise (a secret in a world-readable file), for the log and `check`. */
  warnings: string[];
  /** Only where the loader may set aside what it cannot resolve: see `setAside`. */
  unusable: UnusableTable[];
}

/** A table that cannot be used, because a value that it takes from outside is not there. */
export interface UnusableTable {
  kind: "storage" | "server" | "notify" | "http" | "encryption";
  /** As the config calls it; the kind, for a table without a name. */
  name: string;
  /** `secret_access_key: credential "r2-key" is not there (…)` */
  reason: string;
}

/** libpq's, from the weakest to the strongest. */
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
  /** A directory that holds pg_dump and pg_restore; searched for when not set. */
  bin_dir: string | undefined;
}

export interface StorageCommon {
  name: string;
  off_site: boolean;
  /** A storage that holds the dump back and takes less than this is dropped and filled later; 0: none. */
  min_rate_bytes_per_second: number;
  stall_timeout_ms: number;
  /** Tries of one request or part. */
  attempts: number;
  keep: KeepConfig;
  expire: ExpireConfig;
}

/** Which copies stay; the counting rules are off where not set, and none of them stands beside "provider-lifecycle". */
export interface KeepConfig {
  days: number;
  last?: number | undefined;
  daily?: number | undefined;
  weekly?: number | undefined;
  monthly?: number | undefined;
  yearly?: number | undefined;
}

/** What becomes of the others; `archive_to` names another storage, never in a circle. */
export type ExpireConfig = "delete" | "provider-lifecycle" | { archive_to: string };

export interface LocalStorageConfig extends StorageCommon {
  type: "local";
  path: string;
  /** What must stay free on its file system. */
  min_free_bytes: number;
}

export const S3_PROVIDERS = [
  "cloudflare-r2",
  "backblaze-b2",
  "aws",
  "minio",
  "ceph",
  "wasabi",
  "generic",
] as const;
export type S3Provider = (typeof S3_PROVIDERS)[number];

export interface S3StorageConfig extends StorageCommon {
  type: "s3";
  provider: S3Provider;
  /** URL, derived from the provider where it can be. */
  endpoint: string;
  region: string;
  bucket: string;
  /** Without leading or trailing slash; may be empty. */
  prefix: string;
  access_key_id: Secret;
  secret_access_key: Secret;
  session_token: Secret | undefined;
  path_style: boolean;
  storage_class: string | undefined;
  /** Parts of one upload under way at once. */
  max_parallel_parts: number;
  /** Most parts that the provider takes for one object. */
  max_parts: number;
}

export type StorageConfig = LocalStorageConfig | S3StorageConfig;

export interface EncryptionConfig {
  mode: "age" | "none";
  /** age X25519 recipients, `age1…`. */
  recipients: string[];
  /** The identity that opens backups; unset on a host that only writes them. */
  identity_file: string | undefined;
  /** Opens an identity file that is protected by a passphrase. */
  identity_passphrase: Secret | undefined;
  signing_key_file: string;
}

export interface CompressionConfig {
  algorithm: "zstd" | "gzip" | "none";
  level: number;
}

export interface DumpConfig {
  /** A storage that would make the dump longer than this is dropped and filled later; 0: no bound. */
  max_duration_ms: number;
  /** No byte from pg_dump for this long, once it began to write, ends the dump. */
  stall_timeout_ms: number;
  /** The whole run of one database. */
  run_timeout_ms: number;
  /** -20 to 19, for pg_dump. */
  nice: number;
  io_class: "idle" | "best-effort" | "none";
  /** Databases dumped at the same time. */
  max_parallel: number;
  lock_wait_timeout_ms: number;
  /** Tries of a dump from under which something was dropped, after the first. */
  retries: number;
}

export interface GuardConfig {
  /** Without a new good backup for this long a database is stale; unset: 3 × its interval, or 3 days. */
  stale_after_ms: number | undefined;
  /** Good backups of a stale database that keep a copy. */
  keep: number;
  /** A dump smaller than this share of the median of the last good ones raises an alert; 0: none does. */
  shrunk_percent: number;
}

export const ALERT_LEVELS = ["INFO", "WARNING", "CRITICAL"] as const;
export type AlertLevel = (typeof ALERT_LEVELS)[number];

export const JOBS = ["backup", "cleanup", "verify", "repair", "restore"] as const;
export type Job = (typeof JOBS)[number];

interface NotifyCommon {
  name: string;
  /** Nothing below it is told. */
  min_level: AlertLevel;
  jobs: Job[];
  timeout_ms: number;
}

interface AlertNotifyCommon extends NotifyCommon {
  /** Names, `SERVER/DATABASE`, or globs of either: see `serverPattern`. Alerts about no single database pass. */
  databases: string[];
}

export interface WebhookConfig extends AlertNotifyCommon {
  type: "webhook";
  url: Secret;
  /** Signs what is sent. */
  secret: Secret | undefined;
}

export interface SlackConfig extends AlertNotifyCommon {
  type: "slack";
  url: Secret;
}

export interface NtfyConfig extends AlertNotifyCommon {
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
  /** `tls`: from the first byte; `starttls`: or nothing is sent. */
  tls: "starttls" | "tls" | "none";
  /** The authorities that may sign the server's certificate; those of this host when not set. */
  ca_file: string | undefined;
  user: string | undefined;
  password: Secret | undefined;
  from: string;
  to: string[];
}

/** Told when a run begins, succeeds and fails; raises the alarm itself when it hears nothing. */
export interface HealthchecksConfig extends NotifyCommon {
  type: "healthchecks";
  url: Secret;
}

export interface CommandConfig extends AlertNotifyCommon {
  type: "command";
  /** An absolute path first. */
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
  /** Of multipart uploads that no run of this installation knows. */
  upload_max_age_ms: number;
  /** How long a removed backup's line stays in the history; 0: not at all. */
  tombstones_ms: number;
  /** How long runs, alerts that are over and notices stay. */
  history_ms: number;
}

/** When the daemon runs each job: cron patterns in the config's time zone, or "off". */
export interface ScheduleConfig {
  backup: string;
  cleanup: string;
  verify: string;
  repair: string;
  /** The first one that matches a database and has a pattern for the job takes it out of the general one. */
  override: ScheduleOverride[];
  /** Each run begins up to this much later, by chance. */
  jitter_ms: number;
  /** A run that was missed is made up for if it was due within this time; 0: never. */
  catch_up_ms: number;
  /** How often a failed backup is tried again before it counts as failed. */
  retries: number;
  /** Before the first new try; twice as long before each further one. */
  retry_delay_ms: number;
  /** Runs at the same time. */
  max_parallel: number;
  /** What a run that is under way gets when the daemon is stopped; 0: nothing. */
  shutdown_grace_ms: number;
}

export interface ScheduleOverride {
  name: string;
  /** Names, `SERVER/DATABASE`, or globs of either: see `serverPattern`. */
  databases: string[];
  backup: string | undefined;
  verify: string | undefined;
}

export type Listen =
  | { type: "tcp"; host: string; port: number }
  | { type: "unix"; path: string }
  | { type: "off" };

export interface HttpConfig {
  listen: Listen;
  /** Asked of every reader but that of /health. */
  token: Secret | undefined;
  /** Names that the endpoint may be called by, beyond those of the loopback. */
  hosts: string[];
}
