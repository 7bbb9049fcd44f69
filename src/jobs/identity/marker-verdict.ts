import type { StorageIdentity } from "../../catalog/identities.ts";
import type { Marker } from "../../storage/marker.ts";

/** What is known of a configured storage and its place when a run begins. */
export interface MarkerFacts {
  name: string;
  /** The first of the names of its place. */
  place: string | undefined;
  /** The marker that lies there. */
  marker: Marker | undefined;
  /** This installation's id. */
  installation: string;
  identities: readonly StorageIdentity[];
  /** The ids of the markers that were found at each configured storage, this one included. */
  found: ReadonlyMap<string, string>;
  /** Whether every configured storage gave an answer. */
  allAnswered: boolean;
  configured: readonly string[];
  /** Of a place without a marker: how its objects go together with the catalog's records. */
  holdings?: Holdings;
}

export interface Holdings {
  /**
   * `none`: the catalog has no confirmed copy in the storage. `there`: the newest are there. `gone`: none of the
   * newest is.
   */
  recorded: "none" | "there" | "gone";
  /** A name that the config has no more, whose newest copies lie in this place. */
  formerName?: string;
  /** Another installation whose backups lie in this place. */
  foreign?: string;
}

export type MarkerVerdict =
  /** It is the storage that the catalog knows; from now on under this name. */
  | { verdict: "known"; storageId: string; renamedFrom?: string }
  /** A fresh place, or one from before there were markers: it gets its marker now. */
  | { verdict: "unmarked"; renamedFrom?: string }
  | { verdict: "refused"; problem: string; hint: string };

/** Decides by its marker whether a place is the storage that the config names. Pure. */
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
    return refused(name, "its place has the marker of another storage: another disk or bucket may be there");
  if (marker.installation === installation) return { verdict: "known", storageId };
  return refused(name, `its place belongs to another installation of pg321 (${marker.installation})`);
}

/** The place is known under another name. */
function judgeRenamed(
  { name, configured, found, allAnswered }: MarkerFacts,
  storageId: string,
  former: string,
  known: StorageIdentity | undefined,
): MarkerVerdict {
  const isFreeName = !configured.includes(former);
  const isElsewhere = found.has(former) && found.get(former) !== storageId;
  if (!isFreeName && !isElsewhere)
    return refused(name, `its place belongs to storage "${former}"`, "give one of the two another place");
  // The records under this name are of a place that must be found under another name, or they would be mixed.
  const ownIsFound = known?.marked_at == null || [...found.values()].includes(known.storage_id);
  if (ownIsFound) return { verdict: "known", storageId, renamedFrom: former };
  const missing = allAnswered ? "is no storage of the config" : "may be a storage that does not answer";
  const problem = `its place belonged to storage "${former}", and its own former place ${missing}`;
  return refused(name, problem, `give the storage in this place a new name, or name it "${former}" again`);
}

function judgeUnmarked(facts: MarkerFacts): MarkerVerdict {
  const { name, identities, holdings } = facts;
  const known = identities.find((one) => one.name === name);
  const advice = `mount its disk or correct the config; if the place is right: pg321 storage accept ${name}`;
  if (known?.marked_at != null)
    return refused(name, "its marker is gone: its disk may not be mounted, or its place was emptied", advice);
  const former = formerAt(facts);
  if (former !== undefined) {
    const problem = `the marker of storage "${former}", which had this place, is gone: its disk may not be mounted`;
    return refused(name, problem, advice);
  }
  const { recorded = "none", formerName, foreign } = holdings ?? {};
  if (recorded === "gone") {
    const problem =
      "none of its newest copies is there: its disk may not be mounted, or its place was emptied";
    return refused(name, problem, advice);
  }
  if (recorded === "there") return { verdict: "unmarked" };
  if (formerName !== undefined) return { verdict: "unmarked", renamedFrom: formerName };
  if (foreign !== undefined)
    return refused(name, `its place holds backups of another installation of pg321 (${foreign})`);
  return { verdict: "unmarked" };
}

/** A storage of another name that the catalog knows in this very place, and whose marker is in no other. */
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
