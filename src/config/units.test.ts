import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatDuration, formatRate, formatSize, parseDuration, parseRate, parseSize } from "./units.ts";

describe("durations", () => {
  test.each([
    ["250ms", 250],
    ["90s", 90_000],
    ["5m", 300_000],
    ["1.5h", 5_400_000],
    ["2 h", 7_200_000],
    ["7d", 604_800_000],
    ["0", 0],
    ["0s", 0],
  ])("%s is %d ms", (text, durationMs) => expect(parseDuration(text)).toBe(durationMs));

  test.each([
    "",
    "5",
    "m",
    "5M",
    "5 minutes",
    "-5m",
    "5m ",
    "1h30m",
    "1e3s",
    "0.5ms",
    "99999999999999d",
    "5constructor",
  ])("%p is not a duration", (text) => expect(parseDuration(text)).toBeUndefined());

  test("formatted ones read the same", () => {
    fc.assert(fc.property(fc.maxSafeNat(), (ms) => ms > 1e15 || parseDuration(formatDuration(ms)) === ms));
    expect([90_000, 120_000, 86_400_000, 1].map(formatDuration)).toEqual(["90s", "2m", "1d", "1ms"]);
  });
});

describe("sizes and rates", () => {
  test.each([
    ["512MiB", 512 * 2 ** 20],
    ["10GiB", 10 * 2 ** 30],
    ["1GB", 1e9],
    ["1.5KiB", 1536],
    ["7B", 7],
    ["0", 0],
  ])("%s is %d bytes", (text, sizeBytes) => expect(parseSize(text)).toBe(sizeBytes));

  test.each(["", "5", "1G", "1gb", "1Gb", "-1GB", "1 GB/s", "0.3B", "9999999TiB"])(
    "%p is not a size",
    (text) => expect(parseSize(text)).toBeUndefined(),
  );

  test("rates are sizes per second", () => {
    expect(parseRate("1MiB/s")).toBe(2 ** 20);
    expect(parseRate("1.5MB/s")).toBe(1_500_000);
    expect(parseRate("0")).toBe(0);
    expect(["1MiB", "1MiB/m", "/s", "Mbit/s"].map(parseRate)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("formatted ones read the same", () => {
    fc.assert(fc.property(fc.nat(), (bytes) => parseSize(formatSize(bytes)) === bytes));
    fc.assert(fc.property(fc.nat(), (bytes) => parseRate(formatRate(bytes)) === bytes));
    expect([2 ** 30, 1e9, 1_500_000, 1000].map(formatSize)).toEqual(["1GiB", "1GB", "1500KB", "1KB"]);
  });
});
