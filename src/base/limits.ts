/** Every bound of the program that is not a setting, in one place. Sizes in bytes, times in ms. */

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Plaintext of one sealed segment (`docs/format.md`). */
export const SEGMENT_BYTES = MIB;
/** What a sealed file may declare as its segment size; a reader allocates this much. */
export const SEGMENT_BYTES_MIN = 64;
export const SEGMENT_BYTES_MAX = 16 * MIB;
/** The two parts of a sealed file's header that have a variable length. */
export const SEALED_METADATA_BYTES_MAX = 64 * KIB;
export const SEALED_AGE_BYTES_MAX = 64 * KIB;
/** Dump bytes that are compressed as one frame. */
export const BLOCK_BYTES = 2 * MIB;
/** S3: the smallest part but the last, and the largest. */
export const PART_BYTES_MIN = 5 * MIB;
export const PART_BYTES_MAX = 5 * GIB;
/** What a run uses while the database is small enough for it. */
export const PART_BYTES_DEFAULT = 5 * MIB;
/** A manifest larger than this is not ours. */
export const MANIFEST_BYTES_MAX = MIB;
/** What pg_dump may take before its first byte, beyond its wait for locks: a million tables take that long. */
export const FIRST_DUMP_BYTE_MS = 30 * MINUTE_MS;
/** A dump's table of contents (some 1.5 KiB a table); it is held in memory. */
export const TABLE_OF_CONTENTS_BYTES_MAX = 512 * MIB;
/** The end of a child's stderr that goes into records and errors. */
export const STDERR_TAIL_BYTES = 4 * KIB;
/** A lease that is not renewed for this long is over; it is renewed four times in that time. */
export const LEASE_MS = MINUTE_MS;
/** One that ran out, of a holder that cannot be seen, is watched this long, and looked at this often, before it is taken. */
export const LEASE_WATCH_MS = LEASE_MS / 3;
export const LEASE_LOOK_MS = 500;
/** A backup waits this long for a run that gives the lease of its database back soon, and looks this often. */
export const LEASE_WAIT_MS = 10 * MINUTE_MS;
export const LEASE_POLL_MS = 100;
/** The first reminder of an alert comes after this long; each interval is twice as long, up to the maximum. */
export const REMINDER_MS = HOUR_MS;
export const REMINDER_MS_MAX = 7 * DAY_MS;
/** A notice that was not delivered is tried again after this long, then twice as long each time, up to the maximum. */
export const DELIVERY_RETRY_MS = MINUTE_MS;
export const DELIVERY_RETRY_MS_MAX = HOUR_MS;
/** Then it is given up. */
export const DELIVERY_AGE_MS_MAX = 3 * DAY_MS;
/** A record dated later than this from now is not to be believed; below it two clocks may honestly differ. */
export const RECORD_AHEAD_MS_MAX = HOUR_MS;
/** Series of single databases in one scrape; with more, the least troubled databases are left out of it. */
export const DATABASE_SERIES_MAX = 20_000;
/** The daemon's endpoint: requests that it answers at the same time; with more, others are told to come again. */
export const HTTP_REQUESTS_MAX = 64;
/** Connections to it; more are turned away. */
export const HTTP_CONNECTIONS_MAX = 256;
/** No request has a body; of one that has, this much is taken before it is refused. */
export const HTTP_BODY_BYTES_MAX = 16 * KIB;
/** A connection without a request under way is closed after this long. */
export const HTTP_IDLE_MS_MAX = 10_000;
/** What does not answer `/health` within this time is not healthy; longer than the daemon waits for its catalog. */
export const HEALTH_MS_MAX = 3_000;
/** How long requests under way get when the endpoint is closed. */
export const HTTP_GRACE_MS = 2_000;
