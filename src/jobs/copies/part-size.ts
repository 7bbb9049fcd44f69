import { MIB, PART_BYTES_DEFAULT, PART_BYTES_MAX } from "../../base/limits.ts";
import type { StorageConfig } from "../../config/config.ts";

/** The stored object is assumed to be at most this much larger than the database. */
const GROWTH = 1.25;

/**
 * The part size that all storages of a run share, in bytes: the default, or a larger one if an object of this database
 * would otherwise need more than `maxParts` parts.
 */
export function partBytesFor(databaseBytes: number, maxParts: number): number {
  const needed = Math.ceil((databaseBytes * GROWTH) / maxParts / MIB) * MIB;
  return Math.min(PART_BYTES_MAX, Math.max(PART_BYTES_DEFAULT, needed));
}

/** The smallest limit of parts per object among the storages; infinite without an S3 storage. */
export function maxPartsOf(storages: readonly StorageConfig[]): number {
  return Math.min(
    ...storages.map((storage) => (storage.type === "s3" ? storage.max_parts : Number.POSITIVE_INFINITY)),
  );
}
