import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { silentLog } from "../../src/base/log.ts";
import type { BackupRecord, CopyRecord } from "../../src/catalog/catalog.ts";
import { loadConfig } from "../../src/config/load.ts";
import { runCleanup } from "../../src/jobs/cleanup.ts";
import type { CleanupReport } from "../../src/jobs/cleanup-report.ts";
import type { JobContext } from "../../src/jobs/context.ts";
import { openContext } from "../../src/jobs/context.ts";
import { objectKey } from "../../src/jobs/object-key.ts";
import { silentProgress } from "../../src/jobs/progress.ts";
import { settle } from "../../src/jobs/verify.ts";
import { ManualClock } from "../lab/manual-clock.ts";
import { backupRecord, copyRecord } from "../suites/catalog-records.ts";

/**
 * The whole cleanup on a real catalog and real directories, through made-up years: backups come or stay
 * away, objects vanish behind its back, copies are found damaged, people hold backups and confirm plans.
 * Whatever happens, what was there of the newest good backup of each database is there afterwards.
 */

const DAY_MS = 86_400_000;
const STORAGES = { disk: 3, nas: 20, vault: 60 } as const;
type StorageName = keyof typeof STORAGES;
const NAMES = Object.keys(STORAGES) as StorageName[];
const OBJECT = "as many bytes as any";

interface Known extends BackupRecord {
  copies: CopyRecord[];
}

class World implements AsyncDisposable {
  readonly #directory: string;
  readonly #context: JobContext;
  readonly #clock: ManualClock;

  constructor(directory: string, context: JobContext, clock: ManualClock) {
    this.#directory = directory;
    this.#context = context;
    this.#clock = clock;
  }

  static async make({ keep = "", guard = "" }): Promise<World> {
    const directory = await mkdtemp(join(tmpdir(), "pg321-guards-"));
    const clock = new ManualClock();
    const tables = NAMES.map(
      (name) =>
        `[[storage]]\nname = "${name}"\ntype = "local"\npath = "${join(directory, name)}"\n` +
        `off_site = ${name === "vault"}\nkeep.days = ${STORAGES[name]}\n${keep}`,
    );
    for (const name of NAMES) await mkdir(join(directory, name));
    const file = join(directory, "config.toml");
    await writeFile(
      file,
      `timezone = "Europe/Berlin"\nstate_dir = "${directory}/state"\n[[server]]\nname = "main"\n` +
        `${tables.join("")}[encryption]\nmode = "none"\n[guard]\n${guard}\n`,
    );
    const context = await openContext({
      config: await loadConfig(file, { env: {} }),
      log: silentLog,
      clock,
      signal: new AbortController().signal,
      progress: silentProgress,
    });
    return new World(directory, context, clock);
  }

  async wait(days: number): Promise<void> {
    await this.#clock.advance(days * DAY_MS);
  }

  /** A good backup with copies in these storages. */
  async backup(database: string, storages: readonly StorageName[]): Promise<string> {
    const { catalog, installation } = this.#context;
    const startedAt = this.#clock.now();
    const id = crypto.randomUUID();
    const key = objectKey({
      ...{ server: "main", database, kind: "dump", backupId: id },
      ...{ startedAt, compression: "zstd", isSealed: false },
    });
    const record = backupRecord({
      ...{ id, installation, database, object_key: key, status: "VERIFIED", encryption: "none" },
      ...{ started_at: startedAt.toISOString(), finished_at: startedAt.toISOString() },
      ...{ object_bytes: OBJECT.length, manifest: "{}" },
    });
    await catalog.insertBackup(record);
    for (const storage of storages) {
      const path = this.#path(storage, key);
      await mkdir(dirname(path), { recursive: true });
      await Promise.all([writeFile(path, OBJECT), writeFile(`${path}.json`, "{}")]);
      await catalog.putCopy(copyRecord(record, { storage, state: "CONFIRMED", object_bytes: OBJECT.length }));
    }
    await this.wait(1 / 24);
    return id;
  }

  /** Removes objects behind pg321's back. */
  async lose(id: string, storages: readonly string[]): Promise<void> {
    const backup = await this.#context.catalog.backup(id);
    if (!backup) return;
    for (const storage of storages) await rm(this.#path(storage, backup.object_key), { force: true });
  }

  /** What a verification does that finds copies damaged. */
  async damage(id: string, storages: readonly string[]): Promise<void> {
    const { catalog } = this.#context;
    for (const { storage, state } of await catalog.copies(id)) {
      if (state !== "CONFIRMED" || !storages.includes(storage)) continue;
      await catalog.updateCopy(id, storage, { state: "DAMAGED", error: "a segment is damaged" });
      await settle(this.#context, { id });
    }
  }

  async hold(id: string, days: number): Promise<void> {
    const now = this.#clock.now();
    const hold_until = new Date(now.getTime() + days * DAY_MS).toISOString();
    await this.#context.catalog.updateBackup(id, { held_at: now.toISOString(), hold_until });
  }

  /** Runs it, and if it stops and `confirms`, once more with the hash that it told. */
  async cleanup(confirms = false): Promise<CleanupReport[]> {
    const report = await runCleanup(this.#context, {});
    const { plan_hash } = report.statistics;
    if (!confirms || plan_hash === null) return [report];
    return [report, await runCleanup(this.#context, { confirm: plan_hash })];
  }

  async known(): Promise<Known[]> {
    const { catalog } = this.#context;
    const backups = await catalog.backups({});
    return Promise.all(backups.map(async (one) => ({ ...one, copies: await catalog.copies(one.id) })));
  }

  isHeld({ held_at, hold_until }: Known): boolean {
    return held_at !== null && (hold_until === null || hold_until > this.#clock.now().toISOString());
  }

  isTooOld({ started_at }: Known, storage: StorageName): boolean {
    return this.#clock.now().getTime() - Date.parse(started_at) > STORAGES[storage] * DAY_MS;
  }

  /** Storages where an object of a backup really is, as the file system tells it. */
  really({ object_key }: Pick<BackupRecord, "object_key">): StorageName[] {
    return NAMES.filter((name) => existsSync(this.#path(name, object_key)));
  }

  /** Where a backup can really be restored from: recorded as confirmed, and there. */
  restorable(backup: Known): StorageName[] {
    if (backup.status !== "VERIFIED" && backup.status !== "PARTIAL") return [];
    const there = this.really(backup);
    return there.filter((name) =>
      backup.copies.some(({ storage, state }) => storage === name && state === "CONFIRMED"),
    );
  }

  #path(storage: string, key: string): string {
    return join(this.#directory, storage, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true });
  }
}

/** The newest backup of each database that can really be restored. */
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
    // A record goes only when no object is left.
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
/** Mostly recent ones: it is them that guards rely on. */
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
    seen.refused += statistics.notes.filter(({ note }) => /would remain|can be seen/.test(note)).length;
  };

  test.each([
    ["as it comes", {}],
    ["where nothing is ever stale", { guard: 'stale_after = "10000d"' }],
    ["with counting rules", { keep: "keep.last = 1\nkeep.weekly = 2\n" }],
  ])(
    "%s, cleanup takes nothing of the newest backup that could really be restored",
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

  test("all of it has happened there", () => {
    for (const [what, times] of Object.entries(seen)) expect(`${what}: ${times}`).not.toEndWith(": 0");
  });
});
