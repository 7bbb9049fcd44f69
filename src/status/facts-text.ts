import { durationText, plural } from "../base/text/amounts.ts";
import type { DumpFacts } from "../postgres/counts/facts.ts";
import { totalsOf } from "../postgres/counts/facts.ts";

/** Tables that were not counted, with the reasons; the numbers are complete. */
const TABLES_SHOWN_MAX = 5;

/** What was counted in a dump: the sums, then the tables that were not counted, and why. */
export function factsText(facts: DumpFacts): string[] {
  const { rows, tables, exact, sampled, not_counted } = totalsOf(facts);
  if (facts.problem !== null && tables === 0) return [`not counted: ${facts.problem}`];
  const methods = [
    ...(sampled > 0 ? [`${plural(sampled, "table")} estimated from a sample`] : []),
    ...(not_counted > 0 ? [`${plural(not_counted, "table")} not counted`] : []),
  ];
  const sum = `${sampled > 0 ? "about " : ""}${plural(rows, "row")} in ${plural(tables, "table")}`;
  const how =
    methods.length === 0 ? "every row counted" : [`${exact} counted exactly`, ...methods].join(", ");
  const missed = facts.tables.filter(({ method }) => method === "not_counted").slice(0, TABLES_SHOWN_MAX);
  return [
    `${sum}: ${how}`,
    ...(facts.problem === null ? [] : [facts.problem]),
    ...missed.map(({ schema, name, why }) => `${schema}.${name}: ${why}`),
  ];
}

/** When the dump's snapshot was taken, and where in the WAL. */
export function momentText({ moment }: DumpFacts): string | null {
  if (!moment) return null;
  const { taken_at, lsn, timeline, is_standby, lag_ms, group } = moment;
  return [
    `${taken_at} by the server's clock`,
    ...(lsn === null ? [] : [`WAL ${lsn}`]),
    ...(timeline === null ? [] : [`timeline ${timeline}`]),
    ...(is_standby ? [`on a standby${lag_ms == null ? "" : `, ${durationText(lag_ms)} behind`}`] : []),
    ...(group === undefined
      ? []
      : [`together with the other databases of the server (group ${group.slice(0, 8)})`]),
  ].join(", ");
}
