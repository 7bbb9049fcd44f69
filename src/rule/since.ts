import { isAhead } from "../base/newest-good.ts";
import type { Mark } from "./facts.ts";

/** A mark as it was recorded when it last changed its state. */
export interface MarkRecord {
  rule: string;
  state: string;
  since: string;
}

/** A mark, and since when it has been in its state. */
export type DatedMark = Mark & { since: string };

/**
 * Dates the marks of a database by the records of the last judgement. A mark that has just changed dates from now; one
 * that was lost because time passed dates from that moment, also if nobody looked for a while.
 */
export function dated(marks: readonly Mark[], before: readonly MarkRecord[], now: Date): DatedMark[] {
  return marks.map((mark) => {
    const known = before.find(({ rule }) => rule === mark.rule);
    return { ...mark, since: sinceOf(mark, known, now) };
  });
}

function sinceOf({ state, lost_at }: Mark, known: MarkRecord | undefined, now: Date): string {
  const before = known && new Date(known.since);
  // A record from the future: the clock was ahead.
  if (before && isAhead(before, now)) return now.toISOString();
  if (before && known.state === state) return known.since;
  if (lost_at === null || lost_at > now) return now.toISOString();
  return (before && lost_at < before ? before : lost_at).toISOString();
}

/** Whether the records of a database differ from its marks. */
export function hasChanged(marks: readonly MarkRecord[], before: readonly MarkRecord[]): boolean {
  return (
    marks.length !== before.length ||
    marks.some(
      ({ rule, state, since }) =>
        !before.some((known) => known.rule === rule && known.state === state && known.since === since),
    )
  );
}
