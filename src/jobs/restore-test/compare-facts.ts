import { plural } from "../../base/text/amounts.ts";
import type { RestoreTestCheck } from "../../catalog/records.ts";
import type { DumpFacts, ObjectNumbers, PartOfTable, TableCount } from "../../postgres/counts/facts.ts";
import { isBetween, totalsOf } from "../../postgres/counts/facts.ts";
import type { LeftOutOfDump } from "../../postgres/counts/left-out.ts";
import { messageKind } from "../../postgres/message-kind.ts";
import { listOf } from "./checks.ts";
import type { Tolerated } from "./tolerated.ts";

/** The checks that compare what was restored with what was in the dump's snapshot; few without recorded facts. */
export function factChecks(
  recorded: DumpFacts | undefined,
  restored: DumpFacts,
  tolerated: Tolerated,
): RestoreTestCheck[] {
  const objects =
    recorded?.numbers && restored.numbers ? [objectCheck(recorded.numbers, restored.numbers, tolerated)] : [];
  return [
    rowCheck(recorded, restored, tolerated),
    ...(recorded ? [sequenceCheck(recorded, restored, tolerated)] : []),
    ...objects,
    partCheck("indexes", "invalid", recorded?.invalid_indexes ?? [], restored.invalid_indexes),
    ...(recorded
      ? [
          partCheck(
            "constraints",
            "not validated",
            recorded.unvalidated_constraints,
            restored.unvalidated_constraints,
          ),
        ]
      : []),
  ];
}

function rowCheck(
  recorded: DumpFacts | undefined,
  restored: DumpFacts,
  tolerated: Tolerated,
): RestoreTestCheck {
  const found = totalText(restored);
  if (!recorded)
    return {
      ...{ name: "rows", is_ok: true, expected: null, found },
      detail: "the numbers of rows were not recorded at the backup, so only pg_restore's result counts",
    };
  const there = new Map(restored.tables.map((table) => [nameOf(table), table]));
  const wrong: string[] = [];
  const unknown: string[] = [];
  let compared = 0;
  for (const table of recorded.tables) {
    const name = nameOf(table);
    const other = there.get(name);
    there.delete(name);
    if (tolerated.tables.has(name)) continue;
    if (table.rows !== null) compared++;
    if (table.rows === null) unknown.push(`${name} (${messageKind(table.why ?? "")})`);
    else if (!other)
      wrong.push(`${name}: ${plural(table.rows, "row")} at the backup, the table was not restored`);
    else if (other.rows === null)
      wrong.push(`${name}: could not be counted: ${messageKind(other.why ?? "")}`);
    else if (Math.abs(other.rows - table.rows) > (table.margin ?? 0))
      wrong.push(rowText(name, table, other.rows));
  }
  const others = [...there.values()].filter((table) => !isLeftEmpty(table, recorded.left_out));
  wrong.push(...othersText(others, recorded));
  if (recorded.problem !== null) unknown.push(messageKind(recorded.problem));
  const details = [
    ...(wrong.length > 0 ? [listOf(wrong)] : []),
    ...(unknown.length > 0 ? [`not counted at the backup: ${listOf(unknown)}`] : []),
  ];
  return {
    ...{ name: "rows", is_ok: wrong.length === 0, found },
    // Without any count there was nothing to expect.
    expected: compared === 0 && unknown.length > 0 ? null : totalText(recorded),
    detail: details.length > 0 ? details.join("; ") : null,
  };
}

/** Whether the config left the rows of a table out of the dump, and none came back. */
function isLeftEmpty({ schema, name, rows }: TableCount, left: LeftOutOfDump | undefined): boolean {
  if (left === undefined || rows !== 0) return false;
  if (left.schema_only || left.rows_of_omitted > 0) return true;
  return left.rows_of.some((one) => one.schema === schema && one.name === name);
}

function rowText(name: string, { rows, method, margin }: TableCount, found: number): string {
  const about =
    method === "sampled" ? `about ${plural(rows ?? 0, "row")} (± ${margin})` : plural(rows ?? 0, "row");
  return `${name}: ${about} at the backup, ${found.toLocaleString("en")} restored`;
}

