import { Pg321Error } from "../base/errors.ts";
import type { BackupRecord, RunOutcome, RunRecord } from "../catalog/catalog.ts";
import type { Selection } from "../postgres/archive.ts";
import { openArchive, requireSelected } from "../postgres/archive.ts";
import type { ArchiveContents } from "../postgres/archive-format.ts";
import type { BinDir, PgRestore } from "../postgres/binaries.ts";
import { pgRestoreFor } from "../postgres/binaries.ts";
import type { Connection, Endpoint } from "../postgres/connection.ts";
import { connect } from "../postgres/connection.ts";
import { contentsOfDatabase, databaseExists, inspectServer } from "../postgres/inspect.ts";
import type { Lack } from "../postgres/preflight.ts";
import {
  createDatabase,
  createSchemas,
  dropPartitions,
  existsAlready,
  finishDatabase,
  isRisk,
  preflight,
} from "../postgres/preflight.ts";
import type { RestoreResult } from "../postgres/restore.ts";
import { restoreFile, restoreStream } from "../postgres/restore.ts";
import { counted } from "../stream/meter.ts";
import type { JobContext } from "./context.ts";
import { recordRun } from "./context.ts";
import { storagesToRead } from "./find-backup.ts";
import { shortId } from "./object-key.ts";
import { ProgressMeter } from "./progress.ts";
import { openBackup } from "./read-backup.ts";
import { alertRestore } from "./run-alerts.ts";
import { spool } from "./spool.ts";

export interface RestoreRequest {
  backup: BackupRecord;
  /** The database that takes it. */
  target: Endpoint;
  /** The database of the target's server to connect to while `target` is not there yet. */
  maintenanceDatabase: string;
  /** Where pg_restore is. */
  binDir: BinDir;
  /** Make the database, under the name that `target` has. */
  create: boolean;
  /** The only storage to read from. */
  from: string | undefined;
  /** Sessions of pg_restore; more than one needs a temporary file of the whole dump. */
  jobs: number;
  selection: Selection;
  /** Drop what the archive holds before making it; also lets the target hold something. */
  clean: boolean;
  /** Let the target hold something. */
  intoExisting: boolean;
  keepGoing: boolean;
  dryRun: boolean;
}

export interface RestoreReport {
  run: RunRecord;
  backup: BackupRecord;
  /** What the target lacks; a restore goes on only when all of it is a risk (`isRisk`). */
  lacks: Lack[];
  /** What the target holds already, as `3 relations`. */
  target_contents: string[];
  /** What a dry run found to be in the way of the restore; any other run throws it. */
  obstacle: string | null;
  dump_bytes: number;
  duration_ms: number;
  errors_ignored: number;
}

/** Restores a backup into a database. Nothing of the target is changed before every check has passed. */
export async function runRestore(context: JobContext, request: RestoreRequest): Promise<RestoreReport> {
  const { backup, target } = request;
  const copies = await context.catalog.copies(backup.id);
  const storages = storagesToRead(context, backup, copies, request.from);
  const startedAtMs = context.clock.monotonicMs();
  const work = async () => {
    await using readable = await openBackup(context, backup, storages, context.signal);
    const title = `restore ${shortId(backup.id)} ${backup.server}/${backup.database}`;
    const progress = new ProgressMeter(context.progress, title, backup.dump_bytes ?? undefined);
    let dump_bytes = 0;
    const dump = counted(readable.dump, (bytes) => {
      dump_bytes += bytes;
      progress.pass(bytes);
    });
    try {
      await using archive = await openArchive(dump);
      const { contents, bytes } = archive;
      requireSelected(contents, request.selection);
      const { binary, lacks, target_contents, obstacle } = await checkTarget(request, contents);
      if (obstacle && !request.dryRun) throw obstacle;
      const errors_ignored = request.dryRun
        ? 0
        : (await restoreInto(context, request, binary, contents, bytes)).errorsIgnored;
      const about = { backup_id: backup.id, target_database: target.database, dry_run: request.dryRun };
      const duration_ms = Math.round(context.clock.monotonicMs() - startedAtMs);
      const found = { lacks, target_contents, obstacle: obstacle?.message ?? null };
      const statistics = { ...about, ...found, dump_bytes, duration_ms, errors_ignored };
      const outcome: RunOutcome = errors_ignored > 0 ? "PARTIAL" : "OK";
      return { outcome, statistics };
    } finally {
      await dump.return();
      progress.end();
    }
  };
  const about = { server: backup.server, database: backup.database };
  const { run, statistics } = await recordRun(context, "restore", work, {
    about,
    isSilent: request.dryRun,
    isUrgent: true,
  });
  const report = { run, backup, ...statistics };
  if (!request.dryRun) await alertRestore(context, report);
  return report;
}

interface Found extends Pick<RestoreReport, "lacks" | "target_contents"> {
  /** Why the restore cannot go on, code `database`; null when nothing is in the way. */
  obstacle: Pg321Error | null;
  binary: PgRestore;
}

