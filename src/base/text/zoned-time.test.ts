import { expect, test } from "bun:test";
import { zonedTime } from "./zoned-time.ts";

test("a zoned time is the same moment, with the offset of the zone at that moment", () => {
  expect(zonedTime(new Date("2026-10-25T00:30:00Z"), "Europe/Berlin")).toBe("2026-10-25T02:30:00+02:00");
  expect(zonedTime(new Date("2026-10-25T01:30:00Z"), "Europe/Berlin")).toBe("2026-10-25T02:30:00+01:00");
  expect(zonedTime(new Date("2026-01-01T00:00:00Z"), "UTC")).toBe("2026-01-01T00:00:00+00:00");
  expect(zonedTime(new Date("2026-01-01T00:00:00Z"), "America/St_Johns")).toBe("2025-12-31T20:30:00-03:30");
  expect(zonedTime(new Date("2026-01-01T00:00:00Z"), "Asia/Kathmandu")).toBe("2026-01-01T05:45:00+05:45");
  for (const zone of Intl.supportedValuesOf("timeZone")) {
    const time = new Date("2026-07-01T12:34:56Z");
    expect(new Date(zonedTime(time, zone))).toEqual(time);
  }
});
