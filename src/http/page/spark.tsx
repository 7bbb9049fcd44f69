import { plural } from "../../base/text/amounts.ts";
import type { BackupPoint } from "../../catalog/overview.ts";
import type { Page } from "./elements.tsx";

const WIDTH = 160;
const HEIGHT = 40;
/** Space for half the width of the line. */
const MARGIN = 3;

export interface SparkInput {
  /** Unique in the page. */
  id: string;
  /** `Size`, `Duration`. */
  name: string;
  /** The finished backups, oldest first. */
  points: readonly BackupPoint[];
  value: (point: BackupPoint) => number | null;
  text: (value: number) => string;
  page: Page;
}

/**
 * The last backups as a small chart: a line on an axis that starts at zero, so that half the height is half the
 * value, and a mark at the bottom for each failed backup.
 */
export const Spark = ({ id, name, points, value, text, page }: SparkInput) => {
  const values = points.map((point) => (isGood(point) ? value(point) : null));
  const known = values.filter((one) => one !== null);
  const newest = known.at(-1);
  const [first] = points;
  if (newest === undefined || first === undefined) return null;
  const failed = points.filter((point) => !isGood(point)).length;
  const range = `from ${text(Math.min(...known))} to ${text(Math.max(...known))}, newest ${text(newest)}`;
  const failures = failed === 0 ? "" : `; ${failed} failed`;
  const since = page.times.absolute(first.started_at);
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
        <title id={`${id}-title`}>{`${name} of the last ${plural(points.length, "backup")}`}</title>
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

function isGood({ status }: BackupPoint): boolean {
  return status === "VERIFIED" || status === "PARTIAL";
}
