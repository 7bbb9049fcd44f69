import { join } from "node:path";
import { Encrypter } from "age-encryption";
import * as v from "valibot";
import {
  type CleanupConfig,
  type CompressionConfig,
  type Config,
  DEFAULT_STATE_DIR,
  type DumpConfig,
  type GuardConfig,
  type StorageConfig,
} from "../config.ts";
import { httpSchema } from "./http.ts";
import { archiveProblem } from "./keep.ts";
import { absolutePath, age, choice, duration, integer, type Leaf, leaf, secret } from "./leaf.ts";
import { notifySchema } from "./notify.ts";
import { scheduleSchema } from "./schedule.ts";
import { serverSchema } from "./server.ts";
import { placeOf, storageSchema } from "./storage.ts";
import { list, namedTables, rule, table } from "./table.ts";

/** The highest level and the default level of each algorithm. */
const LEVELS = { zstd: { max: 19, default: 3 }, gzip: { max: 9, default: 6 } } as const;

const recipient: Leaf<string> = leaf(
  "an age X25519 recipient (age1…), as `pg321 key show` prints it; never the secret key itself",
  (value) => (typeof value === "string" && isX25519Recipient(value) ? value : undefined),
  // A value written here by mistake may be the secret key.
  { isShown: false },
);

const encryption = v.pipe(
  table("the [encryption] table", {
    mode: v.optional(choice(["age", "none"]), "age"),
    recipients: v.optional(list(recipient, "an array of age X25519 recipients (age1…)"), []),
    identity_file: v.optional(absolutePath()),
    identity_passphrase: v.optional(secret("a passphrase")),
    signing_key_file: v.optional(absolutePath()),
  }),
  rule(({ mode, recipients, identity_file, identity_passphrase }, report) => {
    if (mode === "age" && Array.isArray(recipients) && recipients.length === 0) {
      report(
        ["recipients"],
        'missing, expected at least one age recipient (age1…) from `pg321 key generate`; or mode = "none" for backups that anyone can read',
      );
    }
    if (identity_passphrase !== undefined && identity_file === undefined) {
      report(
        ["identity_passphrase"],
        "found without identity_file, expected the identity file that it opens",
      );
    }
  }),
);

const compression = v.pipe(
  table("the [compression] table", {
    algorithm: v.optional(choice(["zstd", "gzip", "none"]), "zstd"),
    level: v.optional(integer(1, LEVELS.zstd.max)),
  }),
  rule(({ algorithm, level }, report) => {
    if (algorithm === "none" && level !== undefined)
      report(["level"], 'not allowed with algorithm "none", which has no levels');
    if (algorithm === "gzip" && typeof level === "number" && level > LEVELS.gzip.max) {
      report(["level"], `found ${level}, expected a whole number from 1 to ${LEVELS.gzip.max} for gzip`);
    }
  }),
  v.transform(
    ({ algorithm, level }): CompressionConfig => ({
      algorithm,
      level: algorithm === "none" ? 0 : (level ?? LEVELS[algorithm].default),
    }),
  ),
);

const dump = v.pipe(
  table("the [dump] table", {
    max_duration: v.optional(duration("no limit"), "0"),
    stall_timeout: v.optional(duration(), "5m"),
    run_timeout: v.optional(duration(), "24h"),
    nice: v.optional(integer(-20, 19), 10),
    io_class: v.optional(choice(["idle", "best-effort", "none"]), "best-effort"),
    max_parallel: v.optional(integer(1, 64), 1),
    lock_wait_timeout: v.optional(duration(), "5m"),
    retries: v.optional(integer(0, 20), 2),
  }),
  v.transform(
    ({ nice, io_class, max_parallel, retries, ...dump }): DumpConfig => ({
      max_duration_ms: dump.max_duration,
      stall_timeout_ms: dump.stall_timeout,
      run_timeout_ms: dump.run_timeout,
      nice,
      io_class,
      max_parallel,
      lock_wait_timeout_ms: dump.lock_wait_timeout,
      retries,
    }),
  ),
);

