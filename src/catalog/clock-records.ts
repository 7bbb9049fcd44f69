/** When the clock was last trusted enough to delete backups by it. */
export interface ClockTrust {
  /** The host's time at that moment, RFC 3339 UTC. */
  trusted_at: string;
  /** Up to this time a person has accepted backups dated ahead of the clock; null: none accepted. */
  accepted_until: string | null;
}

/**
 * Records to judge the clock by if no storage gives the time. Times are RFC 3339 UTC; errors are those of
 * `Catalog`.
 */
export interface ClockRecords {
  /**
   * Undefined if it was never trusted. `host`: of this host of a shared catalog. A host without a record of its own has
   * that of the clock that was trusted the longest ago, at most until the time of the catalog's server, and without the
   * dates that a person has accepted there.
   */
  trust(host?: string): Promise<ClockTrust | undefined>;
  /** Replaces the previous record of the host. */
  setTrust(trust: ClockTrust, host?: string): Promise<void>;
  /**
   * Start of the first run other than `except`; if there is none, of the first backup; undefined if there is
   * neither.
   */
  first(except?: string): Promise<string | undefined>;
  /** Start of the last run or backup that began by `until`; undefined if there is none. */
  lastBy(until: string): Promise<string | undefined>;
}
