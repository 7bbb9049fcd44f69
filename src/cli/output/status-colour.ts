import type { Style } from "./output.ts";

const GOOD = new Set(["INFO", "VERIFIED", "CONFIRMED", "OK", "good", "filled", "deleted", "gone"]);
const BAD = new Set(["CRITICAL", "FAILED", "DAMAGED", "MISSING", "damaged", "missing", "failed"]);

/** A status in green, red or yellow. */
export function colouredStatus(status: string, style: Style): string {
  if (GOOD.has(status)) return style.good(status);
  return BAD.has(status) ? style.bad(status) : style.warn(status);
}
