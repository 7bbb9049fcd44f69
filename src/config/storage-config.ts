import type { WebProxy } from "../base/network/proxy.ts";
import type { Secret } from "../base/secret.ts";

/** The `[[storage]]` tables of a `Config`; imported from `config.ts`. */

export interface StorageCommon {
  name: string;
  off_site: boolean;
  /** A storage that slows the dump down to less than this is dropped from the run and filled later; 0: no limit. */
  min_rate_bytes_per_second: number;
  /** The most that uploads, fills and verification together send to it and read from it; 0: no limit. */
  rate_limit_bytes_per_second: number;
  stall_timeout_ms: number;
  /** Attempts of one request or part. */
  attempts: number;
  keep: KeepConfig;
  expire: ExpireConfig;
  /** Which earlier backups repair fills if the storage was added later; unset: those of the last `keep.days`. */
  backfill?: BackfillConfig | undefined;
}

/** `all`: whatever the keep rules of the storage keep; `newest`: the newest good backup of each database. */
export type BackfillConfig = "all" | "newest" | { max_age_ms: number };

/** Which copies stay. A counting rule is off if unset; "provider-lifecycle" allows none of them. */
export interface KeepConfig {
  days: number;
  last?: number | undefined;
  daily?: number | undefined;
  weekly?: number | undefined;
  monthly?: number | undefined;
  yearly?: number | undefined;
}

export const LOCK_MODES = ["governance", "compliance"] as const;
export type LockMode = (typeof LOCK_MODES)[number];

/** The Object Lock that pg321 puts on each object of a copy. */
export interface LockConfig {
  /** "compliance": nobody can shorten it; "governance": only with a special right. */
  mode: LockMode;
  days: number;
  /** Allows more days than `keep.days`: expired copies then stay until their lock ends. */
  longer_than_retention: boolean;
}

/** A rule of the bucket that pg321 cannot read, such as R2's bucket locks: only a probe shows that it works. */
export interface ImmutableConfig {
  by: "bucket-rule";
  /** For how many days the rule keeps an object from being deleted. */
  days: number;
}

/** What happens to expired copies; `archive_to` names another storage, never in a circle. */
export type ExpireConfig = "delete" | "provider-lifecycle" | { archive_to: string };

export interface LocalStorageConfig extends StorageCommon {
  type: "local";
  path: string;
  /** The space that must stay free on its file system. */
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

/** The network settings of storages and notifiers. */
export interface Network {
  /** The certificate authorities that may sign the server's certificate, instead of those that this host trusts. */
  ca_file?: string | undefined;
  /** Of this process's environment; unset: none. */
  proxy?: WebProxy | undefined;
}

export interface S3StorageConfig extends StorageCommon, Network {
  type: "s3";
  provider: S3Provider;
  /** URL, derived from the provider if possible. */
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
  /** Parts of one upload that are sent at the same time. */
  max_parallel_parts: number;
  /** The maximum number of parts that the provider accepts for one object. */
  max_parts: number;
  lock?: LockConfig | undefined;
  immutable?: ImmutableConfig | undefined;
}

export type StorageConfig = LocalStorageConfig | S3StorageConfig;
