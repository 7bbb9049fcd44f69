import { plural } from "../../base/text/amounts.ts";
import { isEndedByHand } from "../../base/text/states.ts";
import { visibleData } from "../../base/text/visible.ts";
import { timeTitle, wallTime } from "../../base/text/zoned-time.ts";
import type { BackupFilter, Catalog } from "../../catalog/catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { TombstoneRecord } from "../../catalog/records.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { warningsOf } from "../../postgres/program-messages.ts";
import type { ListedBackup } from "../../status/list-backups.ts";
import { listBackups } from "../../status/list-backups.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, UTC_OPTION } from "../command.ts";
import { LIMIT_DEFAULT, LIST_OPTIONS, listFilter } from "../list-filter.ts";
import { commandConfig } from "../open-context.ts";
import { copyList } from "../output/copy-list.ts";
import { backupJson } from "../output/json.ts";
import type { Output } from "../output/output.ts";
import { ageText, jsonText, sizeText, table } from "../output/output.ts";
import { colouredBackup, originText } from "../output/status-colour.ts";
import {
  namesIn,
  PLACE_OPTIONS,
  placeOf,
  refuseUnknown,
  refuseUnknownHost,
  refuseUnknownStorage,
} from "../place-options.ts";

export const command: Command = {
  usage: "",
  description:
    "Newest first, from the catalog; asks no storage. Backups dated more than an hour ahead of the clock come last.",
  options: {
    ...PLACE_OPTIONS,
    ...LIST_OPTIONS,
    removed: { type: "boolean", help: "list removed backups instead, and what removed each" },
    utc: UTC_OPTION,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 list", explanation: "the newest 50" },
    {
      command: "pg321 list -d app --status FAILED --json",
      explanation: "failed backups of a database, as JSON",
    },
    { command: "pg321 list --since 7d --storage r2 --state missing", explanation: "copies that r2 has lost" },
    { command: "pg321 list --offset 50", explanation: "the 50 after those" },
  ],
  positionals: { min: 0, max: 0 },
  conflicts: [
    { options: ["status", "removed"], why: "a removed backup has no status" },
    { options: ["storage", "removed"], why: "a removed backup has no copies" },
    { options: ["state", "removed"], why: "a removed backup has no copies" },
    { options: ["host", "removed"], why: "the history does not say which host made a removed backup" },
  ],
  async run(invocation) {
    const { arguments: args, output, clock, log } = invocation;
    const config = await commandConfig(invocation, { setsAside: true });
    const { filter, status } = listFilter(args, clock.now(), output.style.timezone ?? "UTC");
    await using catalog = await openCatalog(config.catalog, { clock, log });
    const names = namesIn(args);
    const wanted = { ...filter, ...(await placeOf("list", names, { catalog, clock, config })) };
    if (filter.copy?.storage !== undefined) await refuseUnknownStorage(filter.copy.storage, config, catalog);
    if (filter.host !== undefined) await refuseUnknownHost(filter.host, config, catalog);
    if (isSet(args, "removed")) {
      const { status: _, copy: __, host: ___, ...ofTombstones } = wanted;
      const removed = await catalog.tombstones(ofTombstones);
      if (removed.length === 0) await refuseUnknown(names, { catalog, clock, config });
      if (isSet(args, "json")) output.print(jsonText({ removed }));
      else
        output.print(removed.length === 0 ? "no removed backups" : removedText(visibleData(removed), output));
      return 0;
    }
    const found = await listBackups({ catalog, clock, config, host: config.fleet.host }, wanted);
    if (found.length === 0) await refuseUnknown(names, { catalog, clock, config });
    const rows = found.filter(({ backup }) => status === undefined || backup.status === status);
    if (isSet(args, "json")) output.print(jsonText({ backups: rows.map(backupJson) }));
    else if (rows.length === 0) await printNone(catalog, output);
    else {
      output.print(textOf(visibleData(rows), output, clock.now()));
      if (found.length === wanted.limit && output.isTerminal) await noteRest(catalog, wanted, output);
    }
    return 0;
  },
};

/** A person sees that there are more, and how to see them. */
async function noteRest(
  catalog: Catalog,
  { limit, offset, ...wanted }: BackupFilter & { limit: number; offset: number },
  output: Output,
): Promise<void> {
  const total = await catalog.countBackups(wanted);
  const next = offset + limit;
  if (total <= next) return;
  const pages = limit === LIMIT_DEFAULT ? "" : ` -n ${limit}`;
  output.note(
    `backups ${offset + 1} to ${next} of ${total.toLocaleString("en")}; more with${pages} --offset ${next}`,
  );
}

/** A lost catalog looks like a new one, so an empty catalog also gets the hint how to restore its records. */
async function printNone(catalog: Catalog, output: Output): Promise<void> {
  output.print("no backups");
  if ((await catalog.backups({ limit: 1 })).length > 0) return;
  output.note(
    "the catalog has no backups; if it was lost, pg321 cleanup --adopt adds the backups in the storages to it",
  );
}

function textOf(rows: readonly ListedBackup[], { style }: Output, now: Date): string {
  const hostOf = ({ backup }: ListedBackup) => backup.host ?? "-";
  // Of one host alone, it would be the same in every row.
  const hasHosts = new Set(rows.flatMap(({ backup }) => backup.host ?? [])).size > 1;
  return table(
    rows,
    [
      { title: "ID", cell: ({ backup }) => shortId(backup.id) },
      { title: "DATABASE", isName: true, cell: ({ backup }) => backupName(backup) },
      ...(hasHosts ? [{ title: "HOST", isName: true, cell: hostOf }] : []),
      { title: timeTitle("STARTED", style), cell: ({ backup }) => wallTime(backup.started_at, style) },
      {
        title: "AGE",
        cell: ({ backup }) => ageText(now.getTime() - Date.parse(backup.started_at)),
        align: "right",
      },
      {
        title: "STATUS",
        cell: (row) =>
          colouredBackup(row.backup, style) + originText(row) + warningsText(row.backup.stderr_tail, style),
      },
      { title: "DUMP", cell: ({ backup }) => sizeText(backup.dump_bytes), align: "right" },
      { title: "STORED", cell: ({ backup }) => sizeText(backup.object_bytes), align: "right" },
      {
        title: "COPIES",
        // Deleted copies are no problem and no longer of interest, nor are those that a person did not let end.
        cell: ({ backup, copies }) =>
          copyList(
            copies.filter(
              ({ state }) => state !== "DELETED" && !(state === "FAILED" && isEndedByHand(backup)),
            ),
            style,
            now,
          ),
      },
    ],
    style,
  );
}

/** The number of pg_dump's warnings; `show` prints them. */
function warningsText(stderrTail: string | null, style: Output["style"]): string {
  const { length } = warningsOf(stderrTail);
  return length === 0 ? "" : `, ${style.warn(plural(length, "warning"))}`;
}

function removedText(rows: readonly TombstoneRecord[], { style }: Output): string {
  return table(
    rows,
    [
      { title: "ID", cell: (row) => shortId(row.backup_id) },
      { title: "DATABASE", isName: true, cell: (row) => backupName(row) },
      { title: timeTitle("STARTED", style), cell: (row) => wallTime(row.started_at, style) },
      { title: "STORED", cell: (row) => sizeText(row.object_bytes), align: "right" },
      { title: timeTitle("REMOVED", style), cell: (row) => wallTime(row.removed_at, style) },
      { title: "BY", cell: (row) => row.removed_by },
    ],
    style,
  );
}
