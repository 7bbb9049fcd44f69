import { expect, test } from "bun:test";
import fc from "fast-check";
import { isAhead, newestOf } from "../../../src/base/newest-good.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { LatestBackups, Standing, StandingBackup } from "../../../src/catalog/overview.ts";
import type {
  BackupRecord,
  BackupStatus,
  CopyState,
  RetainedBackupRecord,
} from "../../../src/catalog/records.ts";
import type { CatalogFixture } from "./conformance.ts";
import { backupRecord, copyRecord, tombstoneOf } from "./records.ts";

export type MakeFixture = () => Promise<CatalogFixture>;

/** Day of January 2026, at that hour. */
export const at = (day: number, hour = 0) => new Date(Date.UTC(2026, 0, day, hour)).toISOString();

/** Runs a test on a new catalog; `reopen` closes and opens it again. */
export async function onNew(
  makeFixture: MakeFixture,
  work: (catalog: Catalog, reopen: () => Promise<Catalog>) => Promise<void>,
): Promise<void> {
  await using fixture = await makeFixture();
  let catalog = await fixture.open();
  try {
    await work(catalog, async () => {
      await catalog[Symbol.asyncDispose]();
      catalog = await fixture.open();
      return catalog;
    });
  } finally {
    await catalog[Symbol.asyncDispose]();
  }
}

const SERVERS = ["main", "other"] as const;
const DATABASES = ["app", "shop"] as const;
const STORAGES = ["disk", "r2", "usb"] as const;
const STATES: readonly CopyState[] = [
  "INTENDED",
  "CONFIRMED",
  "CONFIRMED",
  "FAILED",
  "DAMAGED",
  "MISSING",
  "DELETING",
  "HIDDEN",
  "DELETED",
];
const STATUSES: readonly BackupStatus[] = ["RUNNING", "VERIFIED", "PARTIAL", "FAILED", "INTERRUPTED"];

