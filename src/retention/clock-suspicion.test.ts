import { describe, expect, test } from "bun:test";
import { DAY_MS, daysAgo, NOW } from "../../test/fixtures/retention.ts";
import { type ClockFacts, clockSuspicion } from "./clock-suspicion.ts";

const HOUR_MS = 3_600_000;
const later = (ms: number) => new Date(NOW.getTime() + ms);
/** A reply whose storage's clock differs from ours by so much. */
const reply = (aheadMs: number, storage = "r2") => ({ storage, date: later(aheadMs), receivedAt: NOW });
const suspicion = (facts: Partial<ClockFacts>) =>
  clockSuspicion({ now: NOW, s3Dates: [], newestRecord: daysAgo(1), lastActivity: daysAgo(1), ...facts });

describe("with S3", () => {
  test("an hour off is trusted, more is not, either way", () => {
    expect(suspicion({ s3Dates: [reply(HOUR_MS), reply(-HOUR_MS)] })).toBeUndefined();
    expect(suspicion({ s3Dates: [reply(-HOUR_MS - 1000)] })).toBe(
      'this host\'s clock is 1 h 1 s ahead of that of storage "r2"',
    );
    expect(suspicion({ s3Dates: [reply(0), reply(400 * DAY_MS, "b2")] })).toBe(
      'this host\'s clock is 400 d behind that of storage "b2"',
    );
  });

  test("each reply is compared with the time when it came, however long the run", () => {
    const receivedAt = later(-5 * HOUR_MS);
    expect(suspicion({ s3Dates: [{ storage: "r2", date: receivedAt, receivedAt }] })).toBeUndefined();
  });

  test("what the records say does not matter", () => {
    const facts = { newestRecord: later(DAY_MS), lastActivity: daysAgo(30), lastSuspended: daysAgo(1) };
    expect(suspicion({ ...facts, s3Dates: [reply(0)] })).toBeUndefined();
    expect(suspicion(facts)).toBeDefined();
  });
});

describe("without S3", () => {
  test("earlier than the newest record is suspect, the same moment is not", () => {
    expect(suspicion({ newestRecord: NOW })).toBeUndefined();
    expect(suspicion({ newestRecord: later(5000) })).toBe(
      "the clock says 2026-11-23T05:00:00Z, which is earlier than the newest record (2026-11-23T05:00:05Z)",
    );
  });

  test("more than seven days of silence are suspect, seven are not", () => {
    expect(suspicion({ lastActivity: daysAgo(7) })).toBeUndefined();
    expect(suspicion({ lastActivity: daysAgo(7 + 1 / 24) })).toBe(
      "the last recorded activity is 7 d 1 h ago, and no storage tells the time",
    );
  });

  test("nothing recorded is nothing to suspect", () => {
    expect(suspicion({ newestRecord: undefined, lastActivity: undefined })).toBeUndefined();
  });

  test("a suspicion stays until a new good backup", () => {
    const facts = { lastActivity: daysAgo(0.1), lastSuspended: daysAgo(1) };
    expect(suspicion({ ...facts, newestGood: daysAgo(20) })).toBe(
      "the clock was suspect at 2026-11-22T05:00:00Z, and no good backup has been made since",
    );
    expect(suspicion(facts)).toBeDefined();
    expect(suspicion({ ...facts, newestGood: daysAgo(0.5) })).toBeUndefined();
  });

  test("a new good backup ends the silence, and outweighs a record that is dated ahead", () => {
    const lastSuspended = daysAgo(1);
    const newestGood = daysAgo(0.5);
    expect(suspicion({ lastActivity: daysAgo(30), lastSuspended, newestGood })).toBeUndefined();
    expect(suspicion({ newestRecord: later(DAY_MS), lastSuspended, newestGood })).toBeUndefined();
    // One that is itself dated ahead shows nothing.
    expect(suspicion({ lastSuspended, newestGood: later(1) })).toBeDefined();
  });

  test("a suspicion that was lifted long ago does not lift the next one", () => {
    const facts = { lastSuspended: daysAgo(100), newestGood: daysAgo(50), lastActivity: daysAgo(50) };
    expect(suspicion(facts)).toBe("the last recorded activity is 50 d ago, and no storage tells the time");
  });
});
