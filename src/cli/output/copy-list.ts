import { copyWord } from "../../base/text/states.ts";
import type { CopyRecord, CopyState } from "../../catalog/records.ts";
import type { Style } from "./output.ts";

type ListedCopy = { storage: string; state: CopyState } & Partial<
  Pick<CopyRecord, "locked_until" | "lock_mode">
>;

/**
 * The storages of a backup's copies, with the state of each copy that is not stored: `disk, r2 (missing)`. With `now`
 * also the day on which a lock ends: `r2 (locked until 2027-01-31, compliance)`.
 */
export function copyList(copies: readonly ListedCopy[], style: Style, now?: Date): string {
  const one = (copy: ListedCopy) => {
    if (copy.state !== "CONFIRMED") return style.warn(`${copy.storage} (${copyWord(copy.state)})`);
    const { locked_until: until = null, lock_mode: mode = null } = copy;
    if (now === undefined || until === null || new Date(until) <= now) return copy.storage;
    return `${copy.storage} (locked until ${until.slice(0, 10)}${mode === null ? "" : `, ${mode}`})`;
  };
  return copies.map(one).join(", ") || "-";
}
