import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import type { HostExport } from "../host-exports.ts";
import type { HostRecord } from "../hosts.ts";
import type { LockProbeRecord } from "../records.ts";
import type { RecoveryKitRecord, SealedBackups } from "../recovery-kits.ts";
import type { StorageIdentity } from "../storages/identities.ts";
import { catalogError } from "./errors.ts";
import { LAST_EXPORT } from "./host-exports.ts";
import { MIGRATIONS } from "./migration/migrations.ts";
import { unfinishedCopy, unfinishedError } from "./migration/unfinished.ts";
import { refuseNewerSqlite } from "./migration/version.ts";
import { refuseEmpty } from "./open.ts";
import { LATEST_PROBES } from "./proof/lock-probes.ts";
import { LAST_KIT, SEALED_BACKUPS, type SealedRow, sealedBackups } from "./proof/recovery-kits.ts";

import { fromRow, LOCK_PROBES, type Row } from "./tables.ts";

const TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'";

/** Facts about a catalog, found without creating or changing it. */
export interface CatalogFacts {
  /** The version of its schema. */
  version: number;
  /** The version that this program would migrate it to. */
  knownVersion: number;
  installation: string | undefined;
  /** The storages that it knows by their markers; empty in an older version. */
  identities: StorageIdentity[];
  /** When the files that a new host needs were exported last from this host; undefined if never, or in an older version. */
  hostExport: HostExport | undefined;
  /** The recovery kit that was made last on this host; undefined if none was, or in an older version. */
  recoveryKit: RecoveryKitRecord | undefined;
  /** The good encrypted backups by their recipients; undefined in an older version. */
  sealed: SealedBackups[] | undefined;
  /** The newest finished probe of each storage; empty in an older version. */
  probes: LockProbeRecord[];
  /** The registered hosts; empty in a file, and in an older version. */
  hosts: HostRecord[];
  /** SQLite's findings of damage, at most five lines; empty if the catalog is whole. */
  damage: string[];
}

/**
 * Reads the whole catalog, which takes a second or so for some 100 MB; returns undefined if there is none. Throws
 * code `usage` if it was written by a newer program, `storage` if it cannot be read.
 */
export function examineSqlite(config: { path: string }): CatalogFacts | undefined {
  if (!existsSync(config.path)) return undefined;
  refuseEmpty(config.path);
  refuseNewerSqlite(config);
  try {
    using database = new Database(config.path, { readonly: true });
    const unfinished = unfinishedCopy(database);
    if (unfinished) throw unfinishedError(`catalog ${config.path}`, unfinished);
    const found = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
    const checked = database.query<{ quick_check: string }, []>("PRAGMA quick_check(5)").all();
    const version = found?.user_version ?? 0;
    const row =
      version === 0 ? undefined : database.query<{ id: string }, []>("SELECT id FROM installation").get();
    const tables = database.query<{ name: string }, []>(TABLES).all();
    const has = (table: string) => tables.some(({ name }) => name === table);
    return {
      identities: has("storage_identities")
        ? database.query<StorageIdentity, []>("SELECT * FROM storage_identities ORDER BY name").all()
        : [],
      version,
      knownVersion: MIGRATIONS.length,
      installation: row?.id,
      hostExport: has("host_export")
        ? (database.query<HostExport, []>(LAST_EXPORT).get() ?? undefined)
        : undefined,
      recoveryKit: has("recovery_kits")
        ? (database.query<RecoveryKitRecord, []>(LAST_KIT).get() ?? undefined)
        : undefined,
      sealed: has("recovery_kits")
        ? database.query<SealedRow, []>(SEALED_BACKUPS).all().map(sealedBackups)
        : undefined,
      probes: has("lock_probes")
        ? database
            .query<Row, []>(LATEST_PROBES)
            .all()
            .map((row) => fromRow(LOCK_PROBES, row))
        : [],
      hosts: [],
      damage: checked.map(({ quick_check }) => quick_check).filter((line) => line !== "ok"),
    };
  } catch (error) {
    throw catalogError(config.path, "examine it", error);
  }
}
