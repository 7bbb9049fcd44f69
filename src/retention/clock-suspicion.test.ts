import { describe, expect, test } from "bun:test";
import { daysAgo, NOW } from "../../test/fixtures/retention.ts";
import { DAY_MS, HOUR_MS } from "../base/limits.ts";
import { type ClockFacts, clockSuspicion } from "./clock-suspicion.ts";

const later = (ms: number) => new Date(NOW.getTime() + ms);
/** A reply of a storage whose clock differs from ours by this much. */
const reply = (aheadMs: number, storage = "r2") => ({ storage, date: later(aheadMs), receivedAt: NOW });
const ahead = {
  ...{ id: "3f2a9c1b-0000-4000-8000-000000000000", server: "main", database: "app" },
  startedAt: later(DAY_MS),
};
const suspicion = (facts: Partial<ClockFacts>) =>
  clockSuspicion({ now: NOW, s3Dates: [], reachesTo: daysAgo(1), silenceMsMax: 7 * DAY_MS, ...facts });

describe("with S3", () => {
  test("a clock is trusted up to an hour off, in either direction", () => {
    expect(suspicion({ s3Dates: [reply(HOUR_MS), reply(-HOUR_MS)] })).toBeUndefined();
    expect(suspicion({ s3Dates: [reply(-HOUR_MS - 1000)] })).toBe(
      'this host\'s clock is 1 h 1 s ahead of that of storage "r2"',
    );
    expect(suspicion({ s3Dates: [reply(0), reply(400 * DAY_MS, "b2")] })).toBe(
      'this host\'s clock is 400 d behind that of storage "b2"',
    );
  });

  test("each reply is compared with the time when it came, however long the run takes", () => {
    const receivedAt = later(-5 * HOUR_MS);
    expect(suspicion({ s3Dates: [{ storage: "r2", date: receivedAt, receivedAt }] })).toBeUndefined();
  });

  test("the records do not matter", () => {
    const facts = { ahead, trustedAt: later(DAY_MS), reachesTo: daysAgo(30) };
    expect(suspicion({ ...facts, s3Dates: [reply(0)] })).toBeUndefined();
    expect(suspicion(facts)).toBeDefined();
  });
});

describe("without S3", () => {
  test("more than seven days of silence are suspect, seven are not", () => {
    expect(suspicion({ reachesTo: daysAgo(7) })).toBeUndefined();
    expect(suspicion({ reachesTo: daysAgo(7 + 1 / 24) })).toBe(
      "nothing is recorded for more than 7 d after 2026-11-16T04:00:00Z (now: 2026-11-23T05:00:00Z), and no storage reports the time: if the clock is right, cleanup --confirm ends this suspicion",
    );
    expect(suspicion({ reachesTo: daysAgo(30), silenceMsMax: 31 * DAY_MS })).toBeUndefined();
  });

  test("without records nothing is suspect", () => {
    expect(suspicion({ reachesTo: undefined })).toBeUndefined();
  });

  test("a backup dated ahead is suspect, and the sentence names both ways out", () => {
    expect(suspicion({ ahead })).toBe(
      "backup 3f2a9c1b of main/app is dated 2026-11-24T05:00:00Z, in the future (now: 2026-11-23T05:00:00Z): if the clock is right, cleanup --confirm accepts that date permanently, or pg321 delete 3f2a9c1b removes the backup",
    );
  });

  test("a time of trust in the future is suspect, beyond the hour by which clocks may differ", () => {
    expect(suspicion({ trustedAt: later(HOUR_MS) })).toBeUndefined();
    expect(suspicion({ trustedAt: later(HOUR_MS + 1) })).toContain("in the future");
  });
});
