import { describe, expect, test } from "bun:test";
import { Calendar } from "./calendar.ts";

const periods = (timezone: string, at: string) => new Calendar(timezone).periods(new Date(at));

describe("the day of an instant", () => {
  test.each([
    ["UTC", "2026-11-23T00:00:00Z", "2026-11-23"],
    ["UTC", "2026-11-22T23:59:59.999Z", "2026-11-22"],
    ["Europe/Berlin", "2026-11-22T23:00:00Z", "2026-11-23"],
    ["America/New_York", "2026-11-23T04:59:59Z", "2026-11-22"],
    ["Asia/Kolkata", "2026-11-22T18:30:00Z", "2026-11-23"],
    ["Asia/Kathmandu", "2026-11-22T18:14:59Z", "2026-11-22"],
    ["Asia/Kathmandu", "2026-11-22T18:15:00Z", "2026-11-23"],
    ["Pacific/Kiritimati", "2026-12-31T10:00:00Z", "2027-01-01"],
    ["Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29"],
    // Samoa had no 30th of December 2011.
    ["Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"],
  ])("in %s, %s is of %s", (timezone, at, day) => {
    expect(periods(timezone, at).daily).toBe(day);
  });

  test("in summer and in winter begins at local midnight, also on days of 23 and of 25 hours", () => {
    // Berlin: 2026-03-29 has 23 hours, 2026-10-25 has 25.
    for (const [from, to, day] of [
      ["2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z", "2026-03-29"],
      ["2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z", "2026-10-25"],
    ] as const) {
      expect(periods("Europe/Berlin", from).daily).toBe(day);
      expect(periods("Europe/Berlin", to).daily).toBe(day);
      const before = new Date(new Date(from).getTime() - 1).toISOString();
      const after = new Date(new Date(to).getTime() + 1000).toISOString();
      expect(periods("Europe/Berlin", before).daily < day).toBe(true);
      expect(periods("Europe/Berlin", after).daily > day).toBe(true);
    }
  });
});

describe("the ISO week", () => {
  test.each([
    ["2026-11-22", "2026-W47"],
    ["2026-11-23", "2026-W48"],
    // The examples of the standard's corner cases.
    ["2005-01-01", "2004-W53"],
    ["2005-01-02", "2004-W53"],
    ["2005-12-31", "2005-W52"],
    ["2007-01-01", "2007-W01"],
    ["2008-12-29", "2009-W01"],
    ["2009-12-31", "2009-W53"],
    ["2010-01-03", "2009-W53"],
    ["2010-01-04", "2010-W01"],
    ["2026-12-31", "2026-W53"],
    ["2027-01-01", "2026-W53"],
    ["2024-02-29", "2024-W09"],
  ])("of %s is %s", (day, week) => {
    expect(periods("UTC", `${day}T12:00:00Z`).weekly).toBe(week);
  });

  test("is that of the zone, not of UTC", () => {
    expect(periods("Asia/Tokyo", "2026-11-22T15:00:00Z")).toEqual({
      daily: "2026-11-23",
      weekly: "2026-W48",
      monthly: "2026-11",
      yearly: "2026",
    });
  });
});

test.each(["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])(
  "a calendar of %s gives the same answers in any order and number of calls",
  (timezone) => {
    const calendar = new Calendar(timezone);
    const instants = Array.from({ length: 2000 }, (_, n) => new Date(Date.UTC(2026, 2, 20) + n * 617_283));
    const forwards = instants.map((at) => calendar.periods(at).daily);
    const backwards = instants.toReversed().map((at) => calendar.periods(at).daily);
    expect(backwards.reverse()).toEqual(forwards);
    expect(forwards).toEqual(instants.map((at) => new Calendar(timezone).periods(at).daily));
  },
);
