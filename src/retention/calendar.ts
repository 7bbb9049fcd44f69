import { DAY_MS } from "../base/limits.ts";

/** The names of the day, ISO week, month and year of an instant, by the wall clocks of a time zone. */
export interface Periods {
  /** `2026-11-23` */
  daily: string;
  /** `2026-W48` */
  weekly: string;
  /** `2026-11` */
  monthly: string;
  /** `2026` */
  yearly: string;
}

/** Caches its answers: a time zone's rules cost far more than a look into a table. */
export class Calendar {
  readonly #format: Intl.DateTimeFormat;
  readonly #offsetAtMidnightUtc = new Map<number, number>();
  readonly #byDay = new Map<number, Periods>();

  /** Throws a `RangeError` for a name that is not an IANA time zone. */
  constructor(timezone: string) {
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone: timezone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  }

  periods(at: Date): Periods {
    const local = at.getTime() + this.#offsetMs(at.getTime());
    return this.#periodsOfDay(Math.floor(local / DAY_MS));
  }

  /** The offset of the wall clock from UTC: the same all day, except on days when the clocks change. */
  #offsetMs(at: number): number {
    const midnight = Math.floor(at / DAY_MS) * DAY_MS;
    const offset = this.#midnightOffsetMs(midnight);
    return offset === this.#midnightOffsetMs(midnight + DAY_MS) ? offset : this.#lookUpOffsetMs(at);
  }

  #midnightOffsetMs(midnight: number): number {
    let offset = this.#offsetAtMidnightUtc.get(midnight);
    if (offset === undefined) {
      offset = this.#lookUpOffsetMs(midnight);
      this.#offsetAtMidnightUtc.set(midnight, offset);
    }
    return offset;
  }

  #lookUpOffsetMs(at: number): number {
    const second = Math.floor(at / 1000) * 1000;
    const parts = new Map(this.#format.formatToParts(second).map(({ type, value }) => [type, Number(value)]));
    const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
    const wallClock = Date.UTC(
      part("year"),
      part("month") - 1,
      part("day"),
      part("hour"),
      part("minute"),
      part("second"),
    );
    return wallClock - second;
  }

  #periodsOfDay(day: number): Periods {
    let periods = this.#byDay.get(day);
    if (periods === undefined) {
      const daily = new Date(day * DAY_MS).toISOString().slice(0, 10);
      periods = { daily, weekly: isoWeek(day), monthly: daily.slice(0, 7), yearly: daily.slice(0, 4) };
      this.#byDay.set(day, periods);
    }
    return periods;
  }
}

/** ISO 8601: a week begins on Monday and belongs to the year of its Thursday. */
function isoWeek(day: number): string {
  // 1970-01-01 was a Thursday, the fourth day of its week.
  const weekday = (((day + 3) % 7) + 7) % 7;
  const thursday = day - weekday + 3;
  const year = new Date(thursday * DAY_MS).getUTCFullYear();
  const week = Math.floor((thursday - Date.UTC(year, 0, 1) / DAY_MS) / 7) + 1;
  return `${year}-W${String(week).padStart(2, "0")}`;
}
