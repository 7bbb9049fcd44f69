import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "../../../src/base/clock.ts";
import { GLOBALS_DATABASE } from "../../../src/catalog/globals.ts";
import type { BackupRecord, CopyState } from "../../../src/catalog/records.ts";
import { Installation, localStorage, NO_POSTGRES, runProgram } from "../../lab/installation.ts";
import { catalogOf } from "../../lab/leftovers.ts";
import { onTerminal, screenOf } from "../../lab/machine/terminal.ts";
import { backupRecord, copyRecord, tombstoneOf } from "../../suites/catalog/records.ts";

const HOUR = 3_600_000;

let installation: Installation;
beforeAll(async () => {
  installation = await Installation.make({
    postgres: NO_POSTGRES,
    databases: ["*"],
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
  });
  await insert({ database: "old", started_at: "2026-01-31T23:30:00.000Z" }, { disk: "CONFIRMED" });
  await insert(
    { database: "lost", started_at: "2026-02-01T23:30:00.000Z" },
    { disk: "MISSING", usb: "CONFIRMED" },
  );
  await insert(
    { database: "thin", started_at: "2026-02-02T05:00:00.000Z" },
    { disk: "CONFIRMED", usb: "FAILED" },
  );
  await insert({ database: "new", started_at: hoursAgo(5) }, { disk: "CONFIRMED", tape: "DELETED" });
  await insert({ database: "ahead", started_at: hoursAgo(-48) }, { disk: "CONFIRMED" });
});
afterAll(() => installation[Symbol.asyncDispose]());

function hoursAgo(hours: number): string {
  return new Date(systemClock.now().getTime() - hours * HOUR).toISOString();
}

/** Writes a finished backup directly into the catalog. */
async function insert(change: Partial<BackupRecord>, copies: Record<string, CopyState>): Promise<void> {
  await using catalog = await catalogOf(installation);
  const backup = backupRecord({ status: "VERIFIED", ...change });
  await catalog.insertBackup(backup);
  for (const [storage, state] of Object.entries(copies))
    await catalog.putCopy(copyRecord(backup, { storage, state }));
}

async function databases(...words: string[]): Promise<string[]> {
  const { json } = await installation.ok("list", "--json", ...words);
  return json.backups.map(({ database }: { database: string }) => database);
}

describe("list chooses backups", () => {
  test("by the time at which they began, and one page of them", async () => {
    expect(await databases()).toEqual(["new", "thin", "lost", "old", "ahead"]);
    expect(await databases("--since", "2026-02-02")).toEqual(["new", "thin", "ahead"]);
    expect(await databases("--until", "2026-02-01")).toEqual(["lost", "old"]);
    expect(await databases("--since", "6h", "--until", "1h")).toEqual(["new"]);
    expect(await databases("--since=2026-02-01T23:30Z", "--until=2026-02-01T23:30Z")).toEqual(["lost"]);
    expect(await databases("-n", "2", "--offset", "1")).toEqual(["thin", "lost"]);
    // Those dated ahead of the clock are on the last page.
    expect(await databases("-n", "2", "--offset", "3")).toEqual(["old", "ahead"]);
    expect(await databases("--offset", "4")).toEqual(["ahead"]);
    expect(await databases("--offset", "5")).toEqual([]);
  });

  test("by the copies in a storage", async () => {
    expect(await databases("--storage", "usb")).toEqual(["lost"]);
    expect(await databases("--storage", "usb", "--state", "failed")).toEqual(["thin"]);
    expect(await databases("--state", "missing")).toEqual(["lost"]);
    expect(await databases("--state", "STORED", "--storage", "disk", "--since", "2026-02-02")).toEqual([
      "new",
      "thin",
      "ahead",
    ]);
    expect(await databases("--status", "complete", "--storage", "disk", "-n", "1", "--offset", "2")).toEqual([
      "lost",
    ]);
  });

  test("in the reader's zone, or in UTC", async () => {
    const berlin = { PG321_CONFIG: installation.configFile, TZ: "Europe/Berlin" };
    const until = async (...words: string[]) =>
      (await runProgram(["list", "--until", "2026-02-01", ...words], berlin)).stdout;
    const local = await until();
    expect(local).toMatch(/^ID +DATABASE +STARTED +AGE/);
    expect(local).toContain("main/old  2026-02-01 00:30:00");
    expect(local).not.toContain("main/lost");
    const utc = await until("--utc");
    expect(utc).toMatch(/^ID +DATABASE +STARTED \(UTC\) +AGE/);
    expect(utc).toContain("main/old   2026-01-31 23:30:00");
    expect(utc).toContain("main/lost  2026-02-01 23:30:00");
  });

  test("removed ones, too", async () => {
    await using catalog = await catalogOf(installation);
    for (const [database, day] of [
      ["gone", "05"],
      ["gone2", "06"],
    ] as const) {
      const backup = backupRecord({ database, started_at: `2026-01-${day}T00:00:00.000Z` });
      await catalog.insertBackup(backup);
      await catalog.removeBackup(tombstoneOf(backup));
    }
    const { json } = await installation.ok("list", "--removed", "--json", "--until", "2026-01-05");
    expect(json.removed).toMatchObject([{ database: "gone" }]);
    expect((await installation.run("list", "--removed", "--state", "stored")).stderr).toContain(
      "--state cannot be used with --removed: a removed backup has no copies",
    );
  });
});

test.each([
  [["--since", "tomorow"], 'list: --since is "tomorow", expected a time or an age\nhint: 2026-11-23, '],
  [["--until", "2026-02-30"], 'list: --until is "2026-02-30", expected'],
  [["--since", "1h", "--until", "2h"], "list: --since ("],
  [["--storage", "usbb"], 'no storage is named "usbb"\nhint: did you mean usb?\n'],
  [
    ["--state", "mising"],
    'list: --state is "mising", expected one of not-stored-yet, stored, damaged, missing, being-deleted, hidden, ' +
      "failed, deleted\nhint: did you mean missing?",
  ],
  [["--status", "Done"], 'list: --status is "Done", expected one of running, complete, '],
  [["--offset", "-1"], "list: --offset needs a value"],
  [["--offset=-1"], 'list: --offset is "-1", expected a whole number from 0 to 1000000'],
])("%p is refused", async (words, message) => {
  const { exitCode, stdout, stderr } = await installation.run("list", ...words);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  expect(stderr).toStartWith(`error: ${message}`);
});

test("on a terminal a person sees that there are more", async () => {
  const shown = onTerminal(["list", "-n", "2", "--until", "1h"], { PG321_CONFIG: installation.configFile });
  const { exitCode, written } = await shown.ended;
  expect(exitCode).toBe(0);
  expect(screenOf(written).at(-1)).toBe("backups 1 to 2 of 4; more with -n 2 --offset 2");
});

test("list -d takes the globals of a server, by the name that it shows", async () => {
  const globals = { kind: "globals", database: GLOBALS_DATABASE, started_at: hoursAgo(200_000) } as const;
  await insert(globals, { disk: "CONFIRMED" });
  const words = ["-d", "main (globals)"];
  expect((await installation.ok("list", ...words)).stdout).toMatch(/^\w+ +main \(globals\) /m);
  expect(await databases(...words)).toEqual([GLOBALS_DATABASE]);
  const { stderr } = await installation.run("list", "-d", "other (globals)");
  expect(stderr).toContain('no database "other (globals)" is known');
});
