import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { silentLog } from "../../base/log.ts";
import type { RetentionDecision } from "../../retention/plan.ts";
import { ExpiringCopies } from "./expiring-copies.ts";
import { CleanupTally } from "./report.ts";

test("a run names at most 1,000 notes and errors, and counts the others", () => {
  const tally = new CleanupTally(["r2"]);
  for (let n = 0; n < 2_500; n++) {
    tally.note("r2", `key-${n}`, "only hidden and still billed");
    tally.fail("r2", `key-${n}`, "no answer");
  }
  tally.fail("r2", null, "the storage cannot be listed");
  const { notes, more_notes, errors, more_errors } = tally.statistics;
  expect([notes.length, more_notes]).toEqual([1_000, 1_500]);
  // An error of the whole storage is always named.
  expect([errors.length, more_errors]).toEqual([1_001, 1_500]);
  expect(tally.hasFailed("r2", "the storage cannot be listed")).toBe(true);
});

test("of 30,000 locks to renew, few are in memory", async () => {
  await using going = new ExpiringCopies({ config: { temp_dir: tmpdir() }, log: silentLog });
  const lockUntil = new Date("2027-01-01T00:00:00Z");
  for (let n = 0; n < 10_000; n++) {
    const about = { backupId: `backup-${n}`, server: "main", database: "app", bytes: 1, isConfirmed: true };
    const keep = { ...about, action: "keep", reason: "", reliesOn: [], lockUntil } as const;
    await going.add(["a", "b", "c"].map((storage): RetentionDecision => ({ ...keep, storage })));
  }
  expect(going.inMemory).toBeLessThan(5_000);
  expect([...going.locks].map(([storage, { length }]) => [storage, length])).toEqual([
    ["a", 10_000],
    ["b", 10_000],
    ["c", 10_000],
  ]);
  for await (const { until } of going.locks.get("b") ?? []) expect(until).toBe(lockUntil.toISOString());
});
