import { durationText, plural, sizeText } from "../../base/text/amounts.ts";
import type { BackupDay } from "../../catalog/overview.ts";
import type { Page } from "./elements.tsx";
import { dayBefore, type PageYear, YEAR_DAYS } from "./history.ts";
import { Spark } from "./spark.tsx";

const WEEK = 7;
/** A day's square and the space after it. */
const CELL = 12;
const SQUARE = 10;

/** The last year of one database: a calendar of its backups, and the times of its recoveries. */
export const Year = ({ year: { days, recoveries }, page }: { year: PageYear; page: Page }) => (
  <div class="card year">
    <Calendar days={days} page={page} />
    {recoveries.length > 0 && (
      <div class="sparks">
        <Spark
          id="year-size"
          name="Largest dump of a day"
          of="day"
          points={days.map(({ day, dump_bytes }) => ({ at: `${day}T00:00:00.000Z`, value: dump_bytes }))}
          text={sizeText}
          page={page}
        />
        <Spark
          id="year-recovery"
          name="Recovery time"
          of="restore test"
          points={recoveries.map(({ at, recovery_ms }) => ({ at, value: recovery_ms }))}
          text={durationText}
          page={page}
        />
      </div>
    )}
  </div>
);

type Kind = "good" | "warning" | "bad" | "none";

function kindOf(day: BackupDay | undefined): Kind {
  if (day === undefined) return "none";
  if (day.verified > 0) return "good";
  return day.partial > 0 ? "warning" : "bad";
}

/** The words for one day, as its title: `2026-11-23: 2 complete, 1 failed, 5.0 MiB`. */
function dayText(day: string, found: BackupDay | undefined): string {
  if (found === undefined) return `${day}: no backup`;
  const counts = [
    ...(found.verified > 0 ? [`${found.verified} complete`] : []),
    ...(found.partial > 0 ? [`${found.partial} partial`] : []),
    ...(found.failed > 0 ? [`${found.failed} failed`] : []),
    ...(found.dump_bytes === null ? [] : [sizeText(found.dump_bytes)]),
  ];
  return `${day}: ${counts.join(", ")}`;
}

/** One square for each day, in columns of weeks from Monday; a day is good if one of its backups is complete. */
const Calendar = ({ days, page }: { days: readonly BackupDay[]; page: Page }) => {
  const byDay = new Map(days.map((one) => [one.day, one]));
  const shown = Array.from({ length: YEAR_DAYS }, (_, index) =>
    dayBefore(page.times.now, YEAR_DAYS - 1 - index),
  );
  const count = (kind: Kind) => shown.filter((day) => kindOf(byDay.get(day)) === kind).length;
  const [first = ""] = shown;
  const offset = (new Date(`${first}T00:00:00Z`).getUTCDay() + WEEK - 1) % WEEK;
  const columns = Math.ceil((offset + shown.length) / WEEK);
  const place = (index: number) => {
    const cell = offset + index;
    return { x: Math.floor(cell / WEEK) * CELL, y: (cell % WEEK) * CELL };
  };
  const summary = [
    `${plural(count("good"), "day")} with a complete backup`,
    `${count("warning")} with a partial one only`,
    `${count("bad")} with failures only`,
    `${count("none")} without a backup`,
  ].join(", ");
  return (
    <figure class="calendar">
      <figcaption>
        The last {YEAR_DAYS} days, in UTC: {summary}.
      </figcaption>
      <svg
        viewBox={`0 0 ${columns * CELL} ${WEEK * CELL}`}
        width={columns * CELL}
        height={WEEK * CELL}
        role="img"
        aria-labelledby="calendar-title calendar-text"
      >
        <title id="calendar-title">{`Backups of the last ${YEAR_DAYS} days`}</title>
        <desc id="calendar-text">{summary}</desc>
        {shown.map((day, index) => {
          const found = byDay.get(day);
          const { x, y } = place(index);
          const kind = kindOf(found);
          return (
            <g class={`day ${kind}`}>
              <title>{dayText(day, found)}</title>
              <rect x={x + 1} y={y + 1} width={SQUARE} height={SQUARE} rx="2" />
              {kind === "warning" && <path d={`M${x + 3} ${y + 9}L${x + 9} ${y + 3}`} />}
              {kind === "bad" && <path d={`M${x + 3} ${y + 3}l6 6m0 -6l-6 6`} />}
            </g>
          );
        })}
      </svg>
    </figure>
  );
};
