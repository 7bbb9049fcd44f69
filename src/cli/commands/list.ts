import { hostname } from "node:os";
import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { backupStatusOf, isEndedByHand } from "../../base/text/states.ts";
import { visibleData } from "../../base/text/visible.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { BackupStatus, TombstoneRecord } from "../../catalog/records.ts";
import { namedDatabase } from "../../config/database-pattern.ts";
import { findDatabase, knownServers, requireServer } from "../../jobs/copies/find-database.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { warningsOf } from "../../postgres/program-messages.ts";
import type { ListedBackup } from "../../status/list-backups.ts";
import { listBackups } from "../../status/list-backups.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, textOption } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { copyList } from "../output/copy-list.ts";
import { backupJson } from "../output/json.ts";
import type { Output } from "../output/output.ts";
import { ageText, jsonText, sizeText, table } from "../output/output.ts";
import { colouredBackup, originText } from "../output/status-colour.ts";
import { choiceOption, integerOption } from "../parse.ts";

const STATUSES: readonly BackupStatus[] = ["RUNNING", "VERIFIED", "PARTIAL", "FAILED", "INTERRUPTED"];

export const command: Command = {
  usage: "",
  description:
    "Newest first, from the catalog; asks no storage. Backups dated more than an hour ahead of the clock come last.",
  options: {
    database: {
      type: "string",
      short: "d",
      value: "NAME",
      help: "only backups of this database: NAME, or SERVER/NAME",
    },
    server: { type: "string", short: "s", value: "NAME", help: "only backups of this server" },
    status: {
      type: "string",
      value: "STATUS",
      help: "RUNNING, VERIFIED (shown as complete), PARTIAL, FAILED or INTERRUPTED",
    },
    limit: { type: "string", short: "n", value: "N", help: "at most N backups (default 50)" },
    removed: { type: "boolean", help: "list removed backups instead, and what removed each" },
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 list", explanation: "the newest 50" },
    {
      command: "pg321 list -d app --status FAILED --json",
      explanation: "failed backups of a database, as JSON",
    },
  ],
  positionals: { min: 0, max: 0 },
  conflicts: [{ options: ["status", "removed"], why: "a removed backup has no status" }],
  async run(invocation) {
    const { arguments: args, output, clock, log } = invocation;
    const config = await commandConfig(invocation, { setsAside: true });
    const status = choiceOption("list", "--status", statusIn(textOption(args, "status")), STATUSES);
    const limit = integerOption("list", "limit", textOption(args, "limit"), { min: 1, max: 1_000_000 }) ?? 50;
    await using catalog = await openCatalog(config.catalog, { clock, log });
    const names = { database: textOption(args, "database"), server: textOption(args, "server") };
    const wanted = { limit, ...(await placeOf(names, { catalog, clock, config })) };
    if (isSet(args, "removed")) {
      const removed = await catalog.tombstones(wanted);
      if (removed.length === 0) await refuseUnknown(names, { catalog, clock, config });
      if (isSet(args, "json")) output.print(jsonText({ removed }));
      else
        output.print(removed.length === 0 ? "no removed backups" : removedText(visibleData(removed), output));
      return 0;
    }
    // A backup that is RUNNING in the catalog may turn out to be INTERRUPTED, so INTERRUPTED reads both.
    const asked =
      status === "INTERRUPTED" ? (["INTERRUPTED", "RUNNING"] as const) : status && ([status] as const);
    const found = await listBackups(
      { catalog, clock, config, host: hostname() },
      { ...wanted, ...(asked && { status: asked }) },
    );
    if (found.length === 0) await refuseUnknown(names, { catalog, clock, config });
    const rows = found.filter(({ backup }) => status === undefined || backup.status === status);
    if (isSet(args, "json")) output.print(jsonText({ backups: rows.map(backupJson) }));
    else if (rows.length === 0) await printNone(catalog, output);
    else output.print(textOf(visibleData(rows), output, clock.now()));
    return 0;
  },
};

/** The status as the records have it; the table's word for it (`complete`) is accepted too. */
function statusIn(written: string | undefined): string | undefined {
  return written === undefined ? undefined : backupStatusOf(written);
}

interface Names {
  database: string | undefined;
  server: string | undefined;
}

type Lookup = Parameters<typeof findDatabase>[0];

/** The database and server in `-d` and `-s`; `-d` may name both. */
async function placeOf({ database: word, server: of }: Names, lookup: Lookup) {
  const named = word === undefined ? undefined : namedDatabase(word, await knownServers(lookup));
  const server = of ?? named?.server;
  if (named?.server !== undefined && server !== named.server)
    throw new Pg321Error(
      "usage",
      `list: --database is of server "${named.server}", but --server is "${server}"`,
      {
        hint: "leave out --server",
      },
    );
  return { ...(named && { database: named.database }), ...(server !== undefined && { server }) };
}

/** Throws code `usage` for a database or server that nobody knows: it is misspelt. */
async function refuseUnknown({ database, server }: Names, lookup: Lookup): Promise<void> {
  if (server !== undefined) await requireServer(lookup, server);
  if (database !== undefined) await findDatabase(lookup, database);
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
  return table(
    rows,
    [
      { title: "ID", cell: ({ backup }) => shortId(backup.id) },
      { title: "DATABASE", cell: ({ backup }) => backupName(backup) },
      { title: "STARTED (UTC)", cell: ({ backup }) => backup.started_at.slice(0, 19).replace("T", " ") },
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
  const time = (text: string) => text.slice(0, 19).replace("T", " ");
  return table(
    rows,
    [
      { title: "ID", cell: (row) => shortId(row.backup_id) },
      { title: "DATABASE", cell: (row) => backupName(row) },
      { title: "STARTED (UTC)", cell: (row) => time(row.started_at) },
      { title: "STORED", cell: (row) => sizeText(row.object_bytes), align: "right" },
      { title: "REMOVED (UTC)", cell: (row) => time(row.removed_at) },
      { title: "BY", cell: (row) => row.removed_by },
    ],
    style,
  );
}
