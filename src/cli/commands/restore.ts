import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import { contentName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { JobContext } from "../../jobs/context.ts";
import { findBackup, latestBackup, refuseGlobals, storagesToRead } from "../../jobs/copies/find-backup.ts";
import { findDatabase } from "../../jobs/copies/find-database.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { exportDump } from "../../jobs/restore/export-dump.ts";
import type { RestoreReport } from "../../jobs/restore/report.ts";
import { runRestore } from "../../jobs/restore/restore.ts";
import type { Arguments, Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOption } from "../command.ts";
import { commandConfig, contextWith } from "../open-context.ts";
import { jsonText, refuseTerminal, sizeText } from "../output/output.ts";
import { filesLines, restoreText } from "../output/restore-text.ts";
import { isOwnedByAnother, writeDumpAsRoot } from "../output-of-root.ts";
import { OWNERSHIP_OPTIONS, ownershipOf } from "../ownership-options.ts";
import { integerOption } from "../parse.ts";
import { refuseWithoutServer, restoreServerCommand, SERVER_OPTIONS } from "../restore-server.ts";
import { givenPassword, openTarget, targetOf } from "../restore-target.ts";
import { SELECTION_CONFLICTS, SELECTION_OPTIONS, selectionOf } from "../selection-options.ts";

export const command: Command = {
  usage: "ID|latest|-d DATABASE|--server NAME --target URL|SERVER/DATABASE [--create]",
  description:
    "Verifies the origin of the backup before anything else, and every byte before PostgreSQL sees it. If a copy turns\n" +
    "out to be damaged, the restore continues from another copy at the same position. Checks first what the target\n" +
    "lacks (roles, extensions, tablespaces), and changes nothing if something is missing. The target must be empty\n" +
    "unless an option says otherwise.",
  options: {
    database: {
      type: "string",
      short: "d",
      value: "NAME",
      help: "the newest good backup of this database: NAME, or SERVER/NAME",
      values: { live: ["database"] },
    },
    target: {
      type: "string",
      short: "t",
      value: "TARGET",
      help: "postgres://user@host/database, or SERVER/DATABASE with a server of the config",
      values: { live: ["target"] },
    },
    "password-file": {
      type: "string",
      value: "FILE",
      help: "the password for a --target URL (other users can see a password in the URL)",
    },
    as: {
      type: "string",
      value: "USER",
      help: "as root: log in as this user of host and server, by peer authentication, without a password",
    },
    create: { type: "boolean", help: "create the target database, with the properties of the original" },
    "create-roles": {
      type: "boolean",
      help: "create the roles that the target lacks, without login; never change one that exists",
    },
    "with-globals": {
      type: "boolean",
      help: "create the roles and memberships that the database needs and the target lacks, with attributes, settings and passwords; never change one that exists",
    },
    from: {
      type: "string",
      value: "STORAGE",
      help: "read only from this storage",
      values: { live: ["storage"] },
    },
    jobs: {
      type: "string",
      short: "j",
      value: "N",
      help:
        "use N sessions; more than one needs room in temp_dir for the whole uncompressed dump (not if the backup\n" +
        "was made with dump.jobs: then N sessions build the indexes)",
    },
    ...SERVER_OPTIONS,
    ...SELECTION_OPTIONS,
    ...OWNERSHIP_OPTIONS,
    clean: {
      type: "boolean",
      help: "first drop the objects that the backup contains; refused if something else depends on them",
    },
    "into-existing": { type: "boolean", help: "allow a target that is not empty" },
    "into-source": {
      type: "boolean",
      help: "allow --clean, or adding rows with --data-only or --keep-going, in the very database that was backed up",
    },
    terminate: {
      type: "boolean",
      help: "end sessions that hold a lock in the way, except those of pg321 (with --clean or --into-existing)",
    },
    "keep-going": {
      type: "boolean",
      help: "continue after errors from pg_restore and report them (exit 3 if there were any)",
    },
    output: {
      type: "string",
      short: "o",
      value: "FILE|-",
      help:
        "write the uncompressed dump for pg_restore instead of restoring it; a backup made with dump.jobs becomes a\n" +
        "new directory of archives",
    },
    "dry-run": {
      type: "boolean",
      help: "only report what would be restored and what prevents it (exit 10 if anything does)",
    },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "sudo pg321 restore latest -d app --target main/app_restored --create --as postgres",
      explanation: "the newest good backup, beside the original",
    },
    {
      command: "pg321 restore 3f2a --target postgres://admin@db2/app --create -j 4",
      explanation: "onto another server, four sessions",
    },
    {
      command: "pg321 restore latest -d app -t postgres://postgres@/app --table orders --into-existing",
      explanation: "a dropped table",
    },
    {
      command: "sudo pg321 restore --server main --at latest --target main/postgres --as postgres",
      explanation: "a whole server, with its roles, onto an empty one",
    },
    {
      command: "pg321 restore 3f2a --output app.dump",
      explanation: "the dump itself; pg_restore --list app.dump lists its contents",
    },
  ],
  positionals: { min: 0, max: 1, values: [{ words: ["latest"], live: ["good-backup"] }] },
  conflicts: [
    ...["clean", "into-existing"].map((other) => ({
      options: ["create", other] as const,
      why: "a database that is created is new and empty",
    })),
    ...SELECTION_CONFLICTS,
  ],
  async run(invocation) {
    const { arguments: args, output } = invocation;
    if (textOption(args, "server") !== undefined) return await restoreServerCommand(invocation);
    refuseWithoutServer(args);
    refuseNoChoice(args);
    // Read before root becomes another user, who may not be allowed to read it.
    const password = await givenPassword(args);
    const file = textOption(args, "output");
    if (file !== undefined) refuseBesideOutput(args);
    if (file !== undefined && file !== "-" && (await isOwnedByAnother(invocation)))
      return await writeDumpAsRoot(invocation, file);
    const config = await commandConfig(invocation, { keepsRoot: true, setsAside: true });
    // Opened as root, too.
    await using opened = file === undefined ? await openTarget(args, config, password) : undefined;
    await using context = await contextWith(invocation, config);
    const backup = await chosenBackup(context, args);
    if (file !== undefined) return await writeDump(invocation, context, backup, file);
    refuseGlobals(backup, "restore");
    const report = await runRestore(context, {
      backup,
      ...targetOf(args, config, password),
      ...(opened && { target: opened.endpoint }),
      create: isSet(args, "create"),
      createRoles: isSet(args, "create-roles"),
      withGlobals: isSet(args, "with-globals"),
      from: textOption(args, "from"),
      jobs: integerOption("restore", "jobs", textOption(args, "jobs"), { min: 1, max: 256 }),
      selection: selectionOf(args),
      ownership: ownershipOf(args),
      clean: isSet(args, "clean"),
      intoExisting: isSet(args, "into-existing"),
      intoSource: isSet(args, "into-source"),
      terminate: isTerminating(args),
      keepGoing: isSet(args, "keep-going"),
      dryRun: isSet(args, "dry-run"),
    });
    output.print(
      isSet(args, "json")
        ? jsonText(jsonOf(report, args))
        : restoreText(report, isSet(args, "dry-run"), output.style),
    );
    if (report.obstacle !== null || report.run.outcome === "FAILED") return EXIT_CODES.database;
    return report.run.outcome === "PARTIAL" ? EXIT_CODES.partial : EXIT_CODES.ok;
  },
};

