import { DAY_MS } from "../../base/limits.ts";
import type { BackfillConfig, StorageConfig } from "../config.ts";
import { parseDuration } from "../units.ts";
import { type Leaf, leaf } from "./leaf.ts";
import type { Report } from "./table.ts";

/** More is a mistake, as in `keep`; all backups are `"all"`. */
const DAYS_MAX = 36_500;
const WORDS = ["all", "newest"] as const;

/** Which earlier backups a storage gets that is added later. */
export function backfill(): Leaf<BackfillConfig> {
  return leaf(
    '"all", "newest", or an age from "1d" to "36500d", such as "90d"',
    (value) => {
      const word = WORDS.find((one) => one === value);
      const max_age_ms = typeof value === "string" ? (parseDuration(value) ?? 0) : 0;
      return word ?? (max_age_ms >= DAY_MS && max_age_ms <= DAYS_MAX * DAY_MS ? { max_age_ms } : undefined);
    },
    { choices: WORDS },
  );
}

/** An archive gets copies only from the storage that names it. */
export function archivesAreNotFilled(storages: readonly StorageConfig[], report: Report): void {
  const archives = storages.flatMap(({ expire }) => (typeof expire === "object" ? expire.archive_to : []));
  for (const [index, { name, backfill }] of storages.entries())
    if (backfill !== undefined && archives.includes(name))
      report([index, "backfill"], "not allowed in a storage that another one names in archive_to");
}
