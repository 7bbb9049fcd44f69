import RECOVERY_PAGE from "../../docs/recovery.md" with { type: "text" };

/** Where `install` puts the page, so that it is at hand when it is needed. */
export const RECOVERY_FILE = "/usr/local/share/doc/pg321/recovery.md";

/** The recipes for every accident, as carried in the executable. */
export { RECOVERY_PAGE };