const state = fc.constantFrom(...STATES);
const bytes = fc.option(fc.integer({ min: 0, max: 2 ** 40 }));
const which = fc.nat(20);
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("backup" as const),
      server: fc.constantFrom(...SERVERS),
      database: fc.constantFrom(...DATABASES),
      status: fc.constantFrom(...STATUSES),
      day: fc.integer({ min: 1, max: 12 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("put" as const, "put" as const, "update" as const),
      which,
      storage: fc.constantFrom(...STORAGES),
      state,
      bytes,
      locked_until: fc.constantFrom(null, at(9)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), which }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("status" as const),
      which,
      held_at: fc.constantFrom(null, at(1)),
      hold_reason: fc.constantFrom(null, 'why "so"'),
      status: fc.constantFrom(...STATUSES),
      facts: fc.constantFrom(null, { tables: 1 }, { left_out: { key: "part" } }),
    }),
  },
  // Fields that change nothing of which backup is the newest.
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("backup fields" as const),
      which,
      change: fc.constantFrom(
        { dump_bytes: 2 ** 40, object_bytes: null },
        { finished_at: at(8) },
        { error: 'a "quoted" \\u0041\n\tü \u{1f600}' },
        { object_bytes: 5, error: null },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("copy fields" as const),
      which,
      storage: fc.constantFrom(...STORAGES),
      change: fc.constantFrom(
        { confirmed_at: at(7) },
        { lock_mode: "compliance" as const, lock_place: "eu" },
        { lock_error: "no 'right'" },
        { locked_until: at(10) },
      ),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

async function take(catalog: Catalog, one: Step): Promise<void> {
  if (one.do === "backup") {
    const { server, database, status, day } = one;
    return catalog.insertBackup(backupRecord({ server, database, status, started_at: at(day) }));
  }
  const backups = await catalog.backups({});
  const backup = backups[one.which % Math.max(1, backups.length)];
  if (!backup) return;
  if (one.do === "remove") return catalog.removeBackup(tombstoneOf(backup));
  if (one.do === "status") {
    const { status, facts, held_at, hold_reason } = one;
    return catalog.updateBackup(backup.id, { status, facts, held_at, hold_reason });
  }
  if (one.do === "backup fields") return catalog.updateBackup(backup.id, one.change);
  if (one.do === "copy fields") {
    const copies = await catalog.copies(backup.id);
    if (!copies.some(({ storage }) => storage === one.storage)) return;
    return catalog.updateCopy(backup.id, one.storage, one.change);
  }
  const change = { state: one.state, object_bytes: one.bytes, locked_until: one.locked_until };
  if (one.do === "put") return catalog.putCopy(copyRecord(backup, { storage: one.storage, ...change }));
  if ((await catalog.copies(backup.id)).some(({ storage }) => storage === one.storage))
    return catalog.updateCopy(backup.id, one.storage, change);
}

/** In the middle of all dates: some are ahead of this clock. */
const NOW = new Date(at(6));

/** Given newest first. */
const newest = (backups: readonly BackupRecord[]) =>
  newestOf(backups, ({ started_at }) => new Date(started_at), NOW) ?? null;

/** The same totals, computed from all records. */
async function recomputed(catalog: Catalog) {
  const totals = new Map<string, { copies: number; bytes: number; newest_started_at: string }>();
  const latest = new Map<string, { good: BackupRecord | null; ended: BackupRecord | null }>();
  // Newest first.
  const all = await Promise.all(
    (await catalog.backups({})).map(async (backup) => {
      const copies = await catalog.copies(backup.id);
      return { backup, confirmed: copies.filter(({ state }) => state === "CONFIRMED") };
    }),
  );
  for (const [name, group] of Map.groupBy(all, ({ backup }) => `${backup.server} ${backup.database}`)) {
    const isGood = ({ backup, confirmed }: (typeof group)[number]) =>
      ["VERIFIED", "PARTIAL"].includes(backup.status) && confirmed.length > 0;
    latest.set(name, {
      good: newest(group.filter(isGood).map(({ backup }) => backup)),
      ended: newest(group.map(({ backup }) => backup).filter(({ status }) => status !== "RUNNING")),
    });
    for (const storage of STORAGES) {
      const held = group.flatMap(({ backup, confirmed }) =>
        confirmed.filter((copy) => copy.storage === storage).map((copy) => ({ backup, copy })),
      );
      const first = newest(held.map(({ backup }) => backup));
      if (first === null) continue;
      const sum = held.reduce((total, { copy }) => total + (copy.object_bytes ?? 0), 0);
      totals.set(`${name} ${storage}`, {
        copies: held.length,
        bytes: sum,
        newest_started_at: first.started_at,
      });
    }
  }
  return { totals: sorted(totals), latest: sorted(latest) };
}

/** The same backups as a report sees them, each read alone. */
async function standingsOf(catalog: Catalog, latest: readonly LatestBackups[]): Promise<Standing[]> {
  const shown = ({ id, kind, status, started_at, finished_at, ...more }: BackupRecord): StandingBackup => {
    const { host, dump_bytes, object_bytes, error } = more;
    return { id, kind, host, status, started_at, finished_at, dump_bytes, object_bytes, error };
  };
  const found: Standing[] = [];
  for (const { server, database, good, ended } of latest) {
    const copies = (good ? await catalog.copies(good.id) : []).map(
      ({ storage, state, confirmed_at, locked_until, lock_mode, lock_error, lock_place }) => {
        return { storage, state, confirmed_at, locked_until, lock_mode, lock_error, lock_place };
      },
    );
    const left_out = good?.facts?.["left_out"] ?? null;
    found.push({
      server,
      database,
      good: good && { ...shown(good), left_out, copies },
      ended: ended && shown(ended),
    });
  }
  return found;
}

export async function retainedIn(catalog: Catalog): Promise<RetainedBackupRecord[]> {
  await using snapshot = await catalog.retained();
  return (await Array.fromAsync(snapshot.backups())).flat();
}

/** What retention's plan reads, from all records. */
export async function storedBackups(catalog: Catalog): Promise<RetainedBackupRecord[]> {
  const found: RetainedBackupRecord[] = [];
  for (const backup of await catalog.backups({})) {
    const { id, server, database, host, status, started_at, held_at, hold_until, hold_reason } = backup;
    const stored = (await catalog.copies(id)).filter(({ state }) =>
      ["CONFIRMED", "DAMAGED", "MISSING"].includes(state),
    );
    const copies = stored.map(({ storage, state, object_bytes, confirmed_at, ...lock }) => {
      const { locked_until, lock_mode, lock_error, lock_place } = lock;
      return { storage, state, object_bytes, confirmed_at, locked_until, lock_mode, lock_error, lock_place };
    });
    if (copies.length > 0)
      found.push({
        id,
        server,
        database,
        host,
        status,
        started_at,
        held_at,
        hold_until,
        hold_reason,
        copies,
      });
  }
  // Each database newest first, as they came.
  const place = ({ server, database }: RetainedBackupRecord) => `${server} ${database}`;
  return found.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) < place(b) ? -1 : 1));
}

