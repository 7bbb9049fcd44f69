export interface ClockFacts {
  now: Date;
  /** The `Date` headers of S3 replies of this run, each beside this host's time when it came. */
  s3Dates: readonly { storage: string; date: Date; receivedAt: Date }[];
  /** The newest time in any record; undefined where there is none. */
  newestRecord: Date | undefined;
  /** The end of the last run of any job, this one and cleanups that were suspended left out. */
  lastActivity: Date | undefined;
  /** When a cleanup was last suspended for its clock, unless a confirmation has lifted that since. */
  lastSuspended?: Date | undefined;
  /** Start of the newest good backup of any database. */
  newestGood?: Date | undefined;
}

/**
 * Why this host's clock is not to be trusted with deletions, in one sentence; undefined when it is. A clock
 * that ran ahead would make every backup too old at once.
 */
export function clockSuspicion(facts: ClockFacts): string | undefined {
  throw new Error(`not yet written: ${facts.now}`);
}
