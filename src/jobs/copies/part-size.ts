import { MIB, PART_BYTES_DEFAULT, PART_BYTES_MAX } from "../../base/limits.ts";
import type { StorageConfig } from "../../config/config.ts";

/** How much larger than the database the stored object is taken to be, at worst. */
const GROWTH = 1.25;

/**
 * The part size that every storage of a run shares, in bytes: the default, or as much more as an object
 * of this database needs to stay within the smallest number of parts that a storage takes.
 */
export function partBytesFor(databaseBytes: number, maxParts: number): number {
  const needed = Math.ceil((databaseBytes * GROWTH) / maxParts / MIB) * MIB;
  return Math.min(PART_BYTES_MAX, Math.max(PART_BYTES_DEFAULT, needed));
}

/** The fewest parts that any of the storages takes for one object; no S3 storage, no bound. */
export function maxPartsOf(storages: readonly StorageConfig[]): number {
  return Math.min(
    ...storages.map((storage) => (storage.type === "s3" ? storage.max_parts : Number.POSITIVE_INFINITY)),
  );
}
