import { expect, test } from "bun:test";
import type { ProgressStatus, RunningStatus } from "../status/report.ts";
import { statusLine } from "./status-line.ts";

const next = new Map([
  ["backup", new Date("2026-11-24T02:00:00Z")],
  ["cleanup", new Date("2026-11-23T05:00:00Z")],
]);

function running(change: Partial<RunningStatus>): RunningStatus {
  const about = { run_id: null, job: "backup", schedule: "backup", host: "here", pid: 1 } as const;
  return { ...about, started_at: "2026-11-23T02:00:00Z", state: "running", progress: [], ...change };
}

function progress(change: Partial<ProgressStatus>): ProgressStatus {
  return { title: "backup main/app", bytes: 42, expected_bytes: 100, storages: [], ...change };
}

test("shows the running work, its progress, and the next run", () => {
  expect(statusLine([], next)).toBe("idle; next: cleanup at 2026-11-23T05:00:00Z");
  expect(statusLine([], new Map())).toBe("idle; nothing is scheduled");
  const works = [
    progress({}),
    progress({ title: "backup main/b", bytes: 300 }),
    progress({ title: "c", expected_bytes: null }),
  ];
  const runs = [
    running({ progress: works }),
    running({ schedule: "backup busy", state: "retrying" }),
    running({ schedule: "cleanup", state: "queued" }),
    running({ schedule: "verify" }),
  ];
  expect(statusLine(runs, next)).toBe(
    "backup main/app 42 %, backup main/b 100 %, c; backup busy waits for its next retry; " +
      "cleanup waits for its turn; verify is running; next: cleanup at 2026-11-23T05:00:00Z",
  );
  expect(statusLine([running({})], next, { isStopping: true })).toBe("stopping; backup is running");
  expect(statusLine([], next, { refused: true })).toContain("the last reload was refused");
});
