import { timeText } from "../../base/text/zoned-time.ts";
import type { Catalog } from "../catalog.ts";
import { CatalogUnreachableError } from "./unreachable.ts";

/** Since when a catalog with a spool has been unreachable; undefined while it is reachable. */
export function unreachableSince({ spool }: Catalog): string | undefined {
  return spool?.outage()?.since;
}

/** Refuses what must see the whole catalog, or removes something, while it is unreachable. */
export function requireReachable(catalog: Catalog, doing: string): void {
  const outage = catalog.spool?.outage();
  if (outage === undefined) return;
  const { since, reason } = outage;
  throw new CatalogUnreachableError(
    "storage",
    `${doing} waits for the catalog, unreachable since ${timeText(since)}: ${reason}`,
    {
      hint: "run it again when the catalog is reachable; backups go on meanwhile",
      retryable: true,
    },
  );
}
