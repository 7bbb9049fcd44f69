/** Limits that several files share and that are not settings. Sizes in bytes, times in ms. */

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Plaintext of one sealed segment (`docs/format.md`). */
export const SEGMENT_BYTES = MIB;
/** The segment sizes that a sealed file may declare; a reader allocates that much. */
export const SEGMENT_BYTES_MIN = 64;
export const SEGMENT_BYTES_MAX = 16 * MIB;
/** The two parts of variable length in a sealed file's header. */
export const SEALED_METADATA_BYTES_MAX = 64 * KIB;
export const SEALED_AGE_BYTES_MAX = 64 * KIB;
/** Bytes of the dump that are compressed as one frame. */
export const BLOCK_BYTES = 2 * MIB;
/** S3: the smallest size of a part (except the last one), and the largest. */
export const PART_BYTES_MIN = 5 * MIB;
export const PART_BYTES_MAX = 5 * GIB;
/** The part size of a run as long as the database is small enough for it. */
export const PART_BYTES_DEFAULT = 5 * MIB;
/** No manifest of pg321 is larger than this. */
export const MANIFEST_BYTES_MAX = MIB;
/** No result of a restore test that pg321 leaves beside a backup is larger than this. */
export const RESULT_BYTES_MAX = 256 * KIB;
/** How long pg_dump may take before its first byte, beyond its wait for locks: a million tables take that long. */
export const FIRST_DUMP_BYTE_MS = 30 * MINUTE_MS;
/** A dump's table of contents (some 1.5 KiB a table); it is held in memory. */
export const TABLE_OF_CONTENTS_BYTES_MAX = 512 * MIB;
/** The end of a child's stderr that goes into records and errors. */
export const STDERR_TAIL_BYTES = 4 * KIB;
/** A lease expires if it is not renewed for this long; it is renewed four times in that time. */
export const LEASE_MS = MINUTE_MS;
/** How often a daemon records in the catalog that it is alive. */
export const HEARTBEAT_MS = MINUTE_MS;
/**
 * An expired lease whose holder cannot be seen is watched this long, and checked this often, before it is taken over.
 */
export const LEASE_WATCH_MS = LEASE_MS / 3;
export const LEASE_LOOK_MS = 500;
/** A backup waits this long for a run that will soon release the lease of its database, and checks this often. */
export const LEASE_WAIT_MS = 10 * MINUTE_MS;
export const LEASE_POLL_MS = 100;
/** For globals, which take seconds: the wait is this long, because the databases of the run come after them. */
export const GLOBALS_WAIT_MS = MINUTE_MS;
/** The first reminder of an alert comes after this long; each interval is twice as long, up to the maximum. */
export const REMINDER_MS = HOUR_MS;
export const REMINDER_MS_MAX = 7 * DAY_MS;
/**
 * A notice that was not delivered is tried again after this long. The daemon looks for such notices about as often, so
 * that it notices within a minute that a receiver works again.
 */
export const DELIVERY_RETRY_MS = 25_000;
/** A notice that is this old is given up. */
export const DELIVERY_AGE_MS_MAX = 3 * DAY_MS;
/** A record dated further in the future than this is not believed; clocks may normally differ by less. */
export const RECORD_AHEAD_MS_MAX = HOUR_MS;
/** Series of single databases in one scrape; beyond it, the databases with the fewest problems are left out. */
export const DATABASE_SERIES_MAX = 20_000;
/** Hosts with series of their own in one scrape of the fleet; beyond it, hosts without a problem are left out. */
export const FLEET_SERIES_HOSTS_MAX = 1_000;
/** Answers of the daemon's endpoint that may be in memory at the same time; beyond it, clients get 503. */
export const HTTP_REQUESTS_MAX = 64;
/** Connections to it. For one more, the connection that has waited longest without a complete request is closed. */
export const HTTP_CONNECTIONS_MAX = 256;
/** Request line and headers must be complete within this time, from the connection or from the last answer on. */
export const HTTP_IDLE_MS_MAX = 10_000;
/** From a complete request until the client has read the whole answer, however it reads. */
export const HTTP_ANSWER_MS_MAX = 30_000;
/** If no place is free, an answer that has been read for at least this long gives way. */
export const HTTP_READING_MS_MIN = 2_000;
/** No request may have a body; one that announces more than this is refused whatever its method. */
export const HTTP_BODY_BYTES_MAX = 16 * KIB;
/** Request line and headers together. */
export const HTTP_HEADER_BYTES_MAX = 16 * KIB;
/** A daemon that does not answer `/health` within this time is not healthy; longer than it waits for its catalog. */
export const HEALTH_MS_MAX = 3_000;
/** How long requests in progress get when the endpoint is closed. */
export const HTTP_GRACE_MS = 2_000;

/** The most decisions, objects without a record, errors and notes that a report lists; further ones are only counted. */
export const LISTED_MAX = 1000;
