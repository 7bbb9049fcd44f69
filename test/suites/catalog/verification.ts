import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { CopyState } from "../../../src/catalog/records.ts";
import { backupRecord, copyRecord, tombstoneOf } from "./records.ts";
import { at, type MakeFixture, onNew } from "./sums.ts";

const STORAGES = ["disk", "r2"] as const;
const STATES: readonly CopyState[] = ["CONFIRMED", "CONFIRMED", "CONFIRMED", "DAMAGED", "DELETED"];
const NOW = new Date(at(30, 12));

const change = fc.record({
  which: fc.nat(7),
  storage: fc.constantFrom(...STORAGES),
  state: fc.constantFrom(...STATES),
  verifiedOn: fc.option(fc.integer({ min: 1, max: 33 }), { freq: 3 }),
  bytes: fc.option(fc.integer({ min: 0, max: 2 ** 40 })),
  do: fc.constantFrom("put" as const, "put" as const, "update" as const, "remove" as const),
});
type Change = typeof change extends fc.Arbitrary<infer S> ? S : never;

async function take(catalog: Catalog, one: Change): Promise<void> {
  const backups = await catalog.backups({});
  const backup = backups[one.which % backups.length];
  if (!backup) return;
  if (one.do === "remove" && one.which === 0) return catalog.removeBackup(tombstoneOf(backup));
  const verified_at = one.verifiedOn === null ? null : at(one.verifiedOn, one.which);
  const fields = { state: one.state, object_bytes: one.bytes, verified_at };
  if (one.do === "put") return catalog.putCopy(copyRecord(backup, { storage: one.storage, ...fields }));
  if ((await catalog.copies(backup.id)).some(({ storage }) => storage === one.storage))
    await catalog.updateCopy(backup.id, one.storage, fields);
}

async function withBackups(catalog: Catalog, count: number): Promise<void> {
  for (let day = 1; day <= count; day++)
    await catalog.insertBackup(backupRecord({ started_at: at(day), status: "VERIFIED" }));
}

async function queued(catalog: Catalog, before = at(33)) {
  return (await Array.fromAsync(catalog.verification.queue(before))).flat();
}

/** When copies were read back, and which of them are next. */
export function verification(make: MakeFixture): void {
  test("coverage agrees with the records after any changes, also of a storage's name", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 5, maxLength: 40, size: "max" }), (changes) =>
        onNew(make, async (first, reopen) => {
          await withBackups(first, 8);
          for (const one of changes) await take(first, one);
          await first.identities.rename([{ from: "disk", to: "usb" }]);
          const catalog = await reopen();
          const copies = (
            await Promise.all((await catalog.backups({})).map(({ id }) => catalog.copies(id)))
          ).flat();
          for (const days of [5, 30]) {
            const [since, until] = [at(30 - days).slice(0, 10), at(30).slice(0, 10)];
            const read = copies.filter(({ state, verified_at }) => {
              const day = verified_at?.slice(0, 10);
              return state === "CONFIRMED" && day !== undefined && day >= since && day <= until;
            });
            const expected = [...Map.groupBy(read, ({ storage }) => storage)].map(([storage, own]) => ({
              storage,
              days,
              copies: own.length,
              bytes: own.reduce((sum, { object_bytes }) => sum + (object_bytes ?? 0), 0),
            }));
            expect(await catalog.verification.coverage(days, NOW)).toEqual(
              expected.sort((left, right) => (left.storage < right.storage ? -1 : 1)),
            );
          }
        }),
      ),
      { numRuns: 15 },
    );
  }, 120_000);

  test("the queue: never read back first, by age; then the longest not read; confirmed copies only", () =>
    onNew(make, async (catalog) => {
      await withBackups(catalog, 3);
      const [third, second, first] = await catalog.backups({});
      if (!first || !second || !third) throw new Error();
      const put = (backup: typeof first, storage: string, verified_at: string | null, state = "CONFIRMED") =>
        catalog.putCopy(
          copyRecord(backup, { storage, verified_at, state: state as CopyState, object_bytes: 7 }),
        );
      await put(first, "disk", at(20));
      await put(first, "r2", null);
      await put(second, "disk", at(10));
      await put(second, "r2", at(25));
      await put(third, "disk", null);
      await put(third, "r2", null, "DAMAGED");
      const all = await queued(catalog);
      expect(all.map(({ backup_id, storage }) => [backup_id, storage])).toEqual([
        [first.id, "r2"],
        [third.id, "disk"],
        [second.id, "disk"],
        [first.id, "disk"],
        [second.id, "r2"],
      ]);
      expect(all[0]).toEqual({
        ...{ backup_id: first.id, storage: "r2", object_bytes: 7, server: "main", database: "app" },
        host: null,
      });
      expect((await queued(catalog, at(20))).map(({ storage }) => storage)).toEqual(["r2", "disk", "disk"]);
    }));

  test(
    "the queue continues over many pages, and a copy that is read meanwhile does not come again",
    () =>
      onNew(make, async (catalog) => {
        const copies = 700;
        for (let index = 0; index < copies; index++) {
          const backup = backupRecord({ started_at: at(1, index), status: "VERIFIED" });
          await catalog.insertBackup(backup);
          const verified_at = index % 2 === 0 ? null : at(2, index);
          await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED", verified_at }));
        }
        const seen: string[] = [];
        for await (const page of catalog.verification.queue(at(60))) {
          for (const { backup_id, storage } of page) {
            seen.push(backup_id);
            await catalog.updateCopy(backup_id, storage, { verified_at: at(60) });
          }
        }
        expect(seen).toHaveLength(copies);
        expect(new Set(seen).size).toBe(copies);
        expect(await queued(catalog, at(60))).toEqual([]);
      }),
    60_000,
  );
}