/** Tables that the facts do not list: those that were left out of the list for room, or too many. */
function othersText(others: readonly TableCount[], { omitted, problem }: DumpFacts): string[] {
  if (omitted && omitted.tables > 0) {
    const rows = others.reduce((sum, table) => sum + (table.rows ?? 0), 0);
    if (omitted.rows === null || omitted.rows === rows) return [];
    return [
      `${plural(omitted.tables, "other table")}: ${plural(omitted.rows, "row")} at the backup, ${rows.toLocaleString("en")} restored`,
    ];
  }
  // Counts that ended early may not list every table.
  if (problem !== null) return [];
  return others.map(
    (table) => `${nameOf(table)}: ${plural(table.rows ?? 0, "row")} restored, but it was not in the backup`,
  );
}

function totalText(facts: DumpFacts): string {
  const { rows, tables } = totalsOf(facts);
  return `${plural(rows, "row")} in ${plural(tables, "table")}`;
}

function sequenceCheck(recorded: DumpFacts, restored: DumpFacts, tolerated: Tolerated): RestoreTestCheck {
  const there = new Map(restored.sequences.map((one) => [nameOf(one), one.after]));
  const wrong: string[] = [];
  let unknown = 0;
  for (const reading of recorded.sequences) {
    if (tolerated.sequences.has(nameOf(reading))) continue;
    const found = there.get(nameOf(reading));
    const between = found && isBetween(found, reading);
    if (!found) wrong.push(`${nameOf(reading)}: not restored`);
    else if (between === undefined) unknown++;
    else if (!between)
      wrong.push(
        `${nameOf(reading)}: from ${reading.before?.last_value} to ${reading.after?.last_value} at the backup, ${found.last_value} restored`,
      );
  }
  const details = [
    ...(wrong.length > 0 ? [listOf(wrong)] : []),
    ...(unknown > 0 ? [`${plural(unknown, "sequence")} not read at the backup`] : []),
  ];
  return {
    ...{ name: "sequences", is_ok: wrong.length === 0 },
    expected: plural(recorded.sequences.length, "sequence"),
    found: plural(restored.sequences.length, "sequence"),
    detail: details.length > 0 ? details.join("; ") : null,
  };
}

function objectCheck(
  recorded: ObjectNumbers,
  restored: ObjectNumbers,
  { numbers: tolerated }: Tolerated,
): RestoreTestCheck {
  const kinds = Object.keys(recorded) as (keyof ObjectNumbers)[];
  const wrong = kinds.filter((kind) => {
    const missing = recorded[kind] - restored[kind];
    return missing < 0 || missing > (tolerated[kind] ?? 0);
  });
  const textOf = (numbers: ObjectNumbers) =>
    kinds.map((kind) => `${words(kind)} ${numbers[kind]}`).join(", ");
  const detail = wrong.map(
    (kind) => `${words(kind)}: ${recorded[kind]} at the backup, ${restored[kind]} restored`,
  );
  return {
    ...{ name: "objects", is_ok: wrong.length === 0, expected: textOf(recorded), found: textOf(restored) },
    detail: detail.length > 0 ? detail.join("; ") : null,
  };
}

const words = (kind: string) => kind.replaceAll("_", " ");

/** Nothing may be invalid that was valid in the source. */
function partCheck(
  name: "indexes" | "constraints",
  state: string,
  before: readonly PartOfTable[],
  after: readonly PartOfTable[],
): RestoreTestCheck {
  const known = new Set(before.map(partName));
  const wrong = after.map(partName).filter((part) => !known.has(part));
  return {
    ...{
      name,
      is_ok: wrong.length === 0,
      expected: `0 newly ${state}`,
      found: `${wrong.length} newly ${state}`,
    },
    detail: wrong.length > 0 ? `${state}: ${listOf(wrong)}` : null,
  };
}

const nameOf = ({ schema, name }: { schema: string; name: string }) => `${schema}.${name}`;
const partName = ({ schema, table, name }: PartOfTable) => `${name} of ${schema}.${table}`;
