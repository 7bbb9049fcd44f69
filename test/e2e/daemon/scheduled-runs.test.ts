import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MINIMAL } from "../../fixtures/config-file.ts";
import { documentedKeys, misfits, pathsOf } from "../../lab/cli-docs.ts";
import { runProgram } from "../../lab/installation.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-schedule-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function schedule(toml: string, ...words: string[]) {
  const config = join(directory, "config.toml");
  await writeFile(config, `timezone = "Europe/Berlin"\n${MINIMAL}${toml}`, { mode: 0o600 });
  return runProgram(["schedule", ...words], { PG321_CONFIG: config });
}

const BUSY = '[[schedule.override]]\nname = "busy"\ndatabases = ["main/app", "shop_*"]\nbackup = "@hourly"\n';

test("prints the documented JSON: times in the zone, overrides, jobs that are off", async () => {
  const { json } = await schedule(
    `[schedule]\nbackup = "30 2 * * *"\nrepair = "off"\njitter = "10m"\n${BUSY}`,
    "--json",
    "--count",
    "40",
  );
  const documented = documentedKeys("JSON of schedule");
  expect(misfits(json, documented)).toEqual([]);
  expect(pathsOf([json], documented)).toEqual(documented.map(({ path }) => path).sort());
  expect(json).toMatchObject({ timezone: "Europe/Berlin", jitter_ms: 600_000 });
  // biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
  const named: any = Object.fromEntries(json.schedules.map((one: { name: string }) => [one.name, one]));
  expect(Object.keys(named)).toEqual([
    "backup busy",
    "backup",
    "cleanup",
    "verify",
    "repair",
    "restore-test",
  ]);
  expect(named["backup busy"]).toMatchObject({
    job: "backup",
    databases: ["main/app", "shop_*"],
    interval_ms: 3_600_000,
  });
  expect(named.backup.next_runs).toHaveLength(40);
  for (const time of named.backup.next_runs) expect(time).toMatch(/T0[23]:[03]0:00\+0[12]:00$/);
  expect(named.repair).toEqual({
    name: "repair",
    job: "repair",
    pattern: null,
    interval_ms: null,
    databases: [],
    next_runs: [],
  });
});

test("prints a table with the zone in its head", async () => {
  const { exitCode, stdout } = await schedule(BUSY, "--count", "1");
  expect(exitCode).toBe(0);
  const [head, ...rows] = stdout.trimEnd().split("\n");
  expect(head).toMatch(/^SCHEDULE +PATTERN +INTERVAL +NEXT \(Europe\/Berlin\) +DATABASES$/);
  expect(rows).toHaveLength(6);
  expect(rows[0]).toMatch(
    /^backup busy +@hourly +1h 00m +\d{4}-\d\d-\d\dT\d\d:00:00\+0\d:00 +main\/app shop_\*$/,
  );
});

test("an invalid count is refused", async () => {
  for (const count of ["0", "1001", "many", "-1", "1.5"]) {
    const { exitCode, stderr } = await schedule("", `--count=${count}`);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`--count is "${count}", expected a number from 1 to 1000`);
  }
});
