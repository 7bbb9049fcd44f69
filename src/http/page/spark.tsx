import { plural } from "../../base/text/amounts.ts";
import type { BackupPoint } from "../../catalog/overview.ts";
import type { Page } from "./elements.tsx";

const WIDTH = 160;
const HEIGHT = 40;
/** Space for half the width of the line. */
const MARGIN = 3;

/** One thing in a chart. */
export interface SparkPoint {
  at: string;
  /** Null: failed. */
  value: number | null;
}

export interface SparkInput {
  /** Unique in the page. */
  id: string;
  /** `Size`, `Duration`. */
  name: string;
  /** The word for one point: `backup`. */
  of: string;
  /** Oldest first. */
  points: readonly SparkPoint[];
  text: (value: number) => string;
  page: Page;
}

/**
 * Values over time as a small chart: a line on an axis that starts at zero, so that half the height is half the
 * value, and a mark at the bottom for each one that failed.
 */
export const Spark = ({ id, name, of, points, text, page }: SparkInput) => {
  const values = points.map(({ value }) => value);
  const known = values.filter((one) => one !== null);
  const newest = known.at(-1);
  const [first] = points;
  if (newest === undefined || first === undefined) return null;
  const failed = values.length - known.length;
  const range = `from ${text(Math.min(...known))} to ${text(Math.max(...known))}, newest ${text(newest)}`;
  const failures = failed === 0 ? "" : `; ${failed} failed`;
  const since = page.times.absolute(first.at);
  return (
    <figure class="spark">
      <figcaption>
        {name} <b>{text(newest)}</b>
      </figcaption>
      <svg
        width={WIDTH}
        height={HEIGHT}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-labelledby={`${id}-title ${id}-text`}
      >
        <title id={`${id}-title`}>{`${name} of the last ${plural(points.length, of)}`}</title>
        <desc id={`${id}-text`}>{`since ${since}: ${range}${failures}`}</desc>
        <Curve values={values} />
      </svg>
    </figure>
  );
};

const Curve = ({ values }: { values: readonly (number | null)[] }) => {
  const highest = Math.max(1, ...values.map((value) => value ?? 0));
  const step = (WIDTH - 2 * MARGIN) / Math.max(1, values.length - 1);
  const x = (index: number) => (values.length === 1 ? WIDTH / 2 : MARGIN + index * step).toFixed(1);
  const y = (value: number) => (HEIGHT - MARGIN - (value / highest) * (HEIGHT - 2 * MARGIN)).toFixed(1);
  const spots = values.flatMap((value, index) => (value === null ? [] : [{ x: x(index), y: y(value) }]));
  const line = spots.map((spot) => `${spot.x} ${spot.y}`).join("L");
  const [first, last] = [spots[0], spots.at(-1)];
  const failures = values.flatMap((value, index) => (value === null ? [`M${x(index)} ${HEIGHT}v-9`] : []));
  return (
    <>
      <path class="ground" d={`M0 ${HEIGHT - 0.5}H${WIDTH}`} />
      {first && last && <path class="area" d={`M${first.x} ${HEIGHT}L${line}L${last.x} ${HEIGHT}z`} />}
      <path class="curve" d={`M${line}`} />
      {failures.length > 0 && <path class="failure" d={failures.join("")} />}
      {last && <path class="newest" d={`M${last.x} ${last.y}h0`} />}
    </>
  );
};

/** A good backup has a value, which may be unknown; a failed one has none. */
export function sparkPoints(
  backups: readonly BackupPoint[],
  value: (point: BackupPoint) => number | null,
): SparkPoint[] {
  return backups.map((point) => ({ at: point.started_at, value: isGood(point) ? value(point) : null }));
}

function isGood({ status }: BackupPoint): boolean {
  return status === "VERIFIED" || status === "PARTIAL";
}