function sorted<V>(map: Map<string, V>): [string, V][] {
  return [...map].sort(([left], [right]) => (left < right ? -1 : 1));
}

export function sums(make: MakeFixture): void {
  test("of copies, and the latest backups, agree with the records after any changes of these", async () => {
    const seen = { removed: 0, emptied: 0, goodIsOlder: 0, onlyAhead: 0 };
    const property = fc.asyncProperty(
      fc.array(step, { minLength: 15, maxLength: 60, size: "max" }),
      (steps) =>
        onNew(make, async (first, reopen) => {
          for (const one of steps) await take(first, one);
          const catalog = await reopen();
          const { totals, latest } = await recomputed(catalog);
          const totalsNow = await catalog.overview.copyTotals(NOW);
          const held = totalsNow.filter(({ copies }) => copies !== 0);
          expect(
            held.map(({ server, database, storage, ...total }) => [
              `${server} ${database} ${storage}`,
              total,
            ]),
          ).toEqual(totals);
          for (const { copies, bytes, newest_started_at } of totalsNow)
            if (copies === 0)
              expect({ bytes, newest_started_at }).toEqual({ bytes: 0, newest_started_at: null });
          const now = await catalog.overview.latestBackups(NOW);
          expect(
            now.map(({ server, database, good, ended }) => [`${server} ${database}`, { good, ended }]),
          ).toEqual(latest);
          expect(await catalog.overview.standings(NOW)).toEqual(await standingsOf(catalog, now));
          expect(await retainedIn(catalog)).toEqual(await storedBackups(catalog));
          seen.removed += (await catalog.tombstones({})).length;
          seen.emptied += totalsNow.length - held.length;
          for (const { server, database, good } of now)
            expect((await catalog.newestGood(server, database, NOW)) ?? null).toEqual(good);
          const isAfter = ({ good }: (typeof now)[number]) => good && isAhead(new Date(good.started_at), NOW);
          seen.onlyAhead += now.filter(isAfter).length;
          seen.goodIsOlder += now.filter(({ good, ended }) => good && ended && good.id !== ended.id).length;
        }),
    );
    // Random changes may lack one of the cases that must be seen.
    for (let round = 0; round < 5 && Object.values(seen).includes(0); round++)
      await fc.assert(property, { numRuns: 25 });
    for (const [what, times] of Object.entries(seen)) expect(`${what}: ${times}`).not.toEndWith(": 0");
  }, 120_000);

  test("the latest backups and those of a plan follow a corrected time", () =>
    onNew(make, async (catalog) => {
      const made: BackupRecord[] = [];
      for (const day of [1, 2, 3]) {
        const backup = backupRecord({ status: "VERIFIED", started_at: at(day) });
        made.push(backup);
        await catalog.insertBackup(backup);
        await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED", object_bytes: day }));
      }
      const agree = async () => {
        const now = await catalog.overview.latestBackups(NOW);
        const { latest } = await recomputed(catalog);
        expect(
          now.map(({ server, database, good, ended }) => [`${server} ${database}`, { good, ended }]),
        ).toEqual(latest);
        expect(await catalog.overview.standings(NOW)).toEqual(await standingsOf(catalog, now));
        expect(await retainedIn(catalog)).toEqual(await storedBackups(catalog));
      };
      const [first, , last] = made.map(({ id }) => id);
      // The newest becomes the oldest, the oldest the newest, and the status changes with the time.
      await catalog.updateBackup(last ?? "", { started_at: "2025-01-01T00:00:00.000Z" });
      await agree();
      await catalog.updateBackup(first ?? "", { started_at: at(5), status: "PARTIAL", hold_reason: "kept" });
      await agree();
      await catalog.updateBackup(first ?? "", { started_at: at(4), status: "FAILED" });
      await agree();
    }));

  test("work for databases and storages of any name", () =>
    onNew(make, async (catalog) => {
      const names = ["", "a b", "a'b\n", "z", "ü"];
      for (const database of names) {
        const backup = backupRecord({ database, status: "VERIFIED" });
        await catalog.insertBackup(backup);
        await catalog.putCopy(copyRecord(backup, { storage: "s '\"", state: "CONFIRMED", object_bytes: 7 }));
      }
      expect((await catalog.overview.latestBackups(NOW)).map(({ database }) => database)).toEqual(names);
      expect(await catalog.overview.copyTotals(NOW)).toHaveLength(names.length);
    }));
}
