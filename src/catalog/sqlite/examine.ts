import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import type { Config } from "../../config/config.ts";
import type { StorageIdentity } from "../identities.ts";
import { catalogError } from "./errors.ts";
import { MIGRATIONS } from "./migrations.ts";
import { refuseEmpty } from "./open.ts";
import { refuseNewerCatalog } from "./version.ts";

const HAS_IDENTITIES = "SELECT 1 FROM sqlite_schema WHERE name = 'storage_identities'";

/** What a look at a catalog shows that neither makes nor changes it. */
export interface CatalogFacts {
  /** Of its schema. */
  version: number;
  /** That this program would bring it to. */
  knownVersion: number;
  installation: string | undefined;
  /** The storages that it knows by their markers; none in an older version. */
  identities: StorageIdentity[];
  /** What SQLite finds broken, at most five lines; empty for a whole one. */
  damage: string[];
}

/**
 * Reads a catalog through, which takes a second or so for some 100 MB; undefined where there is none. Throws
 * code `usage` for one of a newer program, `storage` for one that cannot be read.
 */
export function examineCatalog(config: Config["catalog"]): CatalogFacts | undefined {
  if (!existsSync(config.path)) return undefined;
  refuseEmpty(config.path);
  refuseNewerCatalog(config);
  try {
    using database = new Database(config.path, { readonly: true });
    const found = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
    const checked = database.query<{ quick_check: string }, []>("PRAGMA quick_check(5)").all();
    const version = found?.user_version ?? 0;
    const row =
      version === 0 ? undefined : database.query<{ id: string }, []>("SELECT id FROM installation").get();
    const hasIdentities = database.query(HAS_IDENTITIES).get() !== null;
    return {
      identities: hasIdentities
        ? database.query<StorageIdentity, []>("SELECT * FROM storage_identities ORDER BY name").all()
        : [],
      version,
      knownVersion: MIGRATIONS.length,
      installation: row?.id,
      damage: checked.map(({ quick_check }) => quick_check).filter((line) => line !== "ok"),
    };
  } catch (error) {
    throw catalogError(config.path, "look at it", error);
  }
}
