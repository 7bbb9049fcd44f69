import type { Catalog } from "../catalog.ts";
import type { Fence } from "../fence.ts";
import type { RestoreTests } from "../restore-tests.ts";

/**
 * The same catalog, whose writes about backups are refused (code `locked`) once the lease is another run's. Of two
 * fences, the one put on last counts.
 */
export function fencedCatalog(catalog: Catalog, own: Fence): Catalog {
  const restoreTests = fencedTests(catalog.restoreTests, own);
  const fenced: Partial<Catalog> = {
    insertBackup: (record, fence = own) => catalog.insertBackup(record, fence),
    updateBackup: (id, change, fence = own) => catalog.updateBackup(id, change, fence),
    removeBackup: (tombstone, fence = own) => catalog.removeBackup(tombstone, fence),
    putCopy: (record, fence = own) => catalog.putCopy(record, fence),
    putCopies: (records, fence = own) => catalog.putCopies(records, fence),
    updateCopy: (id, storage, change, fence = own) => catalog.updateCopy(id, storage, change, fence),
    restoreTests,
  };
  return new Proxy(catalog, { get: (_, name) => Reflect.get(fenced, name) ?? boundTo(catalog, name) });
}

function fencedTests(tests: RestoreTests, own: Fence): RestoreTests {
  const add: RestoreTests["add"] = (record, fence = own) => tests.add(record, fence);
  return new Proxy(tests, { get: (_, name) => (name === "add" ? add : boundTo(tests, name)) });
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
