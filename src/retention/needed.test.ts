import { expect, test } from "bun:test";
import { backup, daysAgo, decisionOf, expired, input, planRetention } from "../../test/fixtures/retention.ts";

test("globals stay as long as a backup of their run is kept", () => {
  const old = { ...backup("old", daysAgo(400)), isNeeded: true } as const;
  const plan = planRetention(input([old, backup("older", daysAgo(401)), backup("new", daysAgo(1))]));
  expect(expired(plan).filter((copy) => copy.startsWith("old "))).toEqual([]);
  expect(expired(plan)).toContain("older local");
  expect(decisionOf(plan, "old local")).toMatchObject({
    action: "keep",
    reason: "older than 30 days (400 d), but a backup of its run is still kept",
  });
});
