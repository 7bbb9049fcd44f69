import { timeText } from "../../base/text/zoned-time.ts";
import type { Catalog } from "../catalog.ts";
import { CatalogUnreachableError } from "./unreachable.ts";

/** Since when a catalog with a spool has been unreachable; undefined while it is reachable. */
export function unreachableSince({ spool }: Catalog): string | undefined {
  return spool?.status().unreachable_since ?? undefined;
}

/** Refuses what must see the whole catalog, or removes something, while it is unreachable. */
export function requireReachable(catalog: Catalog, doing: string): void {
  const since = unreachableSince(catalog);
  if (since === undefined) return;
  const reason = catalog.spool?.status().reason ?? "";
  throw new CatalogUnreachableError(
    "storage",
    `${doing} waits for the catalog, unreachable since ${timeText(since)}: ${reason}`,
    {
      hint: "run it again when the catalog is reachable; backups go on meanwhile",
      retryable: true,
    },
  );
}
