import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { Secret } from "../../base/secret.ts";
import { parseCatalogUrl } from "../../config/catalog-url.ts";
import type { HostExport } from "../host-exports.ts";
import type { RecoveryKitRecord } from "../recovery-kits.ts";
import type { CatalogFacts } from "../sqlite/examine.ts";
import { ALL_HOSTS } from "../sqlite/fleet/hosts.ts";
import { LAST_EXPORT, LAST_EXPORT_OF } from "../sqlite/host-exports.ts";
import { unfinishedError } from "../sqlite/migration/unfinished.ts";
import { LATEST_PROBES } from "../sqlite/proof/lock-probes.ts";
import {
  LAST_KIT,
  LAST_KIT_OF,
  SEALED_BACKUPS,
  type SealedRow,
  sealedBackups,
} from "../sqlite/proof/recovery-kits.ts";
import { fromRow, HOSTS, LOCK_PROBES } from "../sqlite/tables.ts";
import type { StorageIdentity } from "../storages/identities.ts";
import { refuseNewerSchema, schemaVersion, unfinishedCopy } from "./migration/migrate.ts";
import { MIGRATIONS } from "./migration/migrations.ts";
import { requireUse } from "./rights.ts";
import { Transactions } from "./transactions.ts";

/**
 * Reads facts about the catalog without creating or changing it; undefined if its database has none yet. Throws code
 * `usage` if it was written by a newer program, `storage` if it cannot be read, or if the role lacks a right to work with
 * it. The server itself watches its pages, so there is no damage to find here.
 */
export async function examinePostgres(
  url: Secret,
  clock: Clock,
  host: string,
): Promise<CatalogFacts | undefined> {
  const parsed = parseCatalogUrl(url.reveal());
  if (!parsed) throw new Pg321Error("usage", "catalog.url: not the URL of a PostgreSQL database");
  await using transactions = new Transactions(parsed, clock);
  return await transactions.do("examine it", async (transaction) => {
    const version = await schemaVersion(transaction, transactions.label);
    refuseNewerSchema(version, transactions.label);
    await requireUse(transaction, transactions.login, version);
    if (version === 0) return undefined;
    const unfinished = await unfinishedCopy(transaction);
    if (unfinished) throw unfinishedError(transactions.label, unfinished);
    const { rows } = transaction;
    // In an older version hosts have no kits and exports of their own.
    const isOlder = version < MIGRATIONS.length;
    const last = async <T>(ofAny: string, ofHost: string) =>
      (await (isOlder ? rows<T>(ofAny) : rows<T>(ofHost, { host })))[0];
    const [installation] = await rows<{ id: string }>("SELECT id FROM installation");
    return {
      version,
      knownVersion: MIGRATIONS.length,
      installation: installation?.id,
      identities: await rows<StorageIdentity>("SELECT * FROM storage_identities ORDER BY name"),
      hostExport: await last<HostExport>(LAST_EXPORT, LAST_EXPORT_OF),
      recoveryKit: await last<RecoveryKitRecord>(LAST_KIT, LAST_KIT_OF),
      sealed: (await rows<SealedRow>(SEALED_BACKUPS)).map(sealedBackups),
      probes: (await rows(LATEST_PROBES)).map((row) => fromRow(LOCK_PROBES, row)),
      hosts: isOlder ? [] : (await rows(ALL_HOSTS)).map((row) => fromRow(HOSTS, row)),
      damage: [],
    };
  });
}
