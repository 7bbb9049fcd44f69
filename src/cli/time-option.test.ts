import { describe, expect, test } from "bun:test";
import { timeOption } from "./time-option.ts";

const NOW = new Date("2026-11-23T12:00:00.000Z");

function read(text: string, edge: "first" | "last" = "first", timezone = "Europe/Berlin") {
  return timeOption(text, { command: "list", name: "since", now: NOW, timezone, edge })?.toISOString();
}

test("a time without a zone is one of the reader's zone", () => {
  expect(read("2026-11-23T05:00")).toBe("2026-11-23T04:00:00.000Z");
  expect(read("2026-07-01 05:00:30")).toBe("2026-07-01T03:00:30.000Z");
  expect(read("2026-07-01 05:00:30", "first", "UTC")).toBe("2026-07-01T05:00:30.000Z");
  expect(read("2026-11-23T05:00Z")).toBe("2026-11-23T05:00:00.000Z");
  expect(read("2026-11-23T05:00:00.5-03:00")).toBe("2026-11-23T08:00:00.500Z");
});

test("a day means its first or its last moment, also if the clocks change on it", () => {
  expect(read("2026-11-23")).toBe("2026-11-22T23:00:00.000Z");
  expect(read("2026-11-23", "last")).toBe("2026-11-23T22:59:59.999Z");
  expect(read("2026-10-25")).toBe("2026-10-24T22:00:00.000Z");
  expect(read("2026-10-25", "last")).toBe("2026-10-25T22:59:59.999Z");
  expect(read("today")).toBe("2026-11-22T23:00:00.000Z");
  expect(read("yesterday", "last")).toBe("2026-11-22T22:59:59.999Z");
});

test("an hour that is repeated counts as the first one, one that is skipped as a moment beside it", () => {
  expect(read("2026-10-25T02:30")).toBe("2026-10-25T00:30:00.000Z");
  expect(["2026-03-29T00:30:00.000Z", "2026-03-29T01:30:00.000Z"]).toContain(
    read("2026-03-29T02:30") as string,
  );
});

test("an age counts back from now", () => {
  expect(read("90m")).toBe("2026-11-23T10:30:00.000Z");
  expect(read("7d")).toBe("2026-11-16T12:00:00.000Z");
  expect(read("2w", "last")).toBe("2026-11-09T12:00:00.000Z");
  expect(read("0")).toBe(NOW.toISOString());
});

describe("refused, with what is expected", () => {
  test.each([
    "2026-02-30",
    "2026-13-01",
    "2026-11-23T25:00",
    "2026-11-23T05:61Z",
    "23.11.2026",
    "7 days",
    "-7d",
    "tomorrow",
    "99999999999999d",
    "constructor",
    "2026-11-23T05:00+99:00",
  ])("%s", (text) => {
    expect(() => read(text)).toThrow(`list: --since is "${text}", expected a time or an age`);
  });
});
