/** The `[dump]` table. */
export interface DumpConfig {
  /** A storage that would make the dump longer than this is dropped from the run and filled later; 0: no limit. */
  max_duration_ms: number;
  /** If pg_dump sends no byte for this long after its first byte, the dump is ended. */
  stall_timeout_ms: number;
  /** The time limit for the whole backup of one database. */
  run_timeout_ms: number;
  /** The niceness of pg_dump, -20 to 19. */
  nice: number;
  io_class: "idle" | "best-effort" | "none";
  /** Databases dumped at the same time. */
  max_parallel: number;
  /** Streams in which one database is dumped. */
  jobs: number;
  lock_wait_timeout_ms: number;
  /** Further attempts of a dump that failed because something was dropped during it. */
  retries: number;
  /** Whether the rows of each table are counted beside the dump. */
  counts: boolean;
  /** How long after the dump's end the counts may last. */
  count_grace_ms: number;
  /** Larger tables are sampled, not counted; 0: no limit. */
  count_max_bytes: number;
}

/** The `[compression]` table. */
export interface CompressionConfig {
  algorithm: "zstd" | "gzip" | "none";
  level: number;
}
