/** The last time that the files of this host were exported. */
export interface HostExport {
  /** RFC 3339 UTC. */
  exported_at: string;
  /** Of the paths and contents of these files; see `fingerprintOf`. */
  fingerprint: string;
}

/** When the files that a new host needs were exported last. Errors as those of `Catalog`. */
export interface HostExports {
  /**
   * Undefined if they never were. `host`: those of this host of a shared catalog, or, if they never were, the last export
   * from before hosts had their own.
   */
  last(host?: string): Promise<HostExport | undefined>;
  /** Replaces the last one of the host. */
  record(done: HostExport, host?: string): Promise<void>;
}