/** Looks at the target and changes nothing. Throws code `database` where it cannot even be looked at. */
async function checkTarget(request: RestoreRequest, contents: ArchiveContents): Promise<Found> {
  const { target, create, selection, binDir } = request;
  await using connection = await connectForCheck(request);
  const { major, readOnly } = await inspectServer(connection);
  const binary = await pgRestoreFor(major, contents.format, binDir);
  if (readOnly) return { lacks: [], target_contents: [], obstacle: takesNoWrites(target, readOnly), binary };
  if (create && (await databaseExists(connection, target.database))) {
    return { lacks: [], target_contents: [], obstacle: existsAlready(target), binary };
  }
  const lacks = await preflight(connection, contents, { selection, create });
  const target_contents = create ? [] : await contentsOfDatabase(connection);
  return { lacks, target_contents, obstacle: obstacleOf(request, lacks, target_contents), binary };
}

function takesNoWrites({ label, user }: Endpoint, why: "standby" | "setting"): Pg321Error {
  if (why === "standby")
    return new Pg321Error(
      "database",
      `${label}: it is a standby, which takes no writes; nothing was changed`,
      {
        hint: "restore into its primary",
      },
    );
  return new Pg321Error(
    "database",
    `${label}: default_transaction_read_only is on for "${user}" there; nothing was changed`,
    { hint: "put it off for the role or the database, or restore as another role" },
  );
}

/** With `create` the database is not there yet: the server's maintenance database tells the rest. */
function connectForCheck({ target, create, maintenanceDatabase }: RestoreRequest): Promise<Connection> {
  return connect(create ? { ...target, database: maintenanceDatabase } : target);
}

function obstacleOf(
  { target, clean, intoExisting }: RestoreRequest,
  lacks: readonly Lack[],
  targetContents: readonly string[],
): Pg321Error | null {
  const missing = lacks.filter((lack) => !isRisk(lack));
  if (missing.length > 0) {
    const list = missing.map(({ kind, name }) => `${kind} "${name}"`).join(", ");
    return new Pg321Error("database", `${target.label}: it lacks ${list}; nothing was changed`, {
      hint: missing.map(({ hint }) => hint).join("; "),
    });
  }
  if (targetContents.length === 0 || clean || intoExisting) return null;
  return new Pg321Error(
    "database",
    `${target.label}: database "${target.database}" is not empty (${targetContents.join(", ")}); nothing was changed`,
    {
      hint: "restore into a new database with --create, replace what the backup holds with --clean, or add to it with --into-existing",
    },
  );
}

async function restoreInto(
  context: JobContext,
  request: RestoreRequest,
  binary: PgRestore,
  contents: ArchiveContents,
  dump: AsyncIterable<Uint8Array>,
): Promise<RestoreResult> {
  const { target, selection, jobs, clean, create } = request;
  const tempDir = context.config.temp_dir;
  const exitOnError = !request.keepGoing;
  const options = { target, binary, tempDir, selection, clean, exitOnError, signal: context.signal };
  // Several sessions need a file to seek in: the whole dump in plain text, private, gone afterwards. It is
  // made first: then all of the backup has proved good before anything of the target is changed.
  const expectedBytes = request.backup.dump_bytes ?? 0;
  await using spooled = jobs > 1 ? await spool(dump, { tempDir, expectedBytes }) : undefined;
  await prepareTarget(request, contents);
  try {
    const result = spooled
      ? await restoreFile(spooled.path, { ...options, jobs })
      : await restoreWhole(dump, options, selection);
    if (create) await finishTarget(request, contents);
    return result;
  } catch (error) {
    throw withRemains(error, request);
  }
}

async function finishTarget(request: RestoreRequest, contents: ArchiveContents): Promise<void> {
  await using connection = await connectForCheck(request);
  await finishDatabase(connection, contents, request.target.database);
}

/**
 * A restore that broke off leaves what it had restored: the reader must know before the next try. Nobody
 * is told to drop a database that held something of its own.
 */
function withRemains(error: unknown, { target, clean, intoExisting }: RestoreRequest): unknown {
  if (!(error instanceof Pg321Error)) return error;
  const advice = clean || intoExisting ? "look at it" : "drop it";
  const remains = `database "${target.database}" holds what was restored until then: ${advice} before the next try`;
  const hint = error.hint === undefined ? remains : `${error.hint}; ${remains}`;
  return new Pg321Error(error.code, error.message, { hint, cause: error.cause, retryable: error.retryable });
}

/**
 * pg_restore may be content before the dump has ended. Unless only a selection was asked for, the rest is
 * read all the same: the whole hash is checked at its end.
 */
async function restoreWhole(
  dump: AsyncIterable<Uint8Array>,
  options: Parameters<typeof restoreStream>[1],
  selection: Selection,
): Promise<RestoreResult> {
  const iterator = dump[Symbol.asyncIterator]();
  // Without its return(), a loop over it that ends early leaves the rest to be read.
  const unended = { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) };
  const result = await restoreStream(unended, options);
  const isWhole = selection.schemas.length + selection.tables.length === 0;
  while (isWhole && !(await iterator.next()).done);
  return result;
}

/** Makes the database or the schemas that are asked for, and frees what `clean` could not. */
async function prepareTarget(request: RestoreRequest, contents: ArchiveContents): Promise<void> {
  const { target, create, clean, selection } = request;
  if (create) {
    await using connection = await connectForCheck(request);
    await createDatabase(connection, contents, target.database);
  }
  await using connection = await connect(target);
  if (clean) await dropPartitions(connection, contents, selection);
  if (selection.schemas.length + selection.tables.length > 0)
    await createSchemas(connection, contents, selection);
}
