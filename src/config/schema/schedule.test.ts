import { describe, expect, test } from "bun:test";
import { loadToml, MINIMAL } from "../../../test/fixtures/config-file.ts";
import { cronTimes } from "../cron.ts";

const mistakeOf = async (lines: string) =>
  String(await loadToml(`${MINIMAL}${lines}\n`).catch((error: Error) => error.message));

describe("[schedule]", () => {
  test("has the times of the reference report by default", async () => {
    expect((await loadToml(MINIMAL)).schedule).toEqual({
      backup: "0 2 * * *",
      cleanup: "0 5 * * *",
      verify: "0 6 * * 0",
      repair: "30 5 * * *",
      restore_test: "off",
      override: [],
      jitter_ms: 0,
      catch_up_ms: 86_400_000,
      retries: 2,
      retry_delay_ms: 300_000,
      max_parallel: 2,
      shutdown_grace_ms: 60_000,
    });
  });

  test("accepts five or six fields, nicknames, off, and overrides", async () => {
    const { schedule } = await loadToml(
      `${MINIMAL}[schedule]\nbackup = "*/10 * * * * *"\ncleanup = "@daily"\nverify = "off"\ncatch_up = 0\n` +
        '[[schedule.override]]\nname = "busy"\ndatabases = ["main/*"]\nbackup = "@hourly"\n',
    );
    expect(schedule).toMatchObject({
      backup: "*/10 * * * * *",
      cleanup: "@daily",
      verify: "off",
      catch_up_ms: 0,
    });
    expect(schedule.override).toEqual([
      { name: "busy", databases: ["main/*"], backup: "@hourly", verify: undefined, restore_test: undefined },
    ]);
  });

  test.each([
    ['backup = "0 25 * * *"', "schedule.backup: found"],
    ['backup = "0 0 31 2 *"', "expected a cron pattern"],
    ['backup = "daily"', 'did you mean "@daily"?'],
    ["backup = 5", "expected a cron pattern"],
    ['backup = "0 0 0 1 1 * 2030"', "expected a cron pattern"],
    ['catch_up = "5s"', 'expected a duration from "1m"'],
    ["retries = -1", "expected a whole number from 0 to 20"],
    ['[[schedule.override]]\nname = "x"\ndatabases = []\nbackup = "off"', "found an empty array"],
    ...["", "=", "main/", "main/=", "/a", "[z-a]", "main/[z-a]", "a\\u0007"].map((name) => [
      `[[schedule.override]]\nname = "x"\ndatabases = ["${name}"]\nbackup = "off"`,
      "SERVER/DATABASE",
    ]),
    [
      '[[schedule.override]]\nname = "x"\ndatabases = ["a"]',
      "backup, verify and restore_test are all missing",
    ],
    ['[[schedule.override]]\nname = "x"\ndatabases = ["a"]\ncleanup = "off"', "not a key of"],
  ])("%s", async (line, expected) => {
    expect(await mistakeOf(`[schedule]\n${line}`)).toContain(expected);
  });
});

describe("[http]", () => {
  test.each([
    ['"127.0.0.1:8321"', { type: "tcp", host: "127.0.0.1", port: 8321 }],
    ['"[::1]:0"', { type: "tcp", host: "::1", port: 0 }],
    ['"localhost:80"', { type: "tcp", host: "localhost", port: 80 }],
    ['"unix:/run/pg321/http.sock"', { type: "unix", path: "/run/pg321/http.sock" }],
    ['"off"', { type: "off" }],
  ] as const)("listen = %s", async (written, listen) => {
    expect((await loadToml(`${MINIMAL}[http]\nlisten = ${written}\n`)).http.listen).toEqual(listen);
  });

  test.each([
    ["listen = 8321", "http.listen: found 8321 (number), expected an address and port"],
    ['listen = "127.0.0.1"', "expected an address and port"],
    ['listen = "::1:80"', "expected an address and port"],
    ['listen = "127.0.0.1:65536"', "expected an address and port"],
    ['listen = "unix:http.sock"', "expected an address and port"],
    ['token = "short"', "http.token: found a token of fewer than 16 characters"],
    ['hosts = ["a:80"]', "expected a host name, without a port"],
  ])("%s", async (line, expected) => {
    const mistake = await mistakeOf(`[http]\n${line}`);
    expect(mistake).toContain(expected);
    expect(mistake).not.toContain('"short"');
  });
});

describe("times of a pattern when the clock changes", () => {
  const times = (pattern: string, from: string, count: number) =>
    cronTimes(pattern, "Europe/Berlin")
      .nextRuns(count, new Date(from))
      .map((date) => date.toISOString());

  test("a time in the skipped hour is due right after it", () => {
    expect(times("30 2 * * *", "2026-03-28T12:00:00Z", 2)).toEqual([
      "2026-03-29T01:00:00.000Z",
      "2026-03-30T00:30:00.000Z",
    ]);
  });

  test("a time in the repeated hour is due once", () => {
    expect(times("30 2 * * *", "2026-10-24T12:00:00Z", 2)).toEqual([
      "2026-10-25T00:30:00.000Z",
      "2026-10-26T01:30:00.000Z",
    ]);
  });

  test("lists of hours count as fixed times, steps go on through both hours", () => {
    expect(times("30 2,14 * * *", "2026-10-24T22:00:00Z", 2)).toEqual([
      "2026-10-25T00:30:00.000Z",
      "2026-10-25T13:30:00.000Z",
    ]);
    expect(times("0 * * * *", "2026-10-24T23:30:00Z", 3)).toEqual([
      "2026-10-25T00:00:00.000Z",
      "2026-10-25T01:00:00.000Z",
      "2026-10-25T02:00:00.000Z",
    ]);
  });
});
