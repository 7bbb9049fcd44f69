import { describe, expect, test } from "bun:test";
import { loadToml, MINIMAL } from "../../test/fixtures/config-file.ts";
import { HOUR_MS } from "../base/limits.ts";
import { intervalMs, schedulesOf } from "./schedules.ts";

const schedulesIn = async (lines: string) => schedulesOf(await loadToml(`${MINIMAL}[schedule]\n${lines}\n`));
const override = (name: string, databases: string[], pattern: string) =>
  `[[schedule.override]]\nname = "${name}"\ndatabases = ${JSON.stringify(databases)}\nbackup = "${pattern}"\n`;

describe("schedules", () => {
  test("are the four jobs, without those that are off", async () => {
    expect((await schedulesIn("")).map(({ name }) => name)).toEqual([
      "backup",
      "cleanup",
      "verify",
      "repair",
    ]);
    expect((await schedulesIn('verify = "off"')).map(({ name }) => name)).not.toContain("verify");
  });

  test("an override takes its databases out of the general schedule; the first match wins", async () => {
    const found = await schedulesIn(
      override("busy", ["shop"], "@hourly") +
        override("rest", ["main/s*"], "@daily") +
        override("none", ["tmp_*"], "off"),
    );
    const followed = (server: string, database: string) =>
      found
        .filter(({ job, selects }) => job === "backup" && selects(server, database))
        .map(({ name }) => name);
    expect(followed("main", "shop")).toEqual(["backup busy"]);
    expect(followed("other", "shop")).toEqual(["backup busy"]);
    expect(followed("main", "sales")).toEqual(["backup rest"]);
    expect(followed("other", "sales")).toEqual(["backup"]);
    expect(followed("main", "tmp_1")).toEqual([]);
    // None of them sets a schedule for verification.
    expect(found.filter(({ job }) => job === "verify").map(({ name }) => name)).toEqual(["verify"]);
  });

  test("a [[database]] table takes its databases out of overrides and of the general schedule", async () => {
    const found = schedulesOf(
      await loadToml(
        `${MINIMAL}[schedule]\n${override("busy", ["shop", "s*"], "@hourly")}` +
          '[[database]]\nname = "s*"\nschedule = "5 * * * *"\n[[database]]\nserver = "main"\nname = "sales"\nschedule = "off"\n' +
          '[[database]]\nname = "shop"\nschedule = "7 * * * *"\n',
      ),
    );
    const followed = (database: string) =>
      found
        .filter(({ job, selects }) => job === "backup" && selects("main", database))
        .map(({ name, pattern }) => `${name}: ${pattern}`);
    expect(followed("shop")).toEqual(["backup database shop: 7 * * * *"]);
    expect(followed("stock")).toEqual(["backup database s*: 5 * * * *"]);
    expect(followed("sales")).toEqual([]);
    expect(followed("app")).toEqual(["backup: 0 2 * * *"]);
  });
});

test("a database named like a pattern is not confused with it", async () => {
  const found = await schedulesIn(
    override("all", ["main/*"], "@hourly") + override("named", ["=main/*", "shop*"], "@daily"),
  );
  const followed = (server: string, database: string) =>
    found.filter(({ job, selects }) => job === "backup" && selects(server, database)).map(({ name }) => name);
  expect(followed("main", "*")).toEqual(["backup all"]);
  expect(followed("main", "app")).toEqual(["backup all"]);
  expect(followed("other", "main/*")).toEqual(["backup named"]);
  expect(followed("other", "main/app")).toEqual(["backup"]);
  // Only the part before the slash names a server.
  expect(followed("shop1", "app")).toEqual(["backup"]);
});

describe("the interval of a pattern", () => {
  test.each([
    ["*/30 * * * *", HOUR_MS / 2],
    ["*/10 * * * * *", 10_000],
    // The day on which summer time ends has 25 hours.
    ["0 2 * * *", 25 * HOUR_MS],
    ["0 2 * * 1-5", 73 * HOUR_MS],
    ["0 8,20 * * *", 13 * HOUR_MS],
    ["*/10 8-18 * * 1-5", (2 * 24 + 13 + 1) * HOUR_MS + HOUR_MS / 6],
    ["0 0 1 */3 *", 92 * 24 * HOUR_MS + HOUR_MS],
  ])("%s", (pattern, expected) => {
    expect(intervalMs(pattern, "Europe/Berlin", new Date("2026-10-20T00:00:00Z"))).toBe(expected);
  });
});