function refuseNoChoice(args: Arguments): void {
  const [id] = args.positionals;
  if (textOption(args, "database") !== undefined || (id !== undefined && id !== "latest")) return;
  if (id === undefined)
    throw new Pg321Error("usage", "restore: an argument is missing", {
      hint: `usage: pg321 restore ${command.usage}`,
    });
  throw new Pg321Error("usage", "restore: latest needs --database", {
    hint: "pg321 restore latest --database NAME --target …",
  });
}

async function chosenBackup(context: JobContext, args: Arguments): Promise<BackupRecord> {
  const [id = "latest"] = args.positionals;
  const database = textOption(args, "database");
  if (id === "latest") return latestBackup(context, database ?? "");
  const backup = await findBackup(context, id);
  const named = database === undefined ? undefined : await findDatabase(context, database);
  if (named && (named.database !== backup.database || (named.server ?? backup.server) !== backup.server))
    throw new Pg321Error(
      "usage",
      `restore: backup ${shortId(backup.id)} is one of ${backup.server}/${backup.database}, not of "${database}"`,
      { hint: "leave out --database, or take another id from pg321 list" },
    );
  return backup;
}

/** Options that only a restore into a database takes. */
const NOT_WITH_OUTPUT = ["target", "password-file", "as", "create", "create-roles", "jobs"].concat([
  "with-globals",
  ...Object.keys(SERVER_OPTIONS),
  ...Object.keys(SELECTION_OPTIONS),
  ...Object.keys(OWNERSHIP_OPTIONS),
  "clean",
  "into-existing",
  "into-source",
  "terminate",
  "keep-going",
  "dry-run",
  "json",
]);

