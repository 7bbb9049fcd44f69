import type { BackupRecord, CopyRecord } from "./records.ts";

/** A confirmed copy that verification may read. */
export interface CopyToVerify
  extends Pick<CopyRecord, "backup_id" | "storage" | "object_bytes">,
    Pick<BackupRecord, "server" | "database" | "host"> {}

/** The copies in one storage that were read back within so many days, counted in whole UTC days. */
export interface Coverage {
  storage: string;
  days: number;
  copies: number;
  /** Bytes of the stored objects. */
  bytes: number;
}

/** When copies were read back. Errors as those of `Catalog`. */
export interface Verification {
  /**
   * Every confirmed copy that was not read back since `before`, some hundreds at a time: first those that were never
   * read back, by the age of their backup; then the others, the longest not read first. Gives way to other work in
   * between.
   */
  queue(before: string): AsyncIterable<CopyToVerify[]>;
  /** For every storage with such a copy, in order of name. Takes no longer the more copies there are. */
  coverage(days: number, now: Date): Promise<Coverage[]>;
}
