/** That this process cannot reach the catalog. */
export interface Outage {
  /** RFC 3339 UTC. */
  since: string;
  reason: string;
}

/** How a host stands that keeps its records for a catalog that it may not reach. */
export interface SpoolStatus {
  /** Since when the catalog has been unreachable, RFC 3339 UTC; null while it is reachable. */
  unreachable_since: string | null;
  /** Why it is; null while it is reachable. */
  reason: string | null;
  /** When this host last read the other hosts and the open alerts; null while it is reachable. */
  known_at: string | null;
  /** Changes that wait in the spool until they can be delivered. */
  waiting: number;
  /** Changes of the last week that the catalog refused and nobody has acknowledged. They stay in the spool. */
  refused: number;
  /** Why it refused the last of them; null if there is none. */
  refused_error: string | null;
}
