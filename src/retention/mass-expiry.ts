import type { DecisionCounts, PlanOutline, RetentionDecision, Suspension } from "./facts.ts";

export interface Stops {
  suspended: Suspension[];
  /** The stop that keeps this copy for now. */
  stopOf: PlanOutline["stopOf"];
  /** By storage, with the stops applied. */
  counts: ReadonlyMap<string, DecisionCounts>;
}

/** Counts of one storage. */
interface Counts {
  expiring: number;
  guarded: number;
  /** Of the expiring ones: the number held by a stop of their database. */
  stopped: number;
}

type Place = Pick<Suspension, "server" | "database"> & { storage: string };

interface Scope extends Place {
  copies: Tally;
  /** Counted separately as well: damaged copies must not hide that all sound ones expire, nor the reverse. */
  confirmed: Tally;
}

interface Tally {
  total: number;
  expiring: number;
}

/** This many copies of a database in one storage may expire at once, whatever their share. */
const DATABASE_COPIES_MAX = 4;
const STORAGE_COPIES_MAX = 10;

/**
 * Finds the stops of a plan that would empty a storage, as a mistake in the config or wrong records would make it.
 * Gets the decisions database by database, before any stop, and keeps only counts of them.
 */
export class MassExpiry {
  readonly #storages = new Map<string, Scope>();
  readonly #ofDatabase = new Map<string, Scope>();
  readonly #databaseStops = new Map<string, Suspension>();
  readonly #counts = new Map<string, Counts>();

  count(decision: RetentionDecision): void {
    const { server, database, storage, action, guard } = decision;
    tally(scopeAt(this.#storages, { storage }), decision);
    tally(scopeAt(this.#ofDatabase, { storage, server, database }), decision);
    const counts = this.#countsOf(storage);
    if (action === "expire") counts.expiring++;
    else if (guard !== undefined) counts.guarded++;
  }

  /** Call after the last decision on a database. */
  endDatabase(): void {
    for (const scope of this.#ofDatabase.values()) {
      const stop = stopAt("database", scope, DATABASE_COPIES_MAX);
      if (stop === undefined) continue;
      this.#databaseStops.set(databaseKey(scope), stop);
      this.#countsOf(scope.storage).stopped += stop.copies;
    }
    this.#ofDatabase.clear();
  }

  /** The stops of the whole plan; `clockSuspicion` stops everything. */
  stops(clockSuspicion: string | undefined): Stops {
    const storageStops = new Map<string, Suspension>();
    for (const scope of [...this.#storages.values()].sort((a, b) => (a.storage < b.storage ? -1 : 1))) {
      const stop = stopAt("storage", scope, STORAGE_COPIES_MAX);
      if (stop !== undefined) storageStops.set(scope.storage, stop);
    }
    const all = [...this.#storages.values()].reduce((sum, { copies }) => sum + copies.expiring, 0);
    const clock: Suspension | undefined =
      clockSuspicion === undefined || all === 0
        ? undefined
        : { kind: "clock", copies: all, reason: clockSuspicion };
    const databaseStops = [...this.#databaseStops].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      suspended: [
        ...(clock ? [clock] : []),
        ...storageStops.values(),
        ...databaseStops.map(([, stop]) => stop),
      ],
      stopOf: (copy) => clock ?? storageStops.get(copy.storage) ?? this.#databaseStops.get(databaseKey(copy)),
      counts: this.#decisionCounts((storage, { expiring, stopped }) =>
        clock || storageStops.has(storage) ? expiring : stopped,
      ),
    };
  }

  /** By storage, without any stops. */
  counts(): ReadonlyMap<string, DecisionCounts> {
    return this.#decisionCounts(() => 0);
  }

  #decisionCounts(suspendedIn: (storage: string, counts: Counts) => number): Map<string, DecisionCounts> {
    const counted = new Map<string, DecisionCounts>();
    for (const [storage, counts] of this.#counts) {
      const suspended = suspendedIn(storage, counts);
      const { expiring, guarded } = counts;
      counted.set(storage, { expiring: expiring - suspended, guarded, suspended });
    }
    return counted;
  }

  #countsOf(storage: string): Counts {
    let counts = this.#counts.get(storage);
    if (counts === undefined) {
      counts = { expiring: 0, guarded: 0, stopped: 0 };
      this.#counts.set(storage, counts);
    }
    return counts;
  }
}

function databaseKey({ storage, server, database }: Place): string {
  return `${storage}\0${server}\0${database}`;
}

/** All scopes in a map are of the same kind, so the storage identifies each. */
function scopeAt(scopes: Map<string, Scope>, place: Place): Scope {
  let found = scopes.get(place.storage);
  if (found === undefined) {
    found = { ...place, copies: { total: 0, expiring: 0 }, confirmed: { total: 0, expiring: 0 } };
    scopes.set(place.storage, found);
  }
  return found;
}

function tally({ copies, confirmed }: Scope, { action, isConfirmed }: RetentionDecision): void {
  for (const one of isConfirmed ? [copies, confirmed] : [copies]) {
    one.total += 1;
    if (action === "expire") one.expiring += 1;
  }
}

function stopAt(
  kind: "database" | "storage",
  { copies, confirmed, ...place }: Scope,
  copiesMax: number,
): Suspension | undefined {
  const isMass = ({ total, expiring }: Tally) => expiring > copiesMax && expiring * 2 > total;
  if (isMass(copies)) return suspension(kind, place, copies.expiring, `${shareOf(copies)} copies`);
  if (isMass(confirmed))
    return suspension(kind, place, copies.expiring, `${shareOf(confirmed)} confirmed copies`);
  return undefined;
}

function shareOf({ total, expiring }: Tally): string {
  return `${expiring} of ${total}`;
}

function suspension(kind: "database" | "storage", place: Place, copies: number, share: string): Suspension {
  const of = kind === "database" ? ` of ${place.server}/${place.database}` : "";
  const reason = `${share}${of} in storage "${place.storage}" would expire at once`;
  return { kind, ...place, copies, reason };
}
