/** When the clock was last trusted with deletions. */
export interface ClockTrust {
  /** This host's time then, RFC 3339 UTC. */
  trusted_at: string;
  /** A person has accepted that backups are dated ahead of the clock up to this; null: nobody has. */
  accepted_until: string | null;
}

/** What a clock is judged by where no storage tells the time. Times are RFC 3339 UTC; errors as those of `Catalog`. */
export interface ClockRecords {
  /** Undefined where it was never trusted yet. */
  trust(): Promise<ClockTrust | undefined>;
  /** Replaces what was known. */
  setTrust(trust: ClockTrust): Promise<void>;
  /** When the first run began, the one of id `except` left out; where there is no other, the first backup; undefined where none did. */
  first(except?: string): Promise<string | undefined>;
  /** When the last run or backup began of those that began by `until`; undefined where none did. */
  lastBy(until: string): Promise<string | undefined>;
}
