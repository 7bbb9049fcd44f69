import RECOVERY_PAGE from "../../docs/recovery.md" with { type: "text" };

/** The recipes for every accident, as carried in the executable. */
export { RECOVERY_PAGE };
