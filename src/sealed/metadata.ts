import * as v from "valibot";
import { SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN } from "../base/limits.ts";
import { exactText } from "../base/text/utf8.ts";
import { isBase64Of } from "./base64.ts";
import { damaged } from "./damage.ts";
import type { SealedVersion } from "./file-key.ts";
import { parseCompact } from "./json.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const UTC = /^(?!0000)\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

/** The members that a sealed file's header and a manifest share. */
export const uuid = v.pipe(v.string(), v.regex(UUID));
export const utcTime = v.pipe(v.string(), v.check(isUtcTime));
/** A lone surrogate has no UTF-8 form, so the text could not be read back as it was signed. */
export const text = (lengthMax: number) =>
  v.pipe(
    v.string(),
    v.nonEmpty(),
    v.maxLength(lengthMax),
    v.check((value) => value.isWellFormed()),
  );
export const name = text(255);
export const kind = v.picklist(["dump", "globals"]);
export const compression = v.picklist(["zstd", "gzip", "none"]);
/** Bytes, milliseconds, or a number of checks. */
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const signer = v.pipe(v.string(), v.check(isSigner));

const schema = v.object({
  installation: uuid,
  server: name,
  database: name,
  backup_id: uuid,
  kind,
  started_at: utcTime,
  compression,
  cipher: v.literal("aes-256-gcm"),
  segment_bytes: v.pipe(
    v.number(),
    v.integer(),
    v.minValue(SEGMENT_BYTES_MIN),
    v.maxValue(SEGMENT_BYTES_MAX),
  ),
  signer,
});

/** The metadata of a sealed file, in the clear and signed. Keys and order are those of the file. */
export type SealedMetadata = v.InferOutput<typeof schema>;
/** The part that the maker of a backup decides. */
export type BackupNames = Omit<SealedMetadata, "cipher" | "segment_bytes" | "signer">;

/** Accepts one spelling for each moment in the years 1 to 9999: no 30 February, hour 24 or leap second. */
function isUtcTime(value: string): boolean {
  const time = new Date(UTC.test(value) ? value : Number.NaN);
  return !Number.isNaN(time.getTime()) && time.toISOString() === value;
}

const PUBLIC_KEY_BYTES = 32;

/** Whether `value` has the form of a signer: base64 of 32 bytes. Says nothing about trust. */
export function isSigner(value: string): boolean {
  return isBase64Of(value, PUBLIC_KEY_BYTES);
}

export function isInstallation(value: string): boolean {
  return UUID.test(value);
}

export function encodeMetadata(metadata: SealedMetadata): Uint8Array {
  return Buffer.from(JSON.stringify(v.parse(schema, metadata)));
}

/** Members unknown to this version are signed too, and ignored. */
export function decodeMetadata(bytes: Uint8Array, version: SealedVersion = 1): SealedMetadata {
  const text = exactText(bytes);
  if (text === undefined) throw damaged("its metadata is not UTF-8");
  const result = v.safeParse(
    schema,
    parseCompact(text, (why) => damaged(`its metadata ${why}`)),
  );
  if (result.success) {
    // Only a dump has several streams.
    if (version === 2 && result.output.kind !== "dump") throw damaged("its metadata has no valid kind");
    return result.output;
  }
  throw damaged(`its metadata has no valid ${faultyMembers(result.issues)}`);
}

/** The members refused by a schema, for a message: without their values, which may be anything. */
export function faultyMembers(issues: readonly v.BaseIssue<unknown>[]): string {
  const paths = issues.map((issue) => v.getDotPath(issue) ?? "object");
  return [...new Set(paths)].join(", ");
}

/** Refuses (code `verification`) a file that is not the requested one. */
export function requireNames(metadata: SealedMetadata, expected: Partial<BackupNames>): void {
  const keys = Object.keys(expected) as (keyof BackupNames)[];
  for (const key of keys) {
    const wanted = expected[key];
    if (wanted === undefined || wanted === metadata[key]) continue;
    throw damaged(
      `its ${key} is ${JSON.stringify(metadata[key])}, but ${JSON.stringify(wanted)} was expected`,
      "it is another backup under this name: do not restore it, and check who can write to the storage",
    );
  }
}
