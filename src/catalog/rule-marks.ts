/** A mark of 3-2-1-1-0 as it was judged last. */
export interface RuleMarkRecord {
  server: string;
  database: string;
  /** `copies`, `kinds`, `off_site`, `immutable` or `zero_errors`. */
  rule: string;
  /** `held`, `lost`, `not_set_up` or `not_demanded`. */
  state: string;
  /** Since when it has been in this state. */
  since: string;
}

/** The marks of one database. */
export interface MarksOfDatabase {
  server: string;
  database: string;
  marks: readonly Pick<RuleMarkRecord, "rule" | "state" | "since">[];
}

/** The marks of every database, with the time of their last change. Errors as those of `Catalog`. */
export interface RuleMarks {
  /** In order of server, database and rule. */
  list(): Promise<RuleMarkRecord[]>;
  /** Replaces the marks of these databases, all or none; without marks, nothing of a database is left. */
  replace(databases: readonly MarksOfDatabase[]): Promise<void>;
}
