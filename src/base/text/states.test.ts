import { expect, test } from "bun:test";
import { backupStatusOf, backupWord, copyWord, isEndedByHand, outcomeWord } from "./states.ts";

const BY_HAND = "interrupted by hand";

test.each(["interrupted by hand", "ended by SIGINT"])(
  "a backup with the error %j was interrupted",
  (error) => {
    expect(isEndedByHand({ error })).toBe(true);
    expect(backupWord({ status: "FAILED", error })).toBe(BY_HAND);
    expect(outcomeWord({ outcome: "FAILED", error, schedule: null })).toBe(BY_HAND);
    expect(outcomeWord({ outcome: "INTERRUPTED", error, schedule: "backup" })).toBe("INTERRUPTED");
  },
);

test("other ends keep their meaning", () => {
  expect(isEndedByHand({ error: "ended by SIGTERM" })).toBe(false);
  expect(backupWord({ status: "FAILED", error: "no room" })).toBe("failed");
  expect(backupWord({ status: "VERIFIED", error: null })).toBe("complete");
  expect(copyWord("INTENDED")).toBe("not stored yet");
  expect(copyWord("CONFIRMED")).toBe("stored");
});

test.each([
  ["complete", "VERIFIED"],
  ["Complete", "VERIFIED"],
  ["verified", "VERIFIED"],
  ["failed", "FAILED"],
  ["partail", "PARTAIL"],
])("%s is the status %s", (written, status) => {
  expect(backupStatusOf(written)).toBe(status);
});
