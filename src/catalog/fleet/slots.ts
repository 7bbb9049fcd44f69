/** A due time of a schedule, for one server. */
export interface Slot {
  /** The name of the schedule. */
  schedule: string;
  server: string;
  due_at: string;
}

/** Which host has taken which due time, if hosts share the backups of a server. Errors as those of `Catalog`. */
export interface Slots {
  /** Takes a slot for a host, unless another has it. Returns the host that has it. */
  take(slot: Slot & { host: string; claimed_at: string }): Promise<string>;
  /** Deletes those that were due before the given time. */
  prune(before: string): Promise<void>;
}
