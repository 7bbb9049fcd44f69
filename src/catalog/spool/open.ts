import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Secret } from "../../base/secret.ts";
import type { Catalog } from "../catalog.ts";
import { openPostgres, transactionsAt } from "../postgres/postgres.ts";
import { SpoolFile } from "./file.ts";
import type { Own } from "./knowledge.ts";
import { Spooled } from "./spooled.ts";

/**
 * Opens the catalog in PostgreSQL with this host's spool, also while it is unreachable, if the host has used it before.
 * Without a file that can be written, the catalog is used without a spool.
 */
export async function openSpooled(
  url: Secret,
  { path, host, servers, clock, log }: Own & { path: string; clock: Clock; log: Log | undefined },
): Promise<Catalog> {
  let file: SpoolFile;
  try {
    file = await SpoolFile.open(path, clock, log);
  } catch (error) {
    log?.warning("there is no spool: records cannot be kept while the catalog is unreachable", {
      path,
      error: messageOf(error),
    });
    return await openPostgres(url, clock, log);
  }
  const transactions = transactionsAt(url, clock, { failsFast: true });
  return await new Spooled({ file, transactions, own: { host, servers }, clock, log }).open();
}
