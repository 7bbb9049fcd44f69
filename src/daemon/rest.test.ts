import { expect, spyOn, test } from "bun:test";
import { Rest } from "./rest.ts";

test("memory is given back once after a run or much other work, and not while a run works or has just ended", () => {
  using shrink = spyOn(Bun, "shrink").mockImplementation(() => {});
  using cpu = spyOn(process, "cpuUsage");
  const rest = new Rest();
  const shrunkAt = (nowMs: number, endedAtMs: number | undefined, running: unknown[] = []) => {
    rest.look({ running: () => running, endedAtMs }, nowMs);
    return shrink.mock.calls.length;
  };
  cpu.mockReturnValue({ user: 3_000_000, system: 1_000_000 });
  expect(shrunkAt(60_000, undefined)).toBe(0);
  expect(shrunkAt(69_000, 60_000)).toBe(0);
  expect(shrunkAt(75_000, 60_000, ["another"])).toBe(0);
  expect(shrunkAt(75_000, 60_000)).toBe(1);
  expect(shrunkAt(500_000, 60_000)).toBe(1);
  expect(shrunkAt(509_999, 500_000)).toBe(1);
  expect(shrunkAt(510_000, 500_000)).toBe(2);
  cpu.mockReturnValue({ user: 7_000_000, system: 2_000_000 });
  expect(shrunkAt(520_000, 500_000, ["another"])).toBe(2);
  expect(shrunkAt(520_000, 500_000)).toBe(3);
  expect(shrunkAt(530_000, 500_000)).toBe(3);
});
