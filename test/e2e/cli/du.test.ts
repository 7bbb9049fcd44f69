import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { Installation, localStorage, NO_POSTGRES } from "../../lab/installation.ts";
import { catalogOf } from "../../lab/leftovers.ts";
import { backupRecord, copyRecord } from "../../suites/catalog/records.ts";

const MIB = 2 ** 20;

let installation: Installation;
beforeAll(async () => {
  installation = await Installation.make({
    postgres: NO_POSTGRES,
    databases: ["*"],
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

test("without any copy du says so", async () => {
  expect((await installation.ok("du")).stdout).toBe("no copies\n");
  expect((await installation.ok("du", "--json")).json).toEqual({
    ...{ stored: [], storages: [], months: [] },
    total: { copies: 0, bytes: 0, hidden_bytes: 0, growth_bytes_per_month: null },
  });
});

test("du shows every database in every storage, the totals and the months", async () => {
  const path = join(installation.directory, "state/catalog.db");
  {
    await using catalog = await catalogOf(installation);
    for (const [database, day, bytes, usb] of [
      ["app", "01", 3 * MIB, "CONFIRMED"],
      ["app", "02", 4 * MIB, "HIDDEN"],
      ["tiny\u001b[31m", "01", 100, "MISSING"],
    ] as const) {
      const backup = backupRecord({
        ...{ database, started_at: `2026-01-${day}T00:00:00.000Z`, object_bytes: bytes },
      });
      await catalog.insertBackup(backup);
      const copy = { object_bytes: bytes };
      await catalog.putCopy(copyRecord(backup, { ...copy, storage: "disk", state: "CONFIRMED" }));
      await catalog.putCopy(copyRecord(backup, { ...copy, storage: "usb", state: usb }));
    }
    const months = new Database(path);
    const now = systemClock.now();
    for (const [past, bytes] of [
      [3, MIB],
      [1, 5 * MIB],
    ] as const) {
      const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - past))
        .toISOString()
        .slice(0, 7);
      months.query("INSERT INTO stored_months VALUES ('main', 'app', 'disk', ?, 1, ?)").run(month, bytes);
    }
    months.close();
  }
  const { stdout } = await installation.ok("du");
  const [sizes = "", months = ""] = stdout.split("\n\n");
  expect(sizes.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
    [
      "DATABASE",
      "STORAGE",
      "COPIES",
      "STORED",
      "HIDDEN",
      "NEWEST COPY",
      "GROWTH/MONTH",
      "OLDEST (UTC)",
      "NEWEST (UTC)",
    ],
    [
      "main/app",
      "disk",
      "2",
      "7.0 MiB",
      "0 B",
      "4.0 MiB",
      "+2.0 MiB",
      "2026-01-01 00:00:00",
      "2026-01-02 00:00:00",
    ],
    [
      "main/app",
      "usb",
      "2",
      "7.0 MiB",
      "4.0 MiB",
      "4.0 MiB",
      "±0 B",
      "2026-01-01 00:00:00",
      "2026-01-02 00:00:00",
    ],
    [
      "main/tiny�[31m",
      "disk",
      "1",
      "100 B",
      "0 B",
      "100 B",
      "±0 B",
      "2026-01-01 00:00:00",
      "2026-01-01 00:00:00",
    ],
    ["total", "disk", "3", "7.0 MiB", "0 B", "+2.0 MiB"],
    ["total", "usb", "2", "7.0 MiB", "4.0 MiB", "±0 B"],
    ["total", "all", "5", "14.0 MiB", "4.0 MiB", "+2.0 MiB"],
  ]);
  expect(
    months
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().split(/ {2,}/).slice(1)),
  ).toEqual([
    ["disk", "usb", "all"],
    ["1.0 MiB", "0 B", "1.0 MiB"],
    ["1.0 MiB (±0 B)", "0 B (±0 B)", "1.0 MiB (±0 B)"],
    ["5.0 MiB (+4.0 MiB)", "0 B (±0 B)", "5.0 MiB (+4.0 MiB)"],
    ["7.0 MiB (+2.0 MiB)", "3.0 MiB (+3.0 MiB)", "10.0 MiB (+5.0 MiB)"],
  ]);
  expect(misfits((await installation.ok("du", "--json")).json, documentedKeys("JSON of du"))).toEqual([]);
  const { json } = await installation.ok("du", "--json", "-d", "app", "--storage", "usb", "--months", "1");
  expect(json).toMatchObject({
    stored: [
      { server: "main", database: "app", storage: "usb", copies: 2, bytes: 7 * MIB, hidden_bytes: 4 * MIB },
    ],
    storages: [{ storage: "usb", copies: 2, bytes: 7 * MIB, hidden_bytes: 4 * MIB }],
    total: { copies: 2, bytes: 7 * MIB },
    months: [{ storage: "usb", copies: 1, bytes: 3 * MIB, growth_bytes: 3 * MIB }],
  });
});

test.each([
  [["-d", "apq"], 'no database "apq" is known\nhint: did you mean app?'],
  [["--storage", "nowhere"], 'no storage is named "nowhere"\nhint: known: disk, usb'],
  [["--months", "37"], 'du: --months is "37", expected a whole number from 1 to 36'],
])("du %p is refused", async (words, message) => {
  const { exitCode, stdout, stderr } = await installation.run("du", ...words);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  expect(stderr).toStartWith(`error: ${message}`);
});
