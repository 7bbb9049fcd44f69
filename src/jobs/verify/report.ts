import type { CopyState, RunRecord } from "../../catalog/records.ts";
import type { ReadBack } from "../load/read-copy.ts";
import type { LongList } from "../long-list.ts";

export interface CopyVerdict extends ReadBack {
  backup_id: string;
  server: string;
  database: string;
  storage: string;
  /**
   * `good`: read completely, without a fault; `unreachable`: the storage did not answer, so nothing is known;
   * `unopened`: the bytes match the record, but no key of this host opens them.
   */
  verdict: "good" | "damaged" | "missing" | "unreachable" | "unopened";
  object_bytes: number;
  error: string | null;
  /** What to do about the error. */
  hint: string | null;
}

/** Dispose of the verdicts. */
export interface VerifyReport {
  run: RunRecord;
  verdicts: LongList<CopyVerdict>;
  /** All that there are among them. */
  found: ReadonlySet<CopyVerdict["verdict"]>;
}

export interface RepairResult {
  backup_id: string;
  server: string;
  database: string;
  storage: string;
  outcome: "filled" | "failed";
  object_bytes: number;
  error: string | null;
  /** What to do about the error. */
  hint: string | null;
  /** What remains of the old copy; null: nothing. */
  note: string | null;
}

/** A copy that `repair` would make. */
export interface PlannedCopy {
  backup_id: string;
  server: string;
  database: string;
  /** The storage to fill. */
  storage: string;
  /** The storage to read; null: no other storage has a good copy. */
  from: string | null;
  object_bytes: number;
  /** The state of the copy now; null: the storage has no record of one. */
  state: CopyState | null;
  /** A provider may charge for reading from there. */
  may_be_charged: boolean;
}

/** Dispose of the results. */
export interface RepairReport {
  run: RunRecord;
  results: LongList<RepairResult>;
  /** Backups that lack a copy and were left for the next repair: another run works on their database. */
  left: number;
}
