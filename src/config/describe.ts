import { Secret } from "../base/secret.ts";
import type { Config, NotifyConfig, ServerConfig, StorageConfig } from "./config.ts";

type Described = { [key: string]: string | number | boolean | null | string[] | Described | Described[] };

/**
 * What a config means, for `pg321 check`: everything resolved and derived, units in the names (`_ms`,
 * `_bytes`, `_bytes_per_second`), secrets as `[secret]`. Null stands for what is not set. Plain JSON.
 */
export function describeConfig(config: Config): Described {
  const { encryption, compression, dump, guard, cleanup } = config;
  return {
    file: config.file,
    checksum: config.checksum,
    timezone: config.timezone,
    state_dir: config.state_dir,
    temp_dir: config.temp_dir,
    server: config.server.map(describeServer),
    storage: config.storage.map(describeStorage),
    encryption: {
      mode: encryption.mode,
      recipients: encryption.recipients,
      identity_file: encryption.identity_file ?? null,
      identity_passphrase: encryption.identity_passphrase?.toString() ?? null,
      signing_key_file: encryption.signing_key_file,
    },
    compression: { algorithm: compression.algorithm, level: compression.level },
    catalog: { type: config.catalog.type, path: config.catalog.path },
    dump: {
      max_duration_ms: dump.max_duration_ms,
      stall_timeout_ms: dump.stall_timeout_ms,
      run_timeout_ms: dump.run_timeout_ms,
      nice: dump.nice,
      io_class: dump.io_class,
      max_parallel: dump.max_parallel,
      lock_wait_timeout_ms: dump.lock_wait_timeout_ms,
      retries: dump.retries,
    },
    guard: {
      stale_after_ms: guard.stale_after_ms ?? null,
      keep: guard.keep,
      shrunk_percent: guard.shrunk_percent,
    },
    cleanup: {
      temp_max_age_ms: cleanup.temp_max_age_ms,
      upload_max_age_ms: cleanup.upload_max_age_ms,
      tombstones_ms: cleanup.tombstones_ms,
      history_ms: cleanup.history_ms,
    },
    schedule: {
      ...config.schedule,
      override: config.schedule.override.map(({ name, databases, backup, verify }) => ({
        name,
        databases,
        backup: backup ?? null,
        verify: verify ?? null,
      })),
    },
    http: {
      listen: { ...config.http.listen },
      token: config.http.token?.toString() ?? null,
      hosts: config.http.hosts,
    },
    notify: config.notify.map(describeNotify),
    warnings: config.warnings,
  };
}

function describeNotify(notify: NotifyConfig): Described {
  const shown = (value: Secret | string | number | readonly string[] | undefined) =>
    value instanceof Secret ? value.toString() : Array.isArray(value) ? [...value] : (value ?? null);
  return Object.fromEntries(Object.entries(notify).map(([key, value]) => [key, shown(value)])) as Described;
}

function describeServer(server: ServerConfig): Described {
  return {
    name: server.name,
    host: server.host ?? null,
    port: server.port,
    user: server.user,
    password: server.password?.toString() ?? null,
    sslmode: server.sslmode,
    sslrootcert: server.sslrootcert ?? null,
    sslcert: server.sslcert ?? null,
    sslkey: server.sslkey ?? null,
    maintenance_database: server.maintenance_database,
    connect_timeout_ms: server.connect_timeout_ms,
    databases: server.databases,
    exclude: server.exclude,
    bin_dir: server.bin_dir ?? null,
  };
}

function describeStorage(storage: StorageConfig): Described {
  const common = {
    name: storage.name,
    type: storage.type,
    off_site: storage.off_site,
    min_rate_bytes_per_second: storage.min_rate,
    stall_timeout_ms: storage.stall_timeout_ms,
    attempts: storage.attempts,
    keep: {
      days: storage.keep.days,
      last: storage.keep.last ?? null,
      daily: storage.keep.daily ?? null,
      weekly: storage.keep.weekly ?? null,
      monthly: storage.keep.monthly ?? null,
      yearly: storage.keep.yearly ?? null,
    },
    expire: storage.expire,
  };
  if (storage.type === "local") {
    return { ...common, path: storage.path, min_free_bytes: storage.min_free };
  }
  return {
    ...common,
    provider: storage.provider,
    endpoint: storage.endpoint,
    region: storage.region,
    bucket: storage.bucket,
    prefix: storage.prefix,
    access_key_id: storage.access_key_id.toString(),
    secret_access_key: storage.secret_access_key.toString(),
    session_token: storage.session_token?.toString() ?? null,
    path_style: storage.path_style,
    storage_class: storage.storage_class ?? null,
    max_parallel_parts: storage.max_parallel_parts,
    max_parts: storage.max_parts,
  };
}
