import type { StorageIdentity } from "../../catalog/storages/identities.ts";
import type { Marker } from "../../storage/marker.ts";

/** The facts about a configured storage and its place when a run begins. */
export interface MarkerFacts {
  name: string;
  /** The first name of its place. */
  place: string | undefined;
  /** The marker found there. */
  marker: Marker | undefined;
  /** This installation's id. */
  installation: string;
  identities: readonly StorageIdentity[];
  /** The marker ids found at all configured storages, including this one, by storage name. */
  found: ReadonlyMap<string, string>;
  /** Whether every configured storage gave an answer. */
  allAnswered: boolean;
  /** The storages of this host's config, and of the other registered hosts'. */
  configured: readonly string[];
  /** Those of the other registered hosts alone. */
  elsewhere?: readonly string[];
  /** The other hosts whose config has a storage of this name. */
  namesakes?: readonly string[];
  /** For a place without a marker: how its objects match the catalog's records. */
  holdings?: Holdings;
}

export interface Holdings {
  /**
   * `none`: the catalog has no confirmed copy in the storage. `there`: at least one of the newest copies exists. `gone`:
   * none of them does.
   */
  recorded: "none" | "there" | "gone";
  /** A name no longer in the config whose newest copies are in this place. */
  formerName?: string;
  /** Another installation whose backups are in this place. */
  foreign?: string;
}

export type MarkerVerdict =
  /** The storage is the one in the catalog, under this name from now on. */
  | { verdict: "known"; storageId: string; renamedFrom?: string }
  /** A fresh place, or one from before markers existed: it gets its marker now. */
  | { verdict: "unmarked"; renamedFrom?: string }
  | { verdict: "refused"; problem: string; hint: string };

/** Decides by the marker whether a place is the configured storage. Pure. */
export function judgeMarker(facts: MarkerFacts): MarkerVerdict {
  return facts.marker === undefined ? judgeUnmarked(facts) : judgeMarked(facts, facts.marker);
}

function judgeMarked(facts: MarkerFacts, marker: Marker): MarkerVerdict {
  const { name, installation, identities } = facts;
  const storageId = marker.storage_id;
  const known = identities.find((one) => one.name === name);
  if (known?.storage_id === storageId) return { verdict: "known", storageId };
  const former = identities.find((one) => one.storage_id === storageId);
  if (former) return judgeRenamed(facts, storageId, former.name, known);
  if (known?.marked_at != null)
    return refused(
      name,
      "it has the marker of another storage: another disk or bucket may be there",
      ownNameHint(facts),
    );
  if (marker.installation === installation) return { verdict: "known", storageId };
  return refused(name, `its place belongs to another installation of pg321 (${marker.installation})`);
}

/** The place is known under another name. */
function judgeRenamed(
  { name, configured, elsewhere = [], found, allAnswered }: MarkerFacts,
  storageId: string,
  former: string,
  known: StorageIdentity | undefined,
): MarkerVerdict {
  const isFreeName = !configured.includes(former);
  const isElsewhere = found.has(former) && found.get(former) !== storageId;
  if (!isFreeName && !isElsewhere) {
    const isAnothers = elsewhere.includes(former) && !found.has(former);
    const hint = isAnothers
      ? `another host has this storage under the name "${former}": name it "${former}" here, too, or give it another place`
      : "give one of the two another place";
    return refused(name, `its place belongs to storage "${former}"`, hint);
  }
  // Records under this name belong to another place. It must be found under another name, or the records would mix.
  const ownIsFound = known?.marked_at == null || [...found.values()].includes(known.storage_id);
  if (ownIsFound) return { verdict: "known", storageId, renamedFrom: former };
  const missing = allAnswered ? "is no storage of the config" : "may be a storage that does not answer";
  const problem = `its place belonged to storage "${former}", and its own former place ${missing}`;
  return refused(name, problem, `give the storage in this place a new name, or name it "${former}" again`);
}

function judgeUnmarked(facts: MarkerFacts): MarkerVerdict {
  const { name, identities, holdings } = facts;
  const known = identities.find((one) => one.name === name);
  const advice =
    ownNameHint(facts) ??
    `mount its disk or correct the config; if the place is right: pg321 storage accept ${name}`;
  if (known?.marked_at != null)
    return refused(
      name,
      "its marker is missing: the disk may not be mounted, or the storage was emptied",
      advice,
    );
  const former = formerAt(facts);
  if (former !== undefined) {
    const problem = `the marker of storage "${former}", which used this place before, is missing: the disk may not be mounted`;
    return refused(name, problem, advice);
  }
  const { recorded = "none", formerName, foreign } = holdings ?? {};
  if (recorded === "gone") {
    const problem =
      "none of its newest copies is there: the disk may not be mounted, or the storage was emptied";
    return refused(name, problem, advice);
  }
  if (recorded === "there") return { verdict: "unmarked" };
  if (formerName !== undefined) return { verdict: "unmarked", renamedFrom: formerName };
  if (foreign !== undefined)
    return refused(name, `its place holds backups of another installation of pg321 (${foreign})`);
  return { verdict: "unmarked" };
}

/** A storage name means one place for all hosts with a catalog: this may be a second one. */
export function ownNameHint({
  name,
  namesakes = [],
}: Pick<MarkerFacts, "name" | "namesakes">): string | undefined {
  const [host] = namesakes;
  if (host === undefined) return undefined;
  return `host "${host}" has a storage "${name}", too: give this one a name of its own if it is another place, "${name}-2" for example; if it is the same one, correct its address or mount its disk`;
}

/** Another storage that the catalog knows in this same place, and whose marker was found nowhere. */
function formerAt({ name, place, identities, found }: MarkerFacts): string | undefined {
  const ids = [...found.values()];
  const known = identities.find(
    (one) =>
      one.name !== name && one.marked_at !== null && one.place === place && !ids.includes(one.storage_id),
  );
  return place === undefined ? undefined : known?.name;
}

function refused(name: string, problem: string, hint?: string): MarkerVerdict {
  const accept = `correct the config; if the place is right: pg321 storage accept ${name}`;
  return { verdict: "refused", problem, hint: hint ?? accept };
}
