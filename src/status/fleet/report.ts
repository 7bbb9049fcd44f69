import type { HostNextRun, HostServer, HostState, HostStorage } from "../../catalog/hosts.ts";
import type { BackupStatus, RunOutcome } from "../../catalog/records.ts";
import type { RunJob } from "../../config/config.ts";
import type { MarkState, RuleName } from "../../rule/facts.ts";
import type { AlertStatus } from "../report.ts";

/*
 * The data behind `/status?fleet=1`, the page of the fleet, its metrics and `pg321 status --fleet`: all hosts and databases of
 * the catalog. The same forms as in `status/report.ts`.
 */

export interface FleetReport {
  version: string;
  commit: string;
  /** The host that made this report. */
  host: string;
  installation: string;
  /** When this report was made. */
  now: string;
  timezone: string;
  catalog: {
    /** A path, or a URL without its login. */
    at: string;
    /** Whether several hosts can use it. */
    is_shared: boolean;
    /** Since when this host has not reached it: the report is of what it knew then. Null: it reaches it. */
    unreachable_since: string | null;
    /** When it last read the other hosts and the open alerts, while it does not reach the catalog; null: now. */
    known_at: string | null;
  };
  /** In order of their names. */
  hosts: FleetHost[];
  /** In order of server and name; without those that are gone and have no backup. */
  databases: FleetDatabase[];
  /** Open alerts of all hosts, newest first. */
  alerts: AlertStatus[];
}

/**
 * up: its daemon has shown a sign of life within `fleet.silent_after`; stopped: its daemon has stopped in order; silent:
 * neither; never: no daemon of this name has worked with the catalog, or the host was forgotten.
 */
export type FleetHostState = HostState | "never";

export interface FleetHost {
  host: string;
  state: FleetHostState;
  /** When this was known, of another host while the catalog is unreachable; null: now. */
  as_of: string | null;
  version: string | null;
  pid: number | null;
  started_at: string | null;
  heartbeat_at: string | null;
  /** By the clock of the catalog. */
  heartbeat_age_ms: number | null;
  stopped_at: string | null;
  problems: string[];
  servers: HostServer[];
  storages: HostStorage[];
  /** Its databases, by their state. */
  databases: Record<FleetDatabaseState, number>;
  /** Marks of 3-2-1-1-0 of its databases. */
  marks: Record<MarkState, number>;
  /** The oldest newest good backup of its databases; null if none has one. */
  oldest_success_at: string | null;
  /** The newest run of each job. */
  last_runs: FleetRun[];
  next_runs: HostNextRun[];
}

export interface FleetRun {
  id: string;
  job: RunJob;
  outcome: RunOutcome;
  started_at: string;
  finished_at: string | null;
  error: string | null;
  schedule: string | null;
}

/**
 * The first that applies: gone: no longer on its server; never: no good backup; stale: the newest good backup began more than
 * two intervals of its host's slowest backup schedule ago (two days if that is unknown); failing: a newer attempt is not good;
 * partial: the newest good backup lacks a copy; good.
 */
export type FleetDatabaseState = "good" | "partial" | "failing" | "stale" | "never" | "gone";

export interface FleetDatabase {
  server: string;
  database: string;
  /** The host that made its newest backup, if that still has the server; otherwise the first that has it. */
  host: string | null;
  /** All hosts whose config names its server. */
  hosts: string[];
  state: FleetDatabaseState;
  /** It has no good backup, although one was tried, or should have been made by now. */
  is_overdue: boolean;
  newest_good: { id: string; started_at: string; age_ms: number } | null;
  last_attempt: { id: string; status: BackupStatus; started_at: string; error: string | null } | null;
  marks: { rule: RuleName; state: MarkState; since: string }[];
}
