import { plural } from "../../base/text/amounts.ts";
import { timeTitle, wallTime } from "../../base/text/zoned-time.ts";
import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { FactsComparison, TableChange } from "../../postgres/counts/compare.ts";
import { growthText, type Style, sizeText, table } from "./output.ts";

/** One of two backups that are compared. */
export interface DiffSide
  extends Pick<
    BackupRecord,
    "id" | "server" | "database" | "kind" | "status" | "started_at" | "dump_bytes" | "object_bytes"
  > {
  /** Tables with data in the dump, and their rows; null: not counted. */
  tables: number | null;
  rows: number | null;
  /** Whether every table was counted exactly. */
  is_complete: boolean;
}

/** The output of `diff --json`. */
export interface DiffReport {
  before: DiffSide;
  after: DiffSide;
  warnings: string[];
  /** Numbers of tables; null if one of the backups has no counts. */
  tables: Record<"added" | "removed" | "changed" | "unknown" | "unchanged", number> | null;
  numbers: FactsComparison["numbers"];
  differences: (TableChange & { rows_change: number | null; bytes_change: number | null })[];
}

const SIGNS = { added: "+", removed: "-", changed: "~", unknown: "?" } as const;

/** Both backups beside each other, then the tables that differ, then how many do. Strings must be `visible`. */
export function diffText(report: DiffReport, style: Style): string {
  const parts = [sidesTable(report, style)];
  if (report.differences.length > 0) parts.push(changesTable(report.differences, style));
  if (report.tables !== null) parts.push(sumLine(report.tables));
  return parts.join("\n\n");
}

interface Line {
  name: string;
  before: string;
  after: string;
  change: string;
}

function sidesTable({ before, after, numbers }: DiffReport, style: Style): string {
  const size = (name: string, one: number | null, other: number | null): Line => ({
    ...{ name, before: sizeText(one), after: sizeText(other) },
    change: one === null || other === null ? "-" : growthText(other - one),
  });
  const count = (name: string, one: number | null, other: number | null): Line => ({
    ...{ name, before: countOf(one), after: countOf(other) },
    change: one === null || other === null ? "-" : signed(other - one),
  });
  const about = (side: DiffSide) => (side.rows === null || side.is_complete ? "" : "about ");
  const rows = count("rows", before.rows, after.rows);
  const lines: Line[] = [
    { name: "backup", before: shortId(before.id), after: shortId(after.id), change: "" },
    { name: "database", before: backupName(before), after: backupName(after), change: "" },
    {
      name: timeTitle("started", style),
      ...{ before: wallTime(before.started_at, style), after: wallTime(after.started_at, style), change: "" },
    },
    size("dump", before.dump_bytes, after.dump_bytes),
    size("stored", before.object_bytes, after.object_bytes),
    count("tables with rows", before.tables, after.tables),
    { ...rows, before: about(before) + rows.before, after: about(after) + rows.after },
    ...numbers.map((one) => count(one.name.replaceAll("_", " "), one.before, one.after)),
  ];
  return table(
    lines,
    [
      { title: "", cell: ({ name }) => name },
      { title: "BEFORE", cell: (line) => line.before, align: "right" },
      { title: "AFTER", cell: (line) => line.after, align: "right" },
      { title: "CHANGE", cell: (line) => line.change, align: "right" },
    ],
    style,
  );
}

function changesTable(differences: DiffReport["differences"], style: Style): string {
  const hasSizes = differences.some((one) => one.bytes_before !== null || one.bytes_after !== null);
  const hasNotes = differences.some(({ note }) => note !== null);
  type Difference = DiffReport["differences"][number];
  return table(
    differences,
    [
      {
        title: "TABLE",
        isName: true,
        cell: (one) => `${coloured(one.change, style)} ${one.schema}.${one.name}`,
      },
      { title: "ROWS BEFORE", cell: (one) => countOf(one.rows_before), align: "right" },
      { title: "ROWS AFTER", cell: (one) => countOf(one.rows_after), align: "right" },
      {
        title: "CHANGE",
        cell: (one) => (one.is_estimated ? "about " : "") + signed(one.rows_change),
        align: "right",
      },
      ...(hasSizes
        ? [
            {
              title: "SIZE",
              cell: (one: Difference) => sizeText(one.bytes_after ?? one.bytes_before),
              align: "right" as const,
            },
            {
              title: "CHANGE",
              cell: (one: Difference) => growthText(one.bytes_change),
              align: "right" as const,
            },
          ]
        : []),
      ...(hasNotes ? [{ title: "NOTE", cell: ({ note }: Difference) => note ?? "" }] : []),
    ],
    style,
  );
}

function coloured(change: TableChange["change"], style: Style): string {
  const sign = SIGNS[change];
  if (change === "added") return style.good(sign);
  return change === "removed" ? style.bad(sign) : style.warn(sign);
}

function countOf(value: number | null): string {
  return value === null ? "-" : value.toLocaleString("en");
}

function signed(value: number | null): string {
  if (value === null) return "-";
  return value === 0 ? "±0" : `${value > 0 ? "+" : "-"}${Math.abs(value).toLocaleString("en")}`;
}

/** `1 table added, 2 changed, 10 unchanged` */
function sumLine(tables: NonNullable<DiffReport["tables"]>): string {
  const parts = Object.entries(tables).filter(([name, count]) => count > 0 || name === "unchanged");
  return parts
    .map(
      ([name, count], index) =>
        `${index === 0 ? plural(count, "table") : count.toLocaleString("en")} ${name}`,
    )
    .join(", ");
}
