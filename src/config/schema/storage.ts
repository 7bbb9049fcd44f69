import * as v from "valibot";
import {
  type LocalStorageConfig,
  S3_PROVIDERS,
  type S3StorageConfig,
  type StorageCommon,
  type StorageConfig,
} from "../config.ts";
import { deriveS3, type S3Derived, type S3Given } from "../s3-profiles.ts";
import { formatRate } from "../units.ts";
import { archivesAreNotFilled, backfill } from "./backfill.ts";
import { archiveProblem, expire, keep, providerCountsNothing } from "./keep.ts";
import {
  absolutePath,
  boolean,
  choice,
  duration,
  facts,
  integer,
  type Leaf,
  leaf,
  rate,
  secret,
  size,
  text,
} from "./leaf.ts";
import { directoryLocksNothing, immutableSchema, lockFitsRetention, lockSchema } from "./lock.ts";
import { NAME } from "./server.ts";
import { namedTables, openTable, type Report, rule, table } from "./table.ts";
import { isTable, OutsideText } from "./values.ts";

const TYPES = ["local", "s3"] as const;

const COMMON = {
  name: NAME,
  min_rate: v.optional(rate("no limit"), "1MiB/s"),
  rate_limit: v.optional(rate("no limit"), 0),
  stall_timeout: v.optional(duration(), "5m"),
  attempts: v.optional(integer(1, 100), 5),
  backfill: v.optional(backfill()),
};

const localSchema = v.pipe(
  v.unknown(),
  rule(directoryLocksNothing),
  table('a [[storage]] of type "local"', {
    ...COMMON,
    type: choice(["local"]),
    off_site: v.optional(boolean(), false),
    path: absolutePath(),
    min_free: v.optional(size("no limit"), "1GiB"),
    keep: keep(30),
    expire: expire(["delete"]),
  }),
  rule(limitAboveMinRate),
  v.transform(
    ({ path, min_free, ...storage }): LocalStorageConfig => ({
      ...commonOf(storage),
      path,
      min_free_bytes: min_free,
    }),
  ),
);

/** Objects in these classes take hours to become readable: they cannot be verified, or restored in time. */
const THAWING_CLASSES = ["GLACIER", "DEEP_ARCHIVE"];

const storageClass = leaf(
  `a storage class whose objects can be read at once, such as "STANDARD_IA" (not ${THAWING_CLASSES.join(" or ")})`,
  (value) =>
    typeof value === "string" && /^[A-Z0-9_-]+$/.test(value) && !THAWING_CLASSES.includes(value)
      ? value
      : undefined,
);

const s3Table = table('a [[storage]] of type "s3"', {
  ...COMMON,
  type: choice(["s3"]),
  off_site: v.optional(boolean(), true),
  provider: choice(S3_PROVIDERS),
  account_id: v.optional(text("the account id of the provider", /^[A-Za-z0-9-]+$/)),
  endpoint: v.optional(text("a URL that begins with https:// or http://", /^https?:\/\/[^\s@]+$/)),
  ca_file: v.optional(absolutePath()),
  region: v.optional(text('the name of a region, such as "eu-central-1"', /^[A-Za-z0-9-]+$/)),
  bucket: text("a bucket name", /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/),
  prefix: v.optional(prefix(), "pg321"),
  access_key_id: secret("an access key id"),
  secret_access_key: secret("a secret access key"),
  session_token: v.optional(secret("a session token")),
  path_style: v.optional(boolean()),
  storage_class: v.optional(storageClass),
  max_parallel_parts: v.optional(integer(1, 64)),
  keep: keep(365),
  expire: expire(["delete", "provider-lifecycle"]),
  lock: v.optional(lockSchema),
  immutable: v.optional(immutableSchema),
});

