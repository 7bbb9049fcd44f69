import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { contextIn, makeCatalog, STORAGES } from "../bench/large-catalog.ts";
import { alertIfShrunk } from "../src/alerts/shrink.ts";
import { orphansIn } from "../src/jobs/cleanup/orphans.ts";
import { planRun } from "../src/jobs/cleanup/plan.ts";
import type { JobContext } from "../src/jobs/context.ts";
import { reconcile } from "../src/jobs/copies/reconcile.ts";
import { intendedCopies } from "../src/jobs/copies/remove-intended.ts";
import { byUrgency } from "../src/jobs/verify/budget.ts";
import { backupsToVerify, chooseBackups } from "../src/jobs/verify/choose.ts";
import { lackingBackups, planRepair } from "../src/jobs/verify/repair-plan.ts";
import { listBackups } from "../src/status/list-backups.ts";
import { rowsRead } from "./suites/catalog/rows-read.ts";

const BACKUPS = 20_000;
const PLACE = { server: "main", database: "database-1" };
/** Whatever the number of backups. */
const ROWS_MAX = 2_000;

let directory: string;
let context: JobContext;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-rows-"));
  await makeCatalog(directory, { backups: BACKUPS, databases: 2, days: 100 });
  context = await contextIn(directory);
  // Of each state more than fit into a page, beside backups whose copies are all good.
  using database = openDatabase();
  for (const [quarter, state, storages] of [
    [0, "MISSING", ["nas"]],
    [1, "HIDDEN", ["vault"]],
    [2, "FAILED", STORAGES],
  ] as const) {
    const names = storages.map((name) => `'${name}'`).join();
    const backups = `SELECT id FROM backups WHERE rowid % 4 = ${quarter}`;
    database.run(
      `UPDATE copies SET state = '${state}' WHERE storage IN (${names}) AND backup_id IN (${backups})`,
    );
  }
  database.run("UPDATE backups SET status = 'FAILED', manifest = NULL WHERE rowid % 4 = 2");
}, 60_000);
afterAll(async () => {
  await context[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

function openDatabase(): Database {
  const { catalog } = context.config;
  if (catalog.type !== "sqlite") throw new Error();
  return new Database(catalog.path);
}

/** Reads everything; returns the number of what was read. */
async function drain<T>(pages: AsyncIterable<T | T[]>): Promise<number> {
  let count = 0;
  for await (const page of pages) {
    const items = Array.isArray(page) ? page.length : 1;
    expect(items).toBeLessThanOrEqual(ROWS_MAX);
    count += items;
  }
  return count;
}

test.each([
  ["repair: backups that lack a copy", () => drain(lackingBackups(context)), 4_000],
  ["repair: copies it would make", () => drain(planRepair(context)), 4_000],
  ["verify: every backup", () => drain(backupsToVerify(context)), 14_000],
  [
    "verify: every backup of a database",
    async () => {
      const choice = { databases: ["database-1"], isAll: true, storage: undefined };
      return drain((await chooseBackups(context, choice)).ids as AsyncIterable<string>);
    },
    9_000,
  ],
  ["verify: within a budget", () => drain(byUrgency(context, () => true)), 30_000],
  [
    "forget: every backup of a database",
    () => drain(context.catalog.outlines({ ...PLACE, isAny: true })),
    9_000,
  ],
  ["cleanup: removals that began", () => drain(context.catalog.placedCopies(["DELETING", "HIDDEN"])), 4_000],
  ["alerts: damaged copies", () => drain(context.catalog.placedCopies(["DAMAGED", "MISSING"])), 4_000],
  ["cleanup: backups without copies", () => drain(context.catalog.backupsWithoutCopies()), 4_000],
  [
    "cleanup: plan",
    async () => {
      const { plan, going } = await planRun(context, crypto.randomUUID(), { confirm: undefined });
      await going[Symbol.asyncDispose]();
      await using snapshot = await context.catalog.retained();
      // Of the two databases, and of the backup that all others were made from.
      expect(plan.outline.newestGood).toHaveLength(3);
      return await drain(snapshot.backups());
    },
    14_000,
  ],
  [
    "cleanup: copies that go, of a plan that a person has confirmed",
    async () => {
      const runId = crypto.randomUUID();
      const stopped = await planRun(context, runId, { confirm: undefined });
      await using none = stopped.going;
      expect(await drain(none.backups())).toBe(0);
      const { planHash } = stopped.plan.outline;
      const { going } = await planRun(context, runId, { confirm: planHash });
      await using _ = going;
      for (const { inMemory } of [none, going]) expect(inMemory).toBeLessThanOrEqual(ROWS_MAX);
      return await drain(going.backups());
    },
    8_000,
  ],
])("%s: page by page, and other work goes on", async (_what, work, least) => {
  let found = 0;
  const { largest, turns } = await rowsRead(async () => {
    found = await work();
  });
  expect(found).toBeGreaterThan(least);
  expect(largest).toBeWithin(1, ROWS_MAX + 1);
  expect(turns).toBeGreaterThanOrEqual(found / ROWS_MAX);
});

test.each([
  [
    "the check for shrunk dumps",
    async () => {
      const [newest] = await context.catalog.backups({ limit: 1 });
      if (newest) await alertIfShrunk(context, { ...newest, dump_bytes: 1 });
    },
  ],
  ["reconciliation", () => reconcile(context)],
  ["the newest good backup", () => context.catalog.newestGood(PLACE.server, PLACE.database, new Date())],
  ["a page of list", () => listBackups(context, { ...PLACE, limit: 50 })],
  ["a misspelt id", () => context.catalog.tombstoneByPrefix("ffff")],
])("%s reads only a few rows in all", async (_what, work) => {
  expect((await rowsRead(work)).total).toBeLessThan(500);
});

test("objects without a record are searched without all records or all objects at once", async () => {
  const [storage] = context.storages;
  if (storage === undefined) throw new Error("no storage");
  const objects = 5_000;
  await mkdir(join(directory, storage.name, "main"));
  for (let n = 0; n < objects; n++) await writeFile(join(directory, storage.name, "main", `object-${n}`), "");
  let found = 0;
  const { largest, total } = await rowsRead(async () => {
    for await (const { orphans, listed } of orphansIn(context, storage)) {
      expect(listed).toBeLessThanOrEqual(ROWS_MAX);
      found += orphans.length;
    }
  });
  expect(found).toBe(objects);
  expect(largest).toBeLessThanOrEqual(ROWS_MAX);
  // Only the records of what is listed are read, and here nothing is recorded.
  expect(total).toBeLessThan(100);
});

test("intents are read page by page, and settling one skips no other", async () => {
  using database = openDatabase();
  // As fast as it goes: nothing is lost if the test is cut off.
  database.run("PRAGMA synchronous = OFF");
  database.run(`UPDATE copies SET state = 'INTENDED' WHERE storage = 'nas' AND backup_id IN
    (SELECT id FROM backups WHERE rowid % 4 = 2)`);
  database.run("UPDATE backups SET status = 'RUNNING' WHERE rowid IN (2, 6, 11, 15)");
  const settle = database.prepare("UPDATE copies SET state = 'FAILED' WHERE backup_id = ? AND storage = ?");
  let found = 0;
  const { largest } = await rowsRead(async () => {
    for await (const { backup_id, storage } of intendedCopies(context))
      if (found++ >= 3) settle.run(backup_id, storage);
  });
  expect(found).toBeGreaterThan(4_000);
  expect(largest).toBeWithin(1, ROWS_MAX + 1);
  expect(await drain(intendedCopies(context))).toBe(3);
  await reconcile(context);
  expect(await drain(intendedCopies(context))).toBe(0);
  expect(await context.catalog.countBackups({ status: ["RUNNING"] })).toBe(0);
});
