import { expect, test } from "bun:test";
import { pageTimes, readable, shortened } from "./words.ts";

const NOW = "2026-11-23T03:00:00.000Z";

test.each([
  ["2026-11-23T03:00:00.000Z", "just now"],
  ["2026-11-23T02:59:00.001Z", "just now"],
  ["2026-11-23T02:59:00.000Z", "1 min ago"],
  ["2026-11-23T01:00:00.001Z", "119 min ago"],
  ["2026-11-23T01:00:00.000Z", "2 h ago"],
  ["2026-11-21T03:00:00.001Z", "47 h ago"],
  ["2026-11-21T03:00:00.000Z", "2 days ago"],
  ["2024-11-23T03:00:00.000Z", "730 days ago"],
  ["2026-11-23T03:00:59.999Z", "any moment"],
  ["2026-11-23T03:12:00.000Z", "in 12 min"],
  ["2026-11-24T01:00:00.000Z", "in 22 h"],
])("%s is %s", (at, words) => {
  expect(pageTimes(NOW, "UTC").relative(at)).toBe(words);
});

test.each([
  ["UTC", "2026-11-23T03:00:00.000Z", "23 Nov, 03:00 UTC"],
  ["Europe/Berlin", "2026-11-23T03:00:00.000Z", "23 Nov, 04:00 CET"],
  // The zone distinguishes the two hours of that night.
  ["Europe/Berlin", "2026-10-25T00:30:00.000Z", "25 Oct, 02:30 CEST"],
  ["Europe/Berlin", "2026-10-25T01:30:00.000Z", "25 Oct, 02:30 CET"],
  ["Asia/Kathmandu", "2026-11-23T18:15:00.000Z", "24 Nov, 00:00 GMT+5:45"],
  ["UTC", "2025-11-23T03:00:00.000Z", "23 Nov 2025, 03:00 UTC"],
  // In these zones it is still last year, or already next year.
  ["America/New_York", "2026-01-01T04:59:00.000Z", "31 Dec 2025, 23:59 GMT-5"],
  ["Pacific/Auckland", "2026-12-31T11:00:00.000Z", "1 Jan 2027, 00:00 GMT+13"],
])("in %s %s is %s", (timezone, at, words) => {
  expect(pageTimes(NOW, timezone).absolute(at)).toBe(words);
});

test("a long text is cut between characters", () => {
  expect(shortened("🐘".repeat(5), 5)).toBe("🐘".repeat(5));
  expect(shortened("🐘".repeat(6), 5)).toBe(`${"🐘".repeat(5)}…`);
});

test("invisible characters are replaced, right-to-left letters stay", () => {
  expect(readable("a\u0000b\u001b[31m\u202ec\u2066d\u0085")).toBe("a\ufffdb\ufffd[31m\ufffdc\ufffdd\ufffd");
  expect(readable("שלום \u200f عربى\n")).toBe("שלום \u200f عربى\n");
});
