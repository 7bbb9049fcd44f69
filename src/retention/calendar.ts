/** The names of the day, ISO week, month and year that an instant lies in, on the wall clocks of a time zone. */
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

const DAY_MS = 86_400_000;
/** Days begin, and clocks change, at a multiple of this in every time zone since 1972. */
const SLOT_MS = 15 * 60_000;

/** Remembers what it was asked: a time zone's rules cost far more than a look into a table. */
export class Calendar {
  readonly #format: Intl.DateTimeFormat;
  readonly #bySlot = new Map<number, Periods>();
  readonly #byDay = new Map<number, Periods>();

  /** Throws a `RangeError` for a name that is no IANA time zone. */
  constructor(timezone: string) {
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone: timezone,
      calendar: "gregory",
      numberingSystem: "latn",
      year: "numeric",
      month: "numeric",
      day: "numeric",
    });
  }

  periods(at: Date): Periods {
    const slot = Math.floor(at.getTime() / SLOT_MS);
    let periods = this.#bySlot.get(slot);
    if (periods === undefined) {
      periods = this.#periodsOfDay(this.#dayOf(at));
      this.#bySlot.set(slot, periods);
    }
    return periods;
  }

  /** Days since 1970-01-01, of the date that the wall clock shows. */
  #dayOf(at: Date): number {
    const parts = new Map(this.#format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
    const [year = 0, month = 1, day = 1] = [parts.get("year"), parts.get("month"), parts.get("day")];
    return Date.UTC(year, month - 1, day) / DAY_MS;
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