const s3Schema = v.pipe(
  s3Table,
  rule(limitAboveMinRate),
  rule(providerCountsNothing),
  rule(lockFitsRetention),
  rule((storage, report) => {
    const provider = S3_PROVIDERS.find((name) => name === storage["provider"]);
    const derived = provider === undefined ? [] : deriveS3(provider, locationOf(storage));
    if (!Array.isArray(derived)) return;
    for (const { key, message } of derived) report([key], message);
  }),
  rule(({ ca_file, endpoint }, report) => {
    if (ca_file === undefined || typeof endpoint !== "string" || !endpoint.startsWith("http:")) return;
    report(["ca_file"], "found with an endpoint without TLS (http://), which has no certificate");
  }),
  v.transform((storage): S3StorageConfig => {
    const derived = deriveS3(storage.provider, locationOf(storage)) as S3Derived;
    return {
      ...commonOf(storage),
      provider: storage.provider,
      endpoint: derived.endpoint,
      ca_file: storage.ca_file,
      region: derived.region,
      bucket: storage.bucket,
      prefix: storage.prefix,
      access_key_id: storage.access_key_id,
      secret_access_key: storage.secret_access_key,
      session_token: storage.session_token,
      path_style: storage.path_style ?? derived.path_style,
      storage_class: storage.storage_class,
      max_parallel_parts: storage.max_parallel_parts ?? derived.max_parallel_parts,
      max_parts: derived.max_parts,
      lock: storage.lock,
      immutable: storage.immutable,
    };
  }),
);

/** A storage with an invalid type: its other keys cannot be checked. */
const untypedSchema = v.pipe(
  openTable("a [[storage]] table", {
    name: NAME,
    type: leaf<never>('"local" or "s3"', () => undefined, { choices: TYPES }),
  }),
  v.transform(({ type }) => type),
);

export const storageSchema: v.GenericSchema<unknown, StorageConfig> = v.pipe(
  v.lazy((storage): v.GenericSchema<unknown, StorageConfig> => {
    const given = isTable(storage) ? storage["type"] : undefined;
    const type = given instanceof OutsideText ? given.text : given;
    return type === "local" ? localSchema : type === "s3" ? s3Schema : untypedSchema;
  }),
  facts({ alternatives: [localSchema, s3Schema] }),
);

/** The common output of both schemas. */
type Given<T> = Pick<StorageCommon, "name" | "off_site" | "attempts" | "keep" | "expire" | "backfill"> & {
  type: T;
  min_rate: number;
  rate_limit: number;
  stall_timeout: number;
};

function commonOf<T>(storage: Given<T>): StorageCommon & { type: T } {
  return {
    name: storage.name,
    type: storage.type,
    off_site: storage.off_site,
    min_rate_bytes_per_second: storage.min_rate,
    rate_limit_bytes_per_second: storage.rate_limit,
    stall_timeout_ms: storage.stall_timeout,
    attempts: storage.attempts,
    keep: storage.keep,
    expire: storage.expire,
    backfill: storage.backfill,
  };
}

/** With a limit below its `min_rate` a storage would be dropped from every run as too slow. */
function limitAboveMinRate(
  { min_rate, rate_limit }: Readonly<Record<string, unknown>>,
  report: Report,
): void {
  if (typeof min_rate !== "number" || typeof rate_limit !== "number") return;
  if (rate_limit === 0 || rate_limit >= min_rate) return;
  const [limit, least] = [formatRate(rate_limit), formatRate(min_rate)];
  report(
    ["rate_limit"],
    `found "${limit}", less than min_rate ("${least}"), below which the storage counts as too slow: raise it, or lower min_rate`,
  );
}

/** The place of a storage's objects. Two storages must not have the same place: two copies there would be one. */
export function placeOf(storage: StorageConfig): string {
  return storage.type === "local" ? storage.path : `${storage.endpoint}/${storage.bucket}/${storage.prefix}`;
}

function prefix(): Leaf<string> {
  const isPrefix = (value: string) =>
    value === "" ||
    (/^[^\u0000-\u001f\u007f\\]{1,512}$/.test(value) &&
      value.split("/").every((component) => !["", ".", ".."].includes(component)));
  return leaf("a prefix without a slash at its start or end", (value) =>
    typeof value === "string" && isPrefix(value) ? value : undefined,
  );
}

/** The location settings of a storage; a value that failed its own check is left out. */
function locationOf(storage: Readonly<Record<string, unknown>>): S3Given {
  const textAt = (key: keyof S3Given) => {
    const value = storage[key];
    return typeof value === "string" ? value : undefined;
  };
  return { account_id: textAt("account_id"), region: textAt("region"), endpoint: textAt("endpoint") };
}

/** All `[[storage]]` tables together. */
export const storagesSchema = v.pipe(
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
  rule<StorageConfig[]>((_, report, sound = []) => archivesAreNotFilled(sound, report)),
);
