import type { CopyState } from "../../catalog/records.ts";
import type { Style } from "./output.ts";

/** The states of copies in words; `show` and the JSON have the states themselves. */
const WORDS: Readonly<Record<CopyState, string>> = {
  INTENDED: "not stored yet",
  CONFIRMED: "stored",
  FAILED: "failed",
  MISSING: "missing",
  DAMAGED: "damaged",
  DELETING: "being deleted",
  HIDDEN: "hidden",
  DELETED: "deleted",
};

/** The storages of a backup's copies, with the state of each copy that is not stored: `disk, r2 (missing)`. */
export function copyList(copies: readonly { storage: string; state: CopyState }[], style: Style): string {
  const one = ({ storage, state }: { storage: string; state: CopyState }) =>
    state === "CONFIRMED" ? storage : style.warn(`${storage} (${WORDS[state]})`);
  return copies.map(one).join(", ") || "-";
}