const storages = v.pipe(
  namedTables("storage", storageSchema),
  rule<StorageConfig[]>((_, report, sound = []) => {
    const names = new Map<string, string>();
    for (const [index, storage] of sound.entries()) {
      const other = names.get(placeOf(storage));
      if (other !== undefined) {
        report(
          [index],
          `the same place as storage "${other}", expected a different one (two copies in one place count as one)`,
        );
      }
      names.set(placeOf(storage), storage.name);
    }
  }),
  rule<StorageConfig[]>((_, report, sound = []) => {
    for (const [index, storage] of sound.entries()) {
      const problem = archiveProblem(storage, sound);
      if (problem !== undefined) report([index, "expire", "archive_to"], problem);
    }
  }),
);

const guard = v.pipe(
  table("the [guard] table", {
    stale_after: v.optional(age("1h")),
    keep: v.optional(integer(1, 1000), 3),
    shrunk_percent: v.optional(integer(0, 99), 50),
  }),
  v.transform(
    ({ stale_after, keep, shrunk_percent }): GuardConfig => ({
      stale_after_ms: stale_after,
      keep,
      shrunk_percent,
    }),
  ),
);

const cleanup = v.pipe(
  table("the [cleanup] table", {
    // The minimum ages leave time for long restores and uploads that are still in progress.
    temp_max_age: v.optional(age("1h"), "1d"),
    upload_max_age: v.optional(age("1d"), "7d"),
    tombstones: v.optional(age("1d", "no history"), "365d"),
    // Reminders, deliveries and the check of the clock need records of several weeks.
    history: v.optional(age("30d"), "365d"),
  }),
  v.transform(
    ({ temp_max_age, upload_max_age, tombstones, history }): CleanupConfig => ({
      temp_max_age_ms: temp_max_age,
      upload_max_age_ms: upload_max_age,
      tombstones_ms: tombstones,
      history_ms: history,
    }),
  ),
);

const catalog = table("the [catalog] table", {
  type: v.optional(choice(["sqlite"]), "sqlite"),
  path: v.optional(absolutePath()),
});

const timezone = leaf('the name of a time zone, such as "Europe/Berlin" or "UTC"', (value) =>
  typeof value === "string" && isTimezone(value) ? value : undefined,
);

/** The whole file: yields a `Config` without the members that describe the file itself. */
export const configSchema = v.pipe(
  table("the top level", {
    timezone: v.optional(timezone),
    state_dir: v.optional(absolutePath(), DEFAULT_STATE_DIR),
    temp_dir: v.optional(absolutePath()),
    server: namedTables("server", serverSchema),
    storage: storages,
    encryption: v.optional(encryption, {}),
    compression: v.optional(compression, {}),
    catalog: v.optional(catalog, {}),
    dump: v.optional(dump, {}),
    guard: v.optional(guard, {}),
    cleanup: v.optional(cleanup, {}),
    schedule: v.optional(scheduleSchema, {}),
    http: v.optional(httpSchema, {}),
    notify: v.optional(namedTables("notify", notifySchema)),
  }),
  v.transform(
    (given): Omit<Config, "file" | "checksum" | "warnings" | "unusable"> => ({
      timezone: given.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
      state_dir: given.state_dir,
      temp_dir: given.temp_dir ?? join(given.state_dir, "tmp"),
      server: given.server,
      storage: given.storage,
      encryption: {
        mode: given.encryption.mode,
        recipients: given.encryption.recipients,
        identity_file: given.encryption.identity_file,
        identity_passphrase: given.encryption.identity_passphrase,
        signing_key_file: given.encryption.signing_key_file ?? join(given.state_dir, "signing.key"),
      },
      compression: given.compression,
      catalog: { type: given.catalog.type, path: given.catalog.path ?? join(given.state_dir, "catalog.db") },
      dump: given.dump,
      guard: given.guard,
      cleanup: given.cleanup,
      schedule: given.schedule,
      http: given.http,
      notify: given.notify ?? [],
    }),
  ),
);

function isX25519Recipient(value: string): boolean {
  // The library accepts other kinds (post-quantum, tags), which do not fit into the header of a sealed file.
  if (!/^age1[02-9ac-hj-np-z]{58}$/.test(value)) return false;
  try {
    new Encrypter().addRecipient(value);
    return true;
  } catch {
    return false;
  }
}

function isTimezone(name: string): boolean {
  // Intl also accepts offsets such as +01:00, which have no summer time.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}
