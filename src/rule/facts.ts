import type { CopyRecord, RestoreTestCheck, RestoreTestRecord } from "../catalog/records.ts";
import type { RuleConfig, StorageConfig } from "../config/config.ts";
import type { ProbeFacts } from "../storage/immutability.ts";

/*
 * What the 3-2-1-1-0 rule is judged from, and its five marks. Nothing in this folder reads a clock or a catalog.
 */

/** The five marks, in the order of their digits. These names are config keys, JSON values and labels of metrics. */
export const RULES = ["copies", "kinds", "off_site", "immutable", "zero_errors"] as const;
export type RuleName = (typeof RULES)[number];

/**
 * `lost`: demanded, and possible by the config, but not so now. `not_set_up`: demanded, but the config has nothing that
 * could give it, or nothing has happened yet that could.
 */
export const MARK_STATES = ["held", "lost", "not_set_up", "not_demanded"] as const;
export type MarkState = (typeof MARK_STATES)[number];

/** The judgement on one mark of one database. */
export interface Mark {
  rule: RuleName;
  state: MarkState;
  /** The digit that stands for it: the number that the config demands. */
  demanded: number;
  /** What it rests on, or what is missing: lower case, no full stop. */
  sentence: string;
  /** What to do to get it; null if it is held or not demanded. */
  next_step: string | null;
  /** If it is lost because time has passed: since when. */
  lost_at: Date | null;
}

/** The settings of a storage by which the first three digits are judged. */
export type RuledStorage = Pick<StorageConfig, "name" | "type" | "off_site" | "expire">;

/** The records of a copy that the rule looks at. */
export type RuledCopy = Pick<
  CopyRecord,
  "storage" | "state" | "confirmed_at" | "locked_until" | "lock_mode" | "lock_error" | "lock_place"
>;

/** All that is known about one database. */
export interface RuleFacts {
  now: Date;
  demands: RuleConfig;
  /** `main/app`, for the commands in next steps. */
  name: string;
  /** All storages of the config, archives included. */
  storages: readonly StorageConfig[];
  /** By the name of a storage: the newest finished probe of whether it refuses deletions. */
  probes: ReadonlyMap<string, ProbeFacts>;
  /** Names of the storages whose free space is below min_free: they take no copy. */
  full: readonly string[];
  /** The newest good backup, by the rule of `base/newest-good.ts`; null: there is none. */
  backup: { started_at: string; copies: readonly RuledCopy[] } | null;
  /** The marks that it has held or lost, by the last judgement. One that was never held is not lost. */
  had: readonly string[];
  /** An older newest good backup is too old. */
  staleAfterMs: number;
  /** Whether the last backup run saw the live database. */
  isLive: boolean;
  /** The newest restore test that PASSED or FAILED; null: there is none. */
  test:
    | (Pick<RestoreTestRecord, "outcome" | "finished_at" | "error" | "backup_id" | "prover"> & {
        checks: readonly RestoreTestCheck[];
      })
    | null;
  /** Why the last restore test came to no result (ERROR); null: it came to one, or there is none. */
  testError: string | null;
}
