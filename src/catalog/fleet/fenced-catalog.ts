import type { Catalog } from "../catalog.ts";
import type { Fence } from "../fence.ts";

/**
 * The same catalog, whose writes about backups are refused (code `locked`) once the lease is another run's. Of two
 * fences, the one put on last counts.
 */
export function fencedCatalog(catalog: Catalog, own: Fence): Catalog {
  const { restoreTests } = catalog;
  return changed(catalog, {
    insertBackup: (record, fence = own) => catalog.insertBackup(record, fence),
    updateBackup: (id, change, fence = own) => catalog.updateBackup(id, change, fence),
    removeBackup: (tombstone, fence = own) => catalog.removeBackup(tombstone, fence),
    putCopy: (record, fence = own) => catalog.putCopy(record, fence),
    putCopies: (records, fence = own) => catalog.putCopies(records, fence),
    updateCopy: (id, storage, change, fence = own) => catalog.updateCopy(id, storage, change, fence),
    restoreTests: changed(restoreTests, { add: (record, fence = own) => restoreTests.add(record, fence) }),
  });
}

/** The same object with some methods or parts of its own. */
export function changed<T extends object>(object: T, own: Partial<T>): T {
  return new Proxy(object, { get: (_, name) => Reflect.get(own, name) ?? boundTo(object, name) });
}

/** A property of an object; a method that works on the object itself, which has private fields. */
export function boundTo(object: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(object, name, object);
  return typeof value === "function" ? value.bind(object) : value;
}

/** The context of a job for its work under a lease: it ends with the lease, and its writes are fenced. */
export function underLease<C extends { catalog: Catalog; signal: AbortSignal }>(
  context: C,
  lease: { signal: AbortSignal; fence: Fence },
): C {
  return { ...context, signal: lease.signal, catalog: fencedCatalog(context.catalog, lease.fence) };
}
