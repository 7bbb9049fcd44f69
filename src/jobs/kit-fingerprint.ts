import { createHash } from "node:crypto";
import type { Secret } from "../base/secret.ts";
import { catalogPlace, parseCatalogUrl } from "../config/catalog-url.ts";
import type { Config, StorageConfig } from "../config/config.ts";

/**
 * Hex SHA-256 of the facts on which a recovery kit is built: where the storages are, which identities open the backups,
 * whether these have several archives, and where a catalog in PostgreSQL is. If it changes, an older kit leads to the wrong place or key. It contains no secret.
 */
export function kitFingerprint({ storage, encryption, dump, catalog }: Config): string {
  const { mode, recipients, identity_file, signing_key_file } = encryption;
  const facts = {
    storages: storage.map(placeFacts).sort((a, b) => (a.name < b.name ? -1 : 1)),
    encryption: {
      mode,
      recipients: mode === "age" ? recipients.toSorted() : [],
      identity_file: identity_file ?? null,
      signing_key_file,
    },
    // Only if it is so: kits from before this was known stay up to date.
    ...(dump.jobs > 1 && { several_archives: true }),
    ...(catalog.type === "postgres" && { catalog: placeOf(catalog.url) }),
  };
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}

/** The kit says how a catalog in PostgreSQL comes back. */
function placeOf(text: Secret): string | null {
  const url = parseCatalogUrl(text.reveal());
  return url ? catalogPlace(url) : null;
}

function placeFacts(storage: StorageConfig): { name: string; place: readonly unknown[] } {
  const { name, type } = storage;
  if (storage.type === "local") return { name, place: [type, storage.path] };
  const { endpoint, region, bucket, prefix, path_style } = storage;
  return { name, place: [type, endpoint, region, bucket, prefix, path_style] };
}
