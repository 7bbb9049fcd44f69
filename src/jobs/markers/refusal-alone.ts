import type { HostRecord } from "../../catalog/hosts.ts";
import type { StorageIdentity } from "../../catalog/storages/identities.ts";
import type { Storage } from "../../storage/storage.ts";
import { readMarker } from "../shared-places.ts";
import { judgeMarker, type MarkerVerdict } from "./marker-verdict.ts";

/** What the catalog and the config say about storages. */
export interface KnownPlaces {
  /** The storages of this host's config. */
  configured: readonly string[];
  identities: readonly StorageIdentity[];
  installation: string;
  /** Whether other hosts may use the catalog: a path of theirs is another place. */
  isShared: boolean;
  /** The other registered hosts. */
  others: readonly Pick<HostRecord, "host" | "storages">[];
}

/**
 * Why a run would leave a storage out; undefined: it would not, as far as a look at this storage alone can show. Writes
 * nothing. Throws what the storage throws, and code `verification` if the marker is damaged.
 */
export async function refusalAlone(
  storage: Storage,
  { configured, identities, installation, isShared, others }: KnownPlaces,
  signal: AbortSignal,
): Promise<Extract<MarkerVerdict, { verdict: "refused" }> | undefined> {
  const marker = await readMarker(storage, signal);
  const [place] = await storage.place(signal);
  const elsewhere = others.flatMap(({ storages }) => storages.map(({ name }) => name));
  const has = (one: Pick<HostRecord, "storages">) => one.storages.some(({ name }) => name === storage.name);
  const verdict = judgeMarker({
    name: storage.name,
    place: isShared && storage.settings.type === "local" ? undefined : place,
    installation,
    identities,
    configured: [...configured, ...elsewhere],
    elsewhere,
    namesakes: others.filter(has).map(({ host }) => host),
    found: new Map(marker ? [[storage.name, marker.storage_id]] : []),
    allAnswered: false,
    marker,
  });
  return verdict.verdict === "refused" ? verdict : undefined;
}
