import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { backupName } from "../../catalog/globals.ts";
import { parseSize } from "../../config/units.ts";
import { findBackup, requireStorage } from "../../jobs/copies/find-backup.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { LongList } from "../../jobs/long-list.ts";
import { chooseBackups, type Sample } from "../../jobs/verify/choose.ts";
import type { CopyVerdict } from "../../jobs/verify/report.ts";
import { runVerify } from "../../jobs/verify/verify.ts";
import type { Arguments, Command } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOption, textOptions } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { printParts, visiblePages } from "../output/long-output.ts";
import { hintLines } from "../output/outcome-table.ts";
import type { Output } from "../output/output.ts";
import { longJson, longTable, sizeText } from "../output/output.ts";
import { colouredStatus } from "../output/status-colour.ts";

export const command: Command = {
  usage: "[ID…]",
  description:
    "Reads each copy in full and checks its manifest, its SHA-256 and, if this host has the identity, every sealed\n" +
    "segment, the compression and the dump, which pg_restore reads to its end. Without an id it checks the newest good backup of each database, as the schedule\n" +
    "does, and first prints how much it will read. Exit 14 if a copy is damaged or missing, 12 if no key of this host\n" +
    "opens a copy, 13 if a storage did not answer.",
  options: {
    all: {
      type: "boolean",
      help: "every backup, not only the newest ones (a provider may charge for reading)",
    },
    database: {
      type: "string",
      short: "d",
      multiple: true,
      value: "NAME",
      help: "only backups of this database: NAME, or SERVER/NAME (may be repeated)",
      values: { live: ["database"] },
    },
    storage: {
      type: "string",
      value: "NAME",
      help: "only the copies in this storage",
      values: { live: ["storage"] },
    },
    sample: {
      type: "string",
      value: "N|P%",
      help: "only N copies, or P percent of all: those not read back for the longest time",
    },
    "max-bytes": {
      type: "string",
      value: "SIZE",
      help: 'only as much (such as "20GiB"), in the same order, but at least one copy',
    },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 verify", explanation: "every copy of the newest good backup of each database" },
    { command: "pg321 verify --all -d app", explanation: "every copy of every backup of one database" },
    { command: "pg321 verify 3f2a --storage r2", explanation: "one copy of one backup" },
    { command: "pg321 verify --sample 5%", explanation: "those not read back for the longest time" },
    { command: "pg321 verify --max-bytes 20GiB --storage r2", explanation: "a share of a large bucket" },
  ],
  positionals: { min: 0, max: Number.POSITIVE_INFINITY, values: [{ live: ["backup"] }] },
  conflicts: ["sample", "max-bytes"].map((other) => ({
    options: ["all", other],
    why: `--${other} chooses from the copies of every backup already`,
  })),
  async run(invocation) {
    const { arguments: args, output } = invocation;
    const databases = textOptions(args, "database");
    const sample = sampleOf(args);
    refuseBesideIds(args, databases, sample);
    await using context = await commandContext(invocation);
    const storage = textOption(args, "storage");
    if (storage !== undefined) requireStorage(context, storage);
    const named = await Promise.all(args.positionals.map((prefix) => findBackup(context, prefix)));
    const [any] = await context.catalog.backups({ limit: 1 });
    if (any === undefined)
      throw new Pg321Error("verification", "there is no backup to verify", {
        hint: "make one with pg321 backup; if the catalog was lost, pg321 cleanup --adopt adds the backups in the storages to it",
      });
    const isPicked = named.length + databases.length > 0;
    const choice = { databases, isAll: isSet(args, "all"), storage, sample };
    const { ids, amount, limit } =
      named.length > 0
        ? { ids: [...new Set(named.map(({ id }) => id))], amount: undefined, limit: undefined }
        : await chooseBackups(context, choice);
    const onBegin = () => void (amount !== undefined && output.note(amount));
    const { run, verdicts, found } = await runVerify(context, ids, { storage, isPicked, limit, onBegin });
    await using copies = verdicts;
    const isJson = isSet(args, "json");
    await printParts(
      output,
      isJson ? longJson({ run_id: run.id, outcome: run.outcome, copies }) : textOf(copies, output),
    );
    return exitCodeFor(found);
  },
};

/** `--sample` and `--max-bytes`. Throws code `usage`. */
function sampleOf(args: Arguments): Sample | undefined {
  const [count, size] = [textOption(args, "sample"), textOption(args, "max-bytes")];
  if (count === undefined && size === undefined) return undefined;
  const [, number, percent] = /^(\d{1,9}|\d{1,3}(?:\.\d{1,3})?(?=%$))(%)?$/.exec(count ?? "") ?? [];
  const value = Number(number);
  if (count !== undefined && !(value > 0 && (percent === undefined || value <= 100)))
    throw new Pg321Error(
      "usage",
      `verify: --sample is "${count}", expected a number of copies or a percentage`,
      {
        hint: "for example --sample 20, or --sample 5%",
      },
    );
  const bytes = size === undefined ? undefined : parseSize(size);
  if (size !== undefined && !bytes)
    throw new Pg321Error("usage", `verify: --max-bytes is "${size}", expected a size`, {
      hint: "for example --max-bytes 20GiB",
    });
  if (count === undefined) return { bytes };
  return { bytes, ...(percent === undefined ? { copies: value } : { percent: value }) };
}

function refuseBesideIds(args: Arguments, databases: readonly string[], sample: Sample | undefined): void {
  if (args.positionals.length === 0) return;
  const other = isSet(args, "all")
    ? "--all"
    : databases.length > 0
      ? "--database"
      : sample && "--sample or --max-bytes";
  if (other === undefined) return;
  throw new Pg321Error("usage", `verify: ${other} cannot be used with an id`, {
    hint: "give ids, or choose by --database and --all",
  });
}

function exitCodeFor(found: ReadonlySet<CopyVerdict["verdict"]>): number {
  if (found.has("damaged") || found.has("missing")) return EXIT_CODES.verification;
  if (found.has("unopened")) return EXIT_CODES.key;
  return found.has("unreachable") ? EXIT_CODES.storage : EXIT_CODES.ok;
}

async function* textOf(verdicts: LongList<CopyVerdict>, { style }: Output): AsyncGenerator<string> {
  yield* longTable(
    visiblePages(verdicts),
    [
      { title: "ID", cell: (row) => shortId(row.backup_id) },
      { title: "DATABASE", isName: true, cell: (row) => backupName(row) },
      { title: "STORAGE", isName: true, cell: (row) => row.storage },
      { title: "SIZE", cell: (row) => sizeText(row.object_bytes), align: "right" },
      { title: "VERDICT", cell: (row) => colouredStatus(row.verdict, style) },
      { title: "CHECKED", cell: checkedText },
      { title: "ERROR", cell: (row) => row.error ?? "" },
    ],
    style,
  );
  yield* hintLines(verdicts, style);
}

/** How far a good copy was checked. */
function checkedText({ verdict, segments_checked, archive_checked, archive_note }: CopyVerdict): string {
  if (verdict !== "good") return "";
  if (!segments_checked) return "hash only (no identity here)";
  const whole = archive_checked ? "hash, every segment, dump" : "hash, every segment";
  return archive_note === null ? whole : `${whole} (dump not read: ${archive_note})`;
}
