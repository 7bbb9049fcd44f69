import type { ErrorCode } from "../../base/errors.ts";
import type { RestoreTestRecord, RunRecord } from "../../catalog/records.ts";

export interface RestoreTestReport {
  run: RunRecord;
  /** One for each copy that was tried, in order; the last one of a backup is its result. */
  tests: RestoreTestRecord[];
  /** Why tests could not be carried out, in order. */
  codes: ErrorCode[];
}

export interface RestoreTestStatistics extends Record<string, unknown> {
  databases: number;
  passed: number;
  failed: number;
  /** Tests that could not be carried out. */
  errors: number;
}
