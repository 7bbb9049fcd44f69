import { Pg321Error } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { parseFacts } from "../../postgres/counts/facts.ts";
import { openDetails } from "../../sealed/details.ts";
import type { JobContext } from "../context.ts";

type Opening = Pick<JobContext, "keys" | "log">;

/**
 * What was counted in the dump of a backup: from the catalog, otherwise from its manifest, if the identity of this host
 * opens it. Undefined if nothing was counted, or nothing can be read.
 */
export async function factsOfBackup(
  context: Opening,
  { facts, manifest }: Pick<BackupRecord, "facts" | "manifest">,
): Promise<DumpFacts | undefined> {
  if (facts !== null) return parseFacts(facts);
  if (manifest === null) return undefined;
  // The catalog has only manifests that were verified.
  const { details } = JSON.parse(manifest) as { details?: unknown };
  return openFacts(context, typeof details === "string" ? details : undefined);
}

/** The facts in the details of a verified manifest; undefined if there are none, or if they cannot be opened. */
export async function openFacts(
  { keys, log }: Opening,
  details: string | undefined,
): Promise<DumpFacts | undefined> {
  if (details === undefined) return undefined;
  try {
    const identity = await keys.identity();
    if (!identity) return undefined;
    return parseFacts((await openDetails(details, identity.identities))["facts"]);
  } catch (error) {
    if (!(error instanceof Pg321Error)) throw error;
    // Without them the backup is still good.
    log.info("the row counts in a manifest could not be opened", { error: error.message });
    return undefined;
  }
}
