import { expect, test } from "bun:test";
import { PLAIN, type Style } from "../../../src/base/text/table.ts";
import { visibleData } from "../../../src/base/text/visible.ts";
import type { JobStatus } from "../../../src/status/report.ts";
import { statusText } from "../../../src/status/text.ts";
import { verdictOf } from "../../../src/status/verdict.ts";
import {
  database,
  freshReport,
  fullReport,
  manyDatabases,
  oddNames,
  run,
  storage,
} from "../../fixtures/status-report.ts";

/** The lines under a title, without the head of the table. */
function part(text: string, title: string): string[] {
  const [, rest = ""] = text.split(`\n${title}\n`);
  return (rest.split("\n\n")[0] ?? "").split("\n").slice(1);
}
const firstWords = (lines: readonly string[]) => lines.map((line) => line.split(/ +/)[0]);

test("the verdict comes first, followed by all problems", () => {
  const report = fullReport();
  const { sentence, problems } = verdictOf(report);
  const lines = statusText(report).split("\n");
  expect(lines[0]).toBe(sentence);
  expect(lines.slice(1, 1 + problems.length)).toEqual(problems.map(({ text }) => `  - ${text}`));
  expect(problems.length).toBeGreaterThan(3);
});

test("databases in problem stand first", () => {
  expect(firstWords(part(statusText(fullReport()), "DATABASES"))).toEqual([
    "main/legacy",
    "main/crm",
    "main/new",
    "main/billing",
    "main/app",
    "main/dropped",
  ]);
});

test("the text has everything that an operator looks for", () => {
  const text = statusText(fullReport());
  expect(text).toContain("daemon up for 2d 02h, pid 4711");
  expect(text).toContain(
    "config refused at 2026-11-22 22:00:00; the previous config stays in force:\n  storage[1].bucket: missing",
  );
  expect(part(text, "ALERTS")[0]).toMatch(/^33333333 +CRITICAL .* no +backup of main\/crm failed/);
  expect(text).toContain("main/shop: 3.0 GiB of about 8.0 GiB, local 1.0 GiB uploading");
  expect(part(text, "DATABASES")[3]).toEndWith("newest not in r2");
  expect(part(text, "STORAGES")[0]).toMatch(
    /^local +local +nearly full +21 +21\.0 GiB +66 % \/ 100 % +60\.0 GiB \(6 %\) +0$/,
  );
  expect(part(text, "NOTIFIERS")).toEqual([
    expect.stringMatching(/^mail +email +delivering +2026-11-23 01:00:00 +0 +0$/),
    expect.stringMatching(/^pager +webhook +not delivering +- +2 +1 +status 503$/),
  ]);
  expect(text).toContain("  - 3 notices to notifier pager could not be delivered: status 503");
  expect(firstWords(part(text, "JOBS"))).toEqual(["backup", "cleanup", "verify", "repair", "restore-server"]);
  expect(text).toMatch(/^backup busy .* 3 runs skipped in a row$/m);
});

test("a storage whose min_free is broken is no good storage, however much of it is free", () => {
  const space = {
    location: { path: "/usb", min_free: String(2 ** 30) },
    free_bytes: 2 ** 29,
    total_bytes: 2 ** 29,
  };
  const line = part(
    statusText({ ...fullReport(), storages: [storage({ name: "usb", ...space })] }),
    "STORAGES",
  );
  expect(line).toEqual([
    expect.stringMatching(
      /^usb +local +below min_free .* 512 MiB \(100 %\) .* 512 MiB free, but min_free is 1\.0 GiB$/,
    ),
  ]);
});

test("a run by hand is told apart from a schedule, and one ended by hand from one that failed", () => {
  const full = fullReport();
  const job = (schedule: string | null, error: string) => {
    const last_run = run({ outcome: "FAILED", schedule, error });
    return part(
      statusText({ ...full, jobs: [{ ...full.jobs[0], job: "backup", last_run } as JobStatus] }),
      "JOBS",
    )[0];
  };
  expect(job("backup", "no room")).toMatch(/ FAILED +6m 00s +schedule .* no room$/);
  expect(job(null, "no room")).toMatch(/ FAILED +6m 00s +hand .* no room$/);
  expect(job(null, "ended by SIGINT")).toMatch(/ interrupted by hand +6m 00s +hand [^S]*$/);
  const last_attempt = {
    id: "x",
    status: "FAILED",
    started_at: full.now,
    finished_at: full.now,
    error: "ended by SIGINT",
  } as const;
  const text = statusText({ ...full, databases: [database({ last_attempt })] });
  expect(part(text, "DATABASES")[0]).toEndWith("interrupted by hand at 2026-11-23 03:00:00");
});

test("a new installation, and one without any data, have a shorter text", () => {
  const fresh = statusText(freshReport());
  expect(fresh).not.toContain("ALERTS");
  expect(fresh).not.toContain("RUNNING");
  const empty = {
    ...freshReport(),
    databases: [],
    storages: [],
    notifiers: [],
    schedules: [],
    jobs: [],
    daemon: null,
  };
  expect(statusText(empty, PLAIN, "ECONNREFUSED").match(/daemon/g)).toHaveLength(2);
  expect(statusText(empty, PLAIN, "ECONNREFUSED")).toContain("without a daemon (ECONNREFUSED): next runs");
  expect(statusText(empty)).toEndWith("DATABASES\nno database has been found yet");
});

test("names of any kind keep the table intact, and no control character is printed", () => {
  const text = statusText(visibleData(oddNames()));
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  expect(part(statusText(manyDatabases(500)), "DATABASES")).toHaveLength(500);
});

test("an error with many lines, or a long one, is cut to fit into one line", () => {
  const error = `first\n  second ${"x".repeat(500)}`;
  const report = {
    ...fullReport(),
    storages: [storage({ name: "usb", is_reachable: false, error })],
    databases: [
      database({
        state: "failing",
        last_attempt: {
          id: "x",
          status: "FAILED",
          started_at: "2026-11-23T01:00:00.000Z",
          finished_at: null,
          error,
        },
      }),
    ],
  };
  const text = statusText(report);
  expect(text).toContain("failed at 2026-11-23 01:00:00: first second xxx");
  for (const line of [...part(text, "DATABASES"), ...part(text, "STORAGES")])
    expect(line.length).toBeLessThan(320);
  expect(part(text, "STORAGES")).toHaveLength(1);
});

test("colours come from the caller, and change nothing else", () => {
  const mark = (name: string) => (text: string) => `\u001b[${name}m${text}\u001b[0m`;
  const style: Style = {
    bold: mark("1"),
    dim: mark("2"),
    good: mark("32"),
    warn: mark("33"),
    bad: mark("31"),
  };
  const coloured = statusText(fullReport(), style);
  expect(coloured).toContain("\u001b[31mstale\u001b[0m");
  expect(coloured).toContain("\u001b[32mgood\u001b[0m");
  expect(coloured.replace(/\u001b\[\d+m/g, "")).toBe(statusText(fullReport()));
});
