import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { CleanupReport } from "../../../src/jobs/cleanup/report.ts";
import type { Known, StorageName } from "../../lab/data/made-up-world.ts";
import { NAMES, World } from "../../lab/data/made-up-world.ts";

/**
 * The whole cleanup on a real catalog and real directories, over simulated years: backups are made or missed, objects
 * disappear without its knowledge, copies are found damaged, people hold backups and confirm plans. Whatever happens,
 * every copy of the newest good backup of each database is still there afterwards.
 */

/** The newest backup of each database that can actually be restored. */
function newestRestorable(world: World, known: readonly Known[]): Known[] {
  const newest = new Map<string, Known>();
  for (const backup of known.toSorted((a, b) => (a.started_at < b.started_at ? 1 : -1)))
    if (!newest.has(backup.database) && world.restorable(backup).length > 0)
      newest.set(backup.database, backup);
  return [...newest.values()];
}

async function cleanUpAndCheck(world: World, confirms: boolean): Promise<CleanupReport[]> {
  const before = await world.known();
  const newest = newestRestorable(world, before);
  const there = new Map(before.map((backup) => [backup.id, world.really(backup)]));
  const reports = await world.cleanup(confirms);
  const after = new Map((await world.known()).map((backup) => [backup.id, backup]));
  for (const { id } of newest) {
    const left = after.get(id);
    expect(left && world.restorable(left)).not.toEqual([]);
    expect(left).toBeDefined();
  }
  for (const backup of before) {
    const gone = (there.get(backup.id) ?? []).filter((name) => !world.really(backup).includes(name));
    for (const name of gone) expect(world.isTooOld(backup, name)).toBe(true);
    if (world.isHeld(backup)) expect(gone).toEqual([]);
    // A record is removed only when no object is left.
    if (!after.has(backup.id)) expect(world.really(backup)).toEqual([]);
  }
  return reports;
}

type Step =
  | { do: "wait"; days: number }
  | { do: "backup"; database: string; storages: StorageName[] }
  | { do: "lose" | "damage"; backup: number; storages: StorageName[] }
  | { do: "hold"; backup: number; days: number }
  | { do: "cleanup"; confirms: boolean };

const someStorages = fc.subarray(NAMES, { minLength: 1 });
/** Mostly recent backups, because guards rely on those. */
const recent = fc.oneof({ weight: 4, arbitrary: fc.nat({ max: 1 }) }, fc.nat({ max: 9 }));
const allOrSome = fc.oneof(fc.constant(NAMES), someStorages);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("wait" as const), days: fc.constantFrom(1, 2, 4, 6, 25, 70) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("backup" as const),
      database: fc.constantFrom("app", "shop"),
      storages: allOrSome,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("lose", "lose", "damage"),
      backup: recent,
      storages: allOrSome,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("hold" as const), backup: recent, days: fc.constantFrom(1, 50) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("cleanup" as const),
      confirms: fc.constantFrom(true, true, false),
    }),
  },
);

async function take(world: World, one: Step): Promise<CleanupReport[]> {
  if (one.do === "wait") await world.wait(one.days);
  else if (one.do === "backup") await world.backup(one.database, one.storages);
  else if (one.do === "cleanup") return cleanUpAndCheck(world, one.confirms);
  else {
    const id = (await world.known()).at(one.backup)?.id;
    if (id === undefined) return [];
    if (one.do === "hold") await world.hold(id, one.days);
    else await world[one.do](id, one.storages);
  }
  return [];
}

describe("whatever happens over the years", () => {
  const seen = { deleted: 0, stopped: 0, guarded: 0, refused: 0, records: 0, missing: 0 };
  const count = ({ statistics, decisions }: CleanupReport) => {
    for (const { deleted } of Object.values(statistics.storages)) seen.deleted += deleted;
    seen.stopped += statistics.suspended.length;
    seen.records += statistics.records_deleted;
    seen.missing += statistics.missing;
    seen.guarded += decisions.filter(({ guard }) => guard !== undefined && guard !== "held").length;
    seen.refused += statistics.notes.filter(({ note }) => /remaining copy|can be found/.test(note)).length;
  };

  test.each([
    ["as it comes", {}],
    ["where nothing is ever stale", { guard: 'stale_after = "10000d"' }],
    ["with counting rules", { keep: "keep.last = 1\nkeep.weekly = 2\n" }],
  ])(
    "%s, cleanup removes nothing of the newest backup that can actually be restored",
    async (_, settings) => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 40, size: "max" }), async (steps) => {
          await using world = await World.make(settings);
          for (const one of [...steps, { do: "cleanup", confirms: true } as const])
            for (const report of await take(world, one)) count(report);
        }),
        { numRuns: 30 },
      );
    },
    120_000,
  );

  test("every kind of event has happened in these years", () => {
    for (const [what, times] of Object.entries(seen)) expect(`${what}: ${times}`).not.toEndWith(": 0");
  });
});
