import type { BackupKind } from "../../catalog/records.ts";
import type { CompressionAlgorithm } from "../../stream/compression.ts";

const COMPRESSION_SUFFIX: Record<CompressionAlgorithm, string> = { zstd: ".zst", gzip: ".gz", none: "" };

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
 * `<server>/<database>/backup_<database>_<YYYYMMDD_HHMMSS>_<short id>.dump.zst.enc`, time in UTC. What a
 * database's name may hold and a key may not is percent-encoded, so that two names never share a key.
 */
export function objectKey(parts: ObjectKeyParts): string {
  const database = encodeComponent(parts.database);
  const name = `backup_${database}_${stampOf(parts)}`;
  const suffix = `${COMPRESSION_SUFFIX[parts.compression]}${parts.isSealed ? ".enc" : ""}`;
  return `${parts.server}/${database}/${name}${suffix}`;
}

/** The part of a name that tells which backup it is. */
function stampOf({
  startedAt,
  backupId,
  kind,
}: Pick<ObjectKeyParts, "startedAt" | "backupId" | "kind">): string {
  const time = startedAt.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15);
  return `${time}_${shortId(backupId)}.${kind}`;
}

/**
 * Whether the name of a file tells of another backup than this. It may have been fetched from where others
 * write; one that somebody renamed tells of none.
 */
export function namesAnother(
  file: string,
  parts: Pick<ObjectKeyParts, "startedAt" | "backupId" | "kind">,
): boolean {
  const [, told] = /_(\d{8}_\d{6}_[0-9a-f]{8}\.(?:dump|globals))[^/]*$/.exec(file) ?? [];
  return told !== undefined && told !== stampOf(parts);
}

/** Where the manifest of an object stands. */
export function manifestKey(key: string): string {
  return `${key}.json`;
}

/** The part of an id that people read and type. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

/** Everything but `A-Z a-z 0-9 _ - .` becomes `%XX` of its UTF-8 bytes; a leading dot too. */
function encodeComponent(name: string): string {
  let encoded = "";
  for (const [index, byte] of new TextEncoder().encode(name).entries()) {
    const char = String.fromCharCode(byte);
    const isPlain = /[A-Za-z0-9_-]/.test(char) || (char === "." && index > 0);
    encoded += isPlain ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
