import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { visibleData } from "../../base/text/visible.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import { findBackup } from "../../jobs/copies/find-backup.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { compareFacts } from "../../postgres/counts/compare.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { parseFacts, totalsOf } from "../../postgres/counts/facts.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, UTC_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import type { DiffReport, DiffSide } from "../output/diff-text.ts";
import { diffText } from "../output/diff-text.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "ID [ID]",
  description:
    "Compares the tables, rows and sizes that were recorded when the backups were made; reads no backup. With one ID,\n" +
    "compares it with the good backup before it. Equal numbers do not mean equal contents.",
  options: {
    "exit-code": { type: "boolean", help: "exit 3 if they differ, or if that is not known" },
    utc: UTC_OPTION,
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "pg321 diff 3f2a 9c41",
      explanation: "what was added, removed and changed from one to the other",
    },
    { command: "pg321 diff 9c41", explanation: "what has changed since the backup before it" },
  ],
  positionals: { min: 1, max: 2, values: [{ live: ["backup"] }] },
  async run(invocation) {
    const { arguments: args, output, clock, log } = invocation;
    const config = await commandConfig(invocation, { setsAside: true });
    await using catalog = await openCatalog(config.catalog, { clock, log });
    const [first = "", second] = args.positionals;
    const one = await findBackup({ catalog, clock }, first);
    const [before, after] =
      second === undefined
        ? [await previousOf(catalog, one), one]
        : [one, await findBackup({ catalog, clock }, second)];
    const report = diffReport(before, after);
    if (isSet(args, "json")) output.print(jsonText(report));
    else {
      for (const warning of report.warnings) output.note(`warning: ${warning}`);
      output.print(diffText(visibleData(report), output.style));
    }
    const isSame = report.tables !== null && report.differences.length + report.numbers.length === 0;
    return isSet(args, "exit-code") && !isSame ? EXIT_CODES.partial : EXIT_CODES.ok;
  },
};

/** Throws code `usage` if the catalog has no earlier one. */
async function previousOf(catalog: Catalog, backup: BackupRecord): Promise<BackupRecord> {
  const known = backup.previous_id === null ? undefined : await catalog.backup(backup.previous_id);
  if (known) return known;
  const { server, database, id } = backup;
  const status = ["VERIFIED", "PARTIAL"] as const;
  const found = await catalog.backups({ server, database, status, startedBy: backup.started_at, limit: 2 });
  const earlier = found.find((one) => one.id !== id);
  if (earlier) return earlier;
  throw new Pg321Error(
    "usage",
    `diff: no good backup of ${backupName(backup)} before ${shortId(id)} is known`,
    {
      hint: "name two backups: pg321 diff ID ID",
    },
  );
}

function diffReport(before: BackupRecord, after: BackupRecord): DiffReport {
  const facts = [before, after].map((backup) => countsOf(backup)) as [Counts, Counts];
  const [one, other] = facts;
  const compared =
    one.facts && other.facts
      ? compareFacts(one.facts, other.facts)
      : { changes: [], unchanged: 0, numbers: [] };
  const number = (kind: string) => compared.changes.filter(({ change }) => change === kind).length;
  const isCompared = one.facts !== undefined && other.facts !== undefined;
  return {
    before: sideOf(before, one),
    after: sideOf(after, other),
    warnings: warningsFor([before, after], facts),
    tables: isCompared
      ? {
          ...{ added: number("added"), removed: number("removed"), changed: number("changed") },
          ...{ unknown: number("unknown"), unchanged: compared.unchanged },
        }
      : null,
    numbers: compared.numbers,
    differences: compared.changes.map(({ note, ...change }) => ({
      ...change,
      rows_change: differenceOf(change.rows_before, change.rows_after, change.change),
      bytes_change: differenceOf(change.bytes_before, change.bytes_after, change.change),
      note,
    })),
  };
}

/** A table that is not there has no rows. Null if one of the numbers is not known. */
function differenceOf(before: number | null, after: number | null, change: string): number | null {
  if (change === "added" && after !== null) return after;
  if (change === "removed" && before !== null) return -before;
  return before === null || after === null ? null : after - before;
}

type Counts = { facts: DumpFacts; why?: undefined } | { facts?: undefined; why: string };

function countsOf(backup: BackupRecord): Counts {
  if (backup.kind === "globals") return { why: "holds the globals of a server, which have no tables" };
  if (backup.facts === null) return { why: "has no counts" };
  const facts = parseFacts(backup.facts);
  if (!facts) return { why: "has counts that this version does not understand" };
  if (facts.tables.length === 0 && facts.problem !== null) return { why: `has no counts: ${facts.problem}` };
  return { facts };
}

function warningsFor(
  [before, after]: readonly [BackupRecord, BackupRecord],
  [one, other]: readonly [Counts, Counts],
): string[] {
  const [name, otherName] = [backupName(before), backupName(after)];
  const missing = [
    { backup: before, why: one.why },
    { backup: after, why: other.why },
  ].flatMap(({ backup, why }) =>
    why === undefined
      ? []
      : [`backup ${shortId(backup.id)} ${why}; only the sizes of the backups are compared`],
  );
  const selections = [one, other].map(({ facts }) => facts?.left_out?.key ?? "");
  return [
    ...(name === otherName ? [] : [`the backups are of different databases: ${name} and ${otherName}`]),
    ...missing,
    ...(missing.length === 0 && selections[0] !== selections[1]
      ? ["the config selected different parts of the database for the two dumps"]
      : []),
  ];
}

function sideOf(backup: BackupRecord, { facts }: Counts): DiffSide {
  const { id, server, database, kind, status, started_at, dump_bytes, object_bytes } = backup;
  const totals = facts && totalsOf(facts);
  return {
    ...{ id, server, database, kind, status, started_at, dump_bytes, object_bytes },
    ...{ tables: totals?.tables ?? null, rows: totals?.rows ?? null },
    is_complete: totals !== undefined && totals.sampled + totals.not_counted === 0,
  };
}
