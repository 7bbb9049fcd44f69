import type { BackupKind } from "../../catalog/records.ts";
import type { CompressionAlgorithm } from "../../stream/compression.ts";

const COMPRESSION_SUFFIX: Record<CompressionAlgorithm, string> = { zstd: ".zst", gzip: ".gz", none: "" };

const GLOBALS_FOLDER = "@globals";

export interface ObjectKeyParts {
  server: string;
  database: string;
  kind: BackupKind;
  backupId: string;
  startedAt: Date;
  compression: CompressionAlgorithm;
  isSealed: boolean;
}

/**
 * `<server>/<database>/backup_<database>_<YYYYMMDD_HHMMSS>_<short id>.dump.zst.enc`, time in UTC. Characters
 * of a database name that a key cannot contain are percent-encoded, so two names never share a key. Globals are in
 * `<server>/@globals/`, which no name of a database is encoded to.
 */
export function objectKey(parts: ObjectKeyParts): string {
  const isGlobals = parts.kind === "globals";
  const database = isGlobals ? GLOBALS_FOLDER : encodeComponent(parts.database);
  const name = `backup_${isGlobals ? "" : `${database}_`}${stampOf(parts)}`;
  const suffix = `${COMPRESSION_SUFFIX[parts.compression]}${parts.isSealed ? ".enc" : ""}`;
  return `${parts.server}/${database}/${name}${suffix}`;
}

/** The name of the server in a key. */
export function serverOfKey(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

/** The part of a file name that identifies the backup. */
function stampOf({
  startedAt,
  backupId,
  kind,
}: Pick<ObjectKeyParts, "startedAt" | "backupId" | "kind">): string {
  const time = startedAt.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15);
  return `${time}_${shortId(backupId)}.${kind}`;
}

/**
 * Whether a file name identifies another backup than this one. The file may come from a place where others can write. A
 * renamed file identifies no backup.
 */
export function namesAnother(
  file: string,
  parts: Pick<ObjectKeyParts, "startedAt" | "backupId" | "kind">,
): boolean {
  const [, named] = /_(\d{8}_\d{6}_[0-9a-f]{8}\.(?:dump|globals))[^/]*$/.exec(file) ?? [];
  return named !== undefined && named !== stampOf(parts);
}

/** The key of an object's manifest. */
export function manifestKey(key: string): string {
  return `${key}.json`;
}

const RESULT = /\.restore-test\.[0-9a-f-]{36}\.json$/;

/** The prefix of the keys of all results of restore tests that hosts left beside an object. */
export function resultPrefix(key: string): string {
  return `${key}.restore-test.`;
}

/** The key of the result of one restore test of an object. */
export function resultKey(key: string, testId: string): string {
  return `${resultPrefix(key)}${testId}.json`;
}

/** The key of the object that this key belongs to: of a manifest or a result; any other key unchanged. */
export function objectOf(key: string): string {
  if (RESULT.test(key)) return key.replace(RESULT, "");
  const suffix = manifestKey("");
  return key.endsWith(suffix) ? key.slice(0, -suffix.length) : key;
}

/** The short form of an id, for people to read and type. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

/** Encodes everything except `A-Z a-z 0-9 _ - .`, and a leading dot, as `%XX` of its UTF-8 bytes. */
function encodeComponent(name: string): string {
  let encoded = "";
  for (const [index, byte] of new TextEncoder().encode(name).entries()) {
    const char = String.fromCharCode(byte);
    const isPlain = /[A-Za-z0-9_-]/.test(char) || (char === "." && index > 0);
    encoded += isPlain ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
