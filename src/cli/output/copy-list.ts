import { copyWord } from "../../base/text/states.ts";
import type { CopyState } from "../../catalog/records.ts";
import type { Style } from "./output.ts";

/** The storages of a backup's copies, with the state of each copy that is not stored: `disk, r2 (missing)`. */
export function copyList(copies: readonly { storage: string; state: CopyState }[], style: Style): string {
  const one = ({ storage, state }: { storage: string; state: CopyState }) =>
    state === "CONFIRMED" ? storage : style.warn(`${storage} (${copyWord(state)})`);
  return copies.map(one).join(", ") || "-";
}
