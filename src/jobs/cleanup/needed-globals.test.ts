import { afterAll, beforeAll, expect, test } from "bun:test";
import { type EndpointLab, endpointLab } from "../../../test/lab/endpoint.ts";
import { backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { GLOBALS_DATABASE, isGlobalsPlace } from "../../catalog/globals.ts";
import type { BackupOutline } from "../../catalog/outlines.ts";
import { NeededGlobals } from "./needed-globals.ts";

let lab: EndpointLab;
beforeAll(async () => {
  lab = await endpointLab({});
});
afterAll(() => lab[Symbol.asyncDispose]());

/** A pseudo-random integer below `max`: the same numbers in each run of the tests. */
function randomFrom(seed: number): (max: number) => number {
  let state = seed;
  return (max) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % max;
  };
}

interface Shape {
  runs: number;
  /** The most minutes between the backups of a run; a run begins every 2 minutes. */
  minutes: number;
  /** One of so many runs makes globals. */
  oneOf: number;
}

/** Dumps and globals of overlapping runs, some without globals, some at the same moment. */
async function history(
  server: string,
  { runs, minutes, oneOf }: Shape,
  random: (max: number) => number,
): Promise<BackupOutline[]> {
  const { catalog } = lab.context;
  const insert = async (minute: number, run_id: string, database: string) => {
    const started_at = new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
    const kind = database === GLOBALS_DATABASE ? ("globals" as const) : ("dump" as const);
    const of = { server, database, kind, run_id, started_at, manifest: "{}" };
    const backup = backupRecord({ ...of, status: "VERIFIED", object_key: crypto.randomUUID() });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED" }));
  };
  for (let run = 0; run < runs; run++) {
    const run_id = crypto.randomUUID();
    const begin = run * 2;
    for (let n = 0; n <= random(3); n++) await insert(begin + random(minutes), run_id, "app");
    if (random(oneOf) === 0) await insert(begin + random(minutes), run_id, GLOBALS_DATABASE);
  }
  return (await Array.fromAsync(catalog.outlines({ server }))).flat();
}

/** By the whole history in memory. */
function byAll(all: readonly BackupOutline[]): Set<string> {
  const globals = all.filter(isGlobalsPlace);
  const chosen = all
    .filter((one) => !isGlobalsPlace(one))
    .map(
      (dump) =>
        globals.find(({ run_id }) => run_id === dump.run_id) ??
        globals.find(({ started_at }) => started_at <= dump.started_at) ??
        globals.at(-1),
    );
  return new Set(chosen.flatMap((one) => one?.id ?? []));
}

test.each<[string, Shape]>([
  ["each run makes globals", { runs: 30, minutes: 9, oneOf: 1 }],
  ["some runs make globals", { runs: 30, minutes: 9, oneOf: 4 }],
  ["runs overlap by far", { runs: 60, minutes: 120, oneOf: 2 }],
  ["hardly a run makes globals", { runs: 150, minutes: 9, oneOf: 120 }],
])("dumps need the same globals as by the whole history in memory: %s", async (server, shape) => {
  const all = await history(server, shape, randomFrom(7_919));
  const found = new Set<string>();
  const needed = new NeededGlobals(lab.context.catalog, server, async ({ id }) => void found.add(id));
  for (const one of all)
    if (isGlobalsPlace(one)) await needed.addGlobals(one);
    else await needed.addDump(one, ["vault"]);
  await needed.end();
  expect(found.size).toBeGreaterThan(0);
  expect(found).toEqual(byAll(all));
});

test("each archive gets only what its own dumps need", async () => {
  const all = await history("two", { runs: 6, minutes: 1, oneOf: 1 }, () => 0);
  const [dump] = all.filter((one) => !isGlobalsPlace(one));
  const [own] = all.filter((one) => isGlobalsPlace(one) && one.run_id === dump?.run_id);
  const found: string[] = [];
  const needed = new NeededGlobals(lab.context.catalog, "two", async ({ id }, archive) => {
    found.push(`${id} ${archive}`);
  });
  for (const one of all)
    if (isGlobalsPlace(one)) await needed.addGlobals(one);
    else if (one === dump) await needed.addDump(one, ["attic"]);
  await needed.end();
  expect(new Set(found)).toEqual(new Set([`${own?.id} attic`]));
});
