import type { RetentionDecision, Suspension } from "./facts.ts";

export interface Stops {
  suspended: Suspension[];
  /** The one that keeps this copy for now. */
  stopOf: (decision: RetentionDecision) => Suspension | undefined;
}

type Place = Pick<Suspension, "server" | "database"> & { storage: string };

interface Scope extends Place {
  copies: Tally;
  /** Alone, too: damaged copies must not hide that every sound one goes, nor the other way round. */
  confirmed: Tally;
}

interface Tally {
  total: number;
  expiring: number;
}

/** So many copies of a database in one storage may go at once, whatever their share. */
const DATABASE_COPIES_MAX = 4;
const STORAGE_COPIES_MAX = 10;

/**
 * The stops of a plan that would empty a storage: a slip in the config, or records that are wrong, looks
 * like this. `databases` are the decisions on each of them before any stop.
 */
export function massExpiryStops(databases: readonly (readonly RetentionDecision[])[]): Stops {
  const byStorage = new Map<string, Scope>();
  const byDatabase = new Map<string, Scope>();
  for (const decisions of databases) {
    const ofDatabase = new Map<string, Scope>();
    for (const decision of decisions) {
      const { server, database, storage } = decision;
      count(scopeAt(byStorage, storage, { storage }), decision);
      count(scopeAt(ofDatabase, storage, { storage, server, database }), decision);
    }
    for (const scope of ofDatabase.values()) byDatabase.set(databaseKey(scope), scope);
  }
  const storageStops = suspensions("storage", byStorage, STORAGE_COPIES_MAX);
  const databaseStops = suspensions("database", byDatabase, DATABASE_COPIES_MAX);
  return {
    suspended: [...storageStops.values(), ...databaseStops.values()],
    stopOf: (decision) => storageStops.get(decision.storage) ?? databaseStops.get(databaseKey(decision)),
  };
}

function databaseKey({ storage, server, database }: Place): string {
  return `${storage}\0${server}\0${database}`;
}

function scopeAt(scopes: Map<string, Scope>, key: string, place: Place): Scope {
  let found = scopes.get(key);
  if (found === undefined) {
    found = { ...place, copies: { total: 0, expiring: 0 }, confirmed: { total: 0, expiring: 0 } };
    scopes.set(key, found);
  }
  return found;
}

function count({ copies, confirmed }: Scope, { action, isConfirmed }: RetentionDecision): void {
  for (const tally of isConfirmed ? [copies, confirmed] : [copies]) {
    tally.total += 1;
    if (action === "expire") tally.expiring += 1;
  }
}

function suspensions(
  kind: "database" | "storage",
  scopes: ReadonlyMap<string, Scope>,
  copiesMax: number,
): Map<string, Suspension> {
  const isMass = ({ total, expiring }: Tally) => expiring > copiesMax && expiring * 2 > total;
  const found = new Map<string, Suspension>();
  for (const [key, { copies, confirmed, ...place }] of [...scopes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (isMass(copies)) found.set(key, suspension(kind, place, copies.expiring, `${shareOf(copies)} copies`));
    else if (isMass(confirmed))
      found.set(key, suspension(kind, place, copies.expiring, `${shareOf(confirmed)} confirmed copies`));
  }
  return found;
}

function shareOf({ total, expiring }: Tally): string {
  return `${expiring} of ${total}`;
}

function suspension(kind: "database" | "storage", place: Place, copies: number, share: string): Suspension {
  const of = kind === "database" ? ` of ${place.server}/${place.database}` : "";
  const reason = `${share}${of} in storage "${place.storage}" would expire at once`;
  return { kind, ...place, copies, reason };
}
