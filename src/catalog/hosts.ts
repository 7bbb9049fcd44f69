import type { RunRecord } from "./records.ts";

export const WITHOUT_DAEMON = 0;

/**
 * A member of the fleet: a host whose daemon works, or worked, with this catalog. All times are those of
 * `Catalog.leaseTime`, because the clocks of hosts may differ.
 */
export interface HostRecord {
  /** `[fleet] host` of its config, by default the name of the machine. */
  host: string;
  /** The version of its program. */
  version: string;
  /** `WITHOUT_DAEMON` if no daemon of it has worked with the catalog, only commands. */
  pid: number;
  /** When its daemon started. */
  started_at: string;
  /** The last sign of life of its daemon. */
  heartbeat_at: string;
  /** When its daemon stopped in order; null: it works, or ended without a word. */
  stopped_at: string | null;
  /** The storages of its config. */
  storages: HostStorage[];
  /** The servers of its config, without their secrets. */
  servers: HostServer[];
  /** Its schedules, and when they are due next. */
  next_runs: HostNextRun[];
  /** The problems of its daemon, as `/health` names them. */
  problems: string[];
}

/**
 * up: its daemon has recorded a heartbeat lately; stopped: its daemon has stopped in order; silent: neither.
 */
export type HostState = "up" | "silent" | "stopped";

/** `now` by `Catalog.leaseTime`; `silentMs`: `fleet.silent_after`. */
export function hostState(
  { heartbeat_at, stopped_at }: Pick<HostRecord, "heartbeat_at" | "stopped_at">,
  { now, silentMs }: { now: Date; silentMs: number },
): HostState {
  if (stopped_at !== null) return "stopped";
  return now.getTime() - Date.parse(heartbeat_at) > silentMs ? "silent" : "up";
}

export interface HostStorage {
  name: string;
  type: string;
}

export interface HostServer {
  name: string;
  /** `host:port`, or the path of a socket. */
  at: string;
  /** The host shares it with others (`fleet.workers = "any"`). */
  shared?: true;
  /** The public key that signs its backups, if they are signed. */
  signer?: string;
}

export interface HostNextRun {
  schedule: string;
  job: string;
  /** Null: not due again, or the daemon has stopped. */
  at: string | null;
  /** The longest time between two of its runs; null: it runs once at most. */
  interval_ms: number | null;
}

/** The hosts that share the catalog. Errors as those of `Catalog`. */
export interface Hosts {
  /** Inserts the host, or replaces its record; at the start of its daemon, and at each sign of life. */
  put(record: HostRecord): Promise<void>;
  /** Undefined if no daemon of that name ever worked with this catalog, or if the host was removed. */
  one(host: string): Promise<HostRecord | undefined>;
  /** In order of their names. */
  all(): Promise<HostRecord[]>;
  /**
   * Removes the record of a host whose daemon has stopped, or has shown no sign of life after `silentSince`. False if it
   * has, or if there is no such host. What only this host knew about itself (its trust in its clock, its checks of
   * storages, its kits and exports) goes with it; nothing else is removed.
   */
  forget(host: string, silentSince: string): Promise<boolean>;
  /** The newest run of each job on each host of `all`, in order of host and job; without those skipped. */
  lastRuns(): Promise<RunRecord[]>;
}