function refuseBesideOutput({ options }: Arguments): void {
  const refused = NOT_WITH_OUTPUT.find((name) => options[name] !== undefined);
  if (refused === undefined) return;
  throw new Pg321Error(
    "usage",
    `restore: --${refused} cannot be used with --output, which writes the whole dump`,
    {
      hint: "leave one of them out; pg_restore has its own options to select from the file",
    },
  );
}

function isTerminating(args: Arguments): boolean {
  const isGiven = isSet(args, "terminate");
  if (!isGiven || isSet(args, "clean") || isSet(args, "into-existing")) return isGiven;
  throw new Pg321Error("usage", "restore: --terminate needs --clean or --into-existing", {
    hint: "no session is in the way of a restore into an empty database",
  });
}

async function writeDump(
  { arguments: args, output }: Invocation,
  context: JobContext,
  backup: BackupRecord,
  file: string,
): Promise<number> {
  if (file === "-") refuseTerminal("restore", output);
  const storages = storagesToRead(
    context,
    backup,
    await context.catalog.copies(backup.id),
    textOption(args, "from"),
  );
  const written = await exportDump(context, backup, storages, file === "-" ? output : file);
  const { bytes, files } = written;
  const isContainer = written.isContainer && file === "-";
  const reader = backup.kind === "globals" ? "psql" : "pg_restore";
  output.note(
    `wrote ${sizeText(bytes)}: ${contentName(backup)} of ${timeText(backup.started_at)}, ${isContainer ? "as a container of several archives (--output DIRECTORY separates them)" : `for ${reader}`}`,
  );
  for (const line of filesLines(file, files)) output.note(line);
  return EXIT_CODES.ok;
}

function jsonOf({ run, backup, ...found }: RestoreReport, args: Arguments) {
  return {
    run_id: run.id,
    outcome: run.outcome,
    backup_id: backup.id,
    server: backup.server,
    database: backup.database,
    dry_run: isSet(args, "dry-run"),
    lacks: found.lacks,
    roles_created: found.roles_created,
    globals: found.globals,
    target_contents: found.target_contents,
    dependents: found.dependents,
    is_source: found.is_source,
    sessions: found.sessions,
    terminated: found.terminated,
    obstacle: found.obstacle,
    obstacles: found.obstacles,
    tables: found.tables,
    rows: found.rows,
    entries: found.entries ?? [],
    notes: found.notes,
    empty_tables: found.empty_tables,
    not_in_backup: found.not_in_backup,
    unattached: found.unattached,
    left_out: found.left_out,
    missing_dependents: found.missing_dependents,
    dump_bytes: found.dump_bytes,
    duration_ms: found.duration_ms,
    errors_ignored: found.errors_ignored,
    errors: found.errors,
    unfilled: found.unfilled,
  };
}
