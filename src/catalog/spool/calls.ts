import type { Catalog } from "../catalog.ts";

/**
 * What becomes of a call while the catalog is unreachable. `read`: answered from this host's last knowledge. `write`:
 * applied to that, and delivered later. `pages`, `whole`: fails, because the answer must be complete. `online`: a change that
 * must not be made without the catalog. `here`: a change that is not worth a delivery. `own`: the spool has its own rule; see `Spooled`.
 */
export type Kind = "read" | "write" | "pages" | "whole" | "online" | "here" | "own";

// biome-ignore lint/suspicious/noExplicitAny: any function
type Methods<T> = { [K in keyof T as T[K] extends (...args: any[]) => any ? K & string : never]: Kind };

/** One call of a catalog's method. */
export interface Call {
  /** A part of the catalog; empty: the catalog itself. */
  part: string;
  method: string;
  args: readonly unknown[];
}

/** By the parts of a catalog; the methods of the catalog itself have the name "". */
type Kinds = { "": Methods<Catalog> } & {
  [P in Exclude<keyof Catalog, keyof Methods<Catalog> | "isShared" | "whole" | "spool" | symbol>]: Methods<
    Catalog[P]
  >;
};

/** Every method; the compiler demands one that is new. */
export const KINDS: Kinds = {
  "": {
    installation: "read",
    belongTo: "online",
    insertBackup: "write",
    updateBackup: "write",
    backup: "read",
    backupsByPrefix: "read",
    backups: "read",
    countBackups: "read",
    copyStates: "whole",
    outlines: "pages",
    retained: "whole",
    backupsWithoutCopies: "pages",
    removeBackup: "online",
    tombstones: "read",
    tombstoneByPrefix: "read",
    pruneTombstones: "whole",
    pruneHistory: "whole",
    newestGood: "read",
    putCopy: "write",
    putCopies: "write",
    updateCopy: "own",
    copies: "read",
    copiesOf: "read",
    copiesInState: "read",
    placedCopies: "pages",
    insertRun: "write",
    updateRun: "write",
    runs: "read",
    changeAlert: "own",
    alerts: "read",
    acknowledgeAlert: "write",
    insertDeliveries: "write",
    updateDelivery: "write",
    claimDelivery: "write",
    deliveries: "read",
    acquireLease: "own",
    renewLease: "own",
    releaseLease: "own",
    leaseToken: "own",
    leases: "read",
    leaseTime: "read",
  },
  overview: {
    seeSchedule: "write",
    seeDatabases: "write",
    databases: "read",
    seeStorage: "write",
    storages: "read",
    copyTotals: "read",
    runTotals: "read",
    latestBackups: "read",
    standings: "read",
    recentBackups: "read",
    backupDays: "read",
    dumpSizes: "read",
    lastScheduled: "read",
    latestRuns: "read",
    scheduleRuns: "read",
    noticeTotals: "read",
  },
  clockRecords: { trust: "read", setTrust: "online", first: "read", lastBy: "read" },
  hosts: { put: "here", one: "read", all: "read", forget: "online", lastRuns: "read" },
  slots: { take: "write", newest: "whole", takeOver: "online", prune: "here" },
  hostExports: { last: "read", record: "write" },
  recoveryKits: { last: "read", record: "write", sealedBackups: "read" },
  identities: { all: "read", intend: "write", confirm: "write", rename: "online", newestKeys: "read" },
  listings: { position: "whole", keep: "online", forget: "online" },
  lockProbes: { add: "write", update: "write", latest: "read", standing: "read" },
  restoreTests: {
    add: "write",
    list: "read",
    standings: "read",
    latestByStorage: "read",
    prune: "whole",
  },
  ruleMarks: { list: "read", replace: "write" },
  usage: { stored: "read", growth: "read", months: "read" },
  verification: { queue: "pages", coverage: "read" },
  scratchDatabases: { add: "online", made: "write", all: "read", forget: "write" },
};

/** Calls the method on a catalog. */
export function invoke(catalog: Catalog, { part, method, args }: Call): unknown {
  const target = (part === "" ? catalog : catalog[part as keyof Catalog]) as unknown as Record<
    string,
    (...given: readonly unknown[]) => unknown
  >;
  return target[method]?.(...args);
}
