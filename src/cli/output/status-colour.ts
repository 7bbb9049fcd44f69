import { backupWord, copyWord, isEndedByHand } from "../../base/text/states.ts";
import type { ListedBackup } from "../../status/list-backups.ts";
import type { Style } from "./output.ts";

const GOOD = new Set(["INFO", "VERIFIED", "CONFIRMED", "PASSED", "OK", "good", "filled", "deleted", "gone"]);
const BAD = new Set(["CRITICAL", "FAILED", "DAMAGED", "MISSING", "damaged", "missing", "failed"]);

/** A status in green, red or yellow. */
export function colouredStatus(status: string, style: Style): string {
  return colouring(status, style)(status);
}

/** The status of a backup in words. One that a person interrupted is not red. */
export function colouredBackup(backup: { status: string; error: string | null }, style: Style): string {
  const colour = isEndedByHand(backup) ? style.warn : colouring(backup.status, style);
  return colour(backupWord(backup));
}

/** ` on db1, by hand` of a running backup; empty for any other. */
export function originText({
  running_on,
  is_by_hand,
}: Pick<ListedBackup, "running_on" | "is_by_hand">): string {
  return running_on === null ? "" : ` on ${running_on}, ${is_by_hand ? "by hand" : "scheduled"}`;
}

/** The state of a copy in words. One of a backup that a person interrupted is not red. */
export function colouredCopy(state: string, style: Style, backup = { error: null as string | null }): string {
  if (state === "FAILED" && isEndedByHand(backup)) return style.warn("not stored");
  return colouring(state, style)(copyWord(state));
}

function colouring(status: string, style: Style): (text: string) => string {
  if (GOOD.has(status)) return style.good;
  return BAD.has(status) ? style.bad : style.warn;
}
