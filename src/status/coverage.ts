import type { Catalog } from "../catalog/catalog.ts";
import type { CoverageStatus } from "./report.ts";

/** About once a month, and once a quarter. */
const DAYS: readonly number[] = [30, 90];

/** How much of a storage with so many copies was read back: of each storage, from two sums in the catalog. */
export async function readCoverage(
  { verification }: Pick<Catalog, "verification">,
  now: Date,
): Promise<(storage: string, all: { copies: number; bytes: number }) => CoverageStatus[]> {
  const covered = await Promise.all(
    DAYS.map(async (days) => ({ days, storages: await verification.coverage(days, now) })),
  );
  return (name, all) =>
    covered.map(({ days, storages }) => {
      const { copies = 0, bytes = 0 } = storages.find(({ storage }) => storage === name) ?? {};
      return {
        days,
        copies,
        bytes,
        copies_ratio: share(copies, all.copies),
        bytes_ratio: share(bytes, all.bytes),
      };
    });
}

function share(part: number, all: number): number | null {
  return all <= 0 ? null : Math.min(1, part / all);
}
