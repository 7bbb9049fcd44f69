import type { GlobalsReport } from "./with-globals.ts";

/** The number of statements about roles that were refused or failed, so that the target lacks what they would create. */
export function globalsNotMade(globals: Pick<GlobalsReport, "refused" | "skipped"> | null): number {
  return globals === null ? 0 : globals.refused.length + globals.skipped.length;
}
