import type { LockProbeRecord } from "./records.ts";

/** The probes that show whether storages refuse deletions. Errors as those of `Catalog`. */
export interface LockProbes {
  /** Recorded before the object is written, so that the object is never without a record. */
  add(record: LockProbeRecord): Promise<void>;
  /** Changes the given fields. */
  update(id: string, change: Partial<Omit<LockProbeRecord, "id">>): Promise<void>;
  /** Of each storage the newest finished one, in order of storage. */
  latest(): Promise<LockProbeRecord[]>;
  /** Those whose object the storage may still hold, oldest first. */
  standing(): Promise<LockProbeRecord[]>;
}
