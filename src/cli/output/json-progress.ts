import type { Clock } from "../../base/clock.ts";
import type { ProgressListener } from "../../jobs/progress.ts";
import type { Work } from "./work-under-way.ts";
import { shareOf, shownEvery, timeLeftMs } from "./work-under-way.ts";

const INTERVAL_MS = 1_000;

/** Writes a line of JSON for each piece of work when it begins, every second, and when it ends: for wrappers. */
export function jsonProgress(write: (line: string) => void, clock: Clock): ProgressListener {
  const line = (work: Work, state: "running" | "ended") =>
    write(
      `${JSON.stringify({ type: "progress", time: clock.now().toISOString(), state, ...fieldsOf(work) })}\n`,
    );
  const all = (works: Work[]) => {
    for (const work of works) line(work, "running");
  };
  return shownEvery(INTERVAL_MS, clock, all, {
    onStart: (work) => line(work, "running"),
    onEnd: (work) => line(work, "ended"),
  });
}

function fieldsOf(work: Work) {
  const { progress, elapsedMs, ratePerMs } = work;
  const { title, bytes, expectedBytes, expectedFrom, unit, storages } = progress;
  const [share, left] = [shareOf(progress), timeLeftMs(work)];
  const of = (value: number) => (unit === undefined ? value : null);
  return {
    work: title,
    bytes: of(bytes),
    expected_bytes: expectedBytes === undefined ? null : of(expectedBytes),
    expected_from: expectedFrom ?? null,
    objects: unit === "objects" ? bytes : null,
    expected_objects: unit === "objects" ? (expectedBytes ?? null) : null,
    databases: unit === "databases" ? bytes : null,
    expected_databases: unit === "databases" ? (expectedBytes ?? null) : null,
    records: unit === "records" ? bytes : null,
    expected_records: unit === "records" ? (expectedBytes ?? null) : null,
    share: share === undefined ? null : Math.round(share * 10_000) / 10_000,
    bytes_per_second: of(Math.round(ratePerMs * 1000)),
    elapsed_ms: Math.round(elapsedMs),
    left_ms: left === undefined ? null : Math.round(left),
    storages: [...storages].map(([storage, { bytes: taken, state }]) => ({ storage, state, bytes: taken })),
  };
}
