import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Installation, localStorage, NO_POSTGRES, runProgram } from "../../lab/installation.ts";
import { catalogOf } from "../../lab/leftovers.ts";
import { onTerminal, screenOf } from "../../lab/machine/terminal.ts";
import { alertRecord, backupRecord, copyRecord } from "../../suites/catalog/records.ts";

const ID = "cccccccc-1000-4000-8000-000000000000";
const NAME = "customers_of_the_european_production_cluster_with_a_long_name_2026";

let installation: Installation;
beforeAll(async () => {
  installation = await Installation.make({
    postgres: NO_POSTGRES,
    databases: ["*"],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await using catalog = await catalogOf(installation);
  const backup = backupRecord({
    ...{ id: ID, database: NAME, status: "VERIFIED", started_at: "2026-07-01T22:30:00.000Z" },
    finished_at: "2026-07-01T22:30:05.000Z",
  });
  await catalog.insertBackup(backup);
  const confirmed_at = "2026-07-01T22:30:04.000Z";
  await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED", confirmed_at }));
  const alert = alertRecord({ created_at: "2026-01-15T23:00:00.000Z", last_at: "2026-01-15T23:00:00.000Z" });
  await catalog.changeAlert(alert.key, () => ({ alert, deliveries: [] }));
});
afterAll(() => installation[Symbol.asyncDispose]());

describe("times are those of the reader's zone, or UTC if asked", () => {
  const run = async (...words: string[]) => {
    const berlin = { PG321_CONFIG: installation.configFile, TZ: "Europe/Berlin" };
    return (await runProgram(words, berlin)).stdout;
  };

  test.each([
    [["show", ID], /^started +2026-07-02T00:30:00\+02:00$/m, /^started +2026-07-01T22:30:00\.000Z$/m],
    [
      ["show", ID],
      /^disk +stored +2026-07-02T00:30:04\+02:00 /m,
      /^disk +stored +2026-07-01T22:30:04\.000Z /m,
    ],
    [["status"], / Europe\/Berlin \(schedules in Europe\/Berlin\)$/m, / UTC \(schedules in /],
    [["status"], / stale .* 2026-07-02 00:30:00 /, / stale .* 2026-07-01 22:30:00 /],
    [["status"], /^[0-9a-f]{8} +WARNING +2026-01-16 00:00:00 /m, / WARNING +2026-01-15 23:00:00 /],
    [
      ["alerts"],
      / SINCE +LAST .*\n.* 2026-01-16 00:00:00 /,
      / SINCE \(UTC\) +LAST \(UTC\) .*\n.* 2026-01-15 23:00:00 /,
    ],
    [["du"], / OLDEST +NEWEST\n.* 2026-07-02 00:30:00$/m, / OLDEST \(UTC\) .*\n.* 2026-07-01 22:30:00$/m],
  ])("%p", async (words, local, utc) => {
    expect(await run(...words)).toMatch(local);
    expect(await run(...words, "--utc")).toMatch(utc);
    expect(await run("--utc", ...words)).toMatch(utc);
  });

  test("JSON has UTC", async () => {
    expect(JSON.parse(await run("list", "--json")).backups[0].started_at).toBe("2026-07-01T22:30:00.000Z");
  });
});

describe("tables fit the terminal", () => {
  const shown = async (env: Record<string, string>, ...words: string[]) =>
    screenOf((await onTerminal(words, { PG321_CONFIG: installation.configFile, ...env }).ended).written);

  test("a long name is cut in the middle", async () => {
    const [title = "", row = ""] = await shown({}, "list");
    expect(title).toMatch(/^ID .* COPIES$/);
    expect(row).toMatch(/^cccccccc {2}main\/cust.*….*2026 {2}2026-07-01 .* disk$/);
    expect(row.length).toBeLessThanOrEqual(100);
  });

  test("COLUMNS says how wide it is", async () => {
    expect((await shown({ COLUMNS: "250" }, "list"))[1]).toContain(` main/${NAME} `);
    const lines = await shown({ COLUMNS: "60" }, "list");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
    expect(lines.at(-1)).toContain("copies: disk");
    // Nonsense is not a width.
    expect((await shown({ COLUMNS: "0" }, "list"))[1]?.length).toBeGreaterThan(60);
  });

  test("in a pipe nothing is cut", async () => {
    const env = { PG321_CONFIG: installation.configFile, COLUMNS: "40" };
    expect((await runProgram(["list"], env)).stdout).toContain(` main/${NAME} `);
  });
});
