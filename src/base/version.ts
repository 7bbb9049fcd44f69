declare const PG321_VERSION: string | undefined;
declare const PG321_COMMIT: string | undefined;

/** Set by `scripts/build.ts`; a run from source says so. */
export const VERSION: string = typeof PG321_VERSION === "string" ? PG321_VERSION : "0.0.0-source";
export const COMMIT: string = typeof PG321_COMMIT === "string" ? PG321_COMMIT : "unknown";

/** Whether this is the built executable rather than a run from source. */
export const isCompiled: boolean = typeof PG321_VERSION === "string";
