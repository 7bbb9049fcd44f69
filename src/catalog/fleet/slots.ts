/** A due time of a schedule, for one server. */
export interface Slot {
  /** The name of the schedule. */
  schedule: string;
  server: string;
  due_at: string;
}

/** A slot that a host has taken. */
export interface TakenSlot extends Slot {
  host: string;
  /** When it took it last: again after each of its restarts. */
  claimed_at: string;
}

/** Which host has taken which due time, if hosts share the backups of a server. Errors as those of `Catalog`. */
export interface Slots {
  /** Takes a slot for a host, unless another has it. Returns the host that has it. */
  take(slot: TakenSlot): Promise<string>;
  /** The one of a schedule and a server that was due last, but not after `until`. */
  newest(schedule: string, server: string, until: string): Promise<TakenSlot | undefined>;
  /** Takes a slot from the host that has it. False if that host has taken it again, or another one has taken it over. */
  takeOver(slot: TakenSlot, by: Pick<TakenSlot, "host" | "claimed_at">): Promise<boolean>;
  /** Deletes those that were due before the given time. */
  prune(before: string): Promise<void>;
}
