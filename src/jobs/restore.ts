import { Pg321Error } from "../base/errors.ts";
import type { BackupRecord, RunRecord } from "../catalog/catalog.ts";
import type { Selection } from "../postgres/archive.ts";
import { openArchive } from "../postgres/archive.ts";
import type { ArchiveContents } from "../postgres/archive-format.ts";
import { pgRestoreFor } from "../postgres/binaries.ts";
import type { Connection, Endpoint } from "../postgres/connection.ts";
import { connect } from "../postgres/connection.ts";
import { contentsOfDatabase, inspectServer } from "../postgres/inspect.ts";
import type { Lack } from "../postgres/preflight.ts";
import { createDatabase, createSchemas, finishDatabase, preflight } from "../postgres/preflight.ts";
import type { RestoreResult } from "../postgres/restore.ts";
import { restoreFile, restoreStream } from "../postgres/restore.ts";
import { counted } from "../stream/meter.ts";
import type { JobContext } from "./context.ts";
import { recordRun } from "./context.ts";
import { storagesToRead } from "./find-backup.ts";
import { shortId } from "./object-key.ts";
import { ProgressMeter } from "./progress.ts";
import { openBackup } from "./read-backup.ts";
import { spool } from "./spool.ts";

export interface RestoreRequest {
  backup: BackupRecord;
  /** The database that takes it. */
  target: Endpoint;
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
  /** What the target lacks; a restore goes on only when nothing but `version` is in it. */
  lacks: Lack[];
  /** What the target holds already, as `3 relations`. */
  target_contents: string[];
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
  const { run, statistics } = await recordRun(context, "restore", async () => {
    await using readable = await openBackup(context, backup, storages, context.signal);
    const title = `restore ${shortId(backup.id)} ${backup.server}/${backup.database}`;
    const progress = new ProgressMeter(context.progress, title, backup.dump_bytes ?? undefined);
    let dump_bytes = 0;
    const dump = counted(readable.dump, (bytes) => {
      dump_bytes += bytes;
      progress.pass(bytes);
    });
    try {
      const { contents, bytes } = await openArchive(dump);
      const found = await checkTarget(request, contents);
      if (!request.dryRun) requireFit(request, found);
      const errors_ignored = request.dryRun
        ? 0
        : (await restoreInto(context, request, contents, bytes)).errorsIgnored;
      const about = { backup_id: backup.id, target_database: target.database, dry_run: request.dryRun };
      const duration_ms = Math.round(context.clock.monotonicMs() - startedAtMs);
      const statistics = { ...about, ...found, dump_bytes, duration_ms, errors_ignored };
      return { outcome: errors_ignored > 0 ? "PARTIAL" : "OK", statistics };
    } finally {
      progress.end();
    }
  });
  return { run, backup, ...statistics };
}

type Found = Pick<RestoreReport, "lacks" | "target_contents">;

/** Looks at the target and changes nothing. */
async function checkTarget(
  { target, create, selection }: RestoreRequest,
  contents: ArchiveContents,
): Promise<Found> {
  await using connection = await connectForCheck(target, create);
  const lacks = await preflight(connection, contents, { selection, create });
  const target_contents = create ? [] : await contentsOfDatabase(connection);
  return { lacks, target_contents };
}

/** With `create` the database is not there yet: the server's maintenance database tells the rest. */
function connectForCheck(target: Endpoint, create: boolean): Promise<Connection> {
  return connect(create ? { ...target, database: "postgres" } : target);
}

function requireFit(
  { target, clean, intoExisting }: RestoreRequest,
  { lacks, target_contents }: Found,
): void {
  const missing = lacks.filter(({ kind }) => kind !== "version");
  if (missing.length > 0) {
    const list = missing.map(({ kind, name }) => `${kind} "${name}"`).join(", ");
    throw new Pg321Error("database", `${target.label}: it lacks ${list}; nothing was changed`, {
      hint: missing.map(({ hint }) => hint).join("; "),
    });
  }
  if (target_contents.length > 0 && !clean && !intoExisting) {
    throw new Pg321Error(
      "database",
      `${target.label}: database "${target.database}" is not empty (${target_contents.join(", ")}); nothing was changed`,
      {
        hint: "restore into a new database with --create, replace what the backup holds with --clean, or add to it with --into-existing",
      },
    );
  }
}

async function restoreInto(
  context: JobContext,
  request: RestoreRequest,
  contents: ArchiveContents,
  dump: AsyncIterable<Uint8Array>,
): Promise<RestoreResult> {
  const { target, selection } = request;
  const major = await prepareTarget(request, contents);
  const binary = await pgRestoreFor(major, contents.format, undefined);
  const options = {
    target,
    binary,
    tempDir: context.config.temp_dir,
    selection,
    clean: request.clean,
    exitOnError: !request.keepGoing,
    signal: context.signal,
  };
  const result = await (request.jobs > 1
    ? restoreSpooled(context, request, dump, options)
    : restoreWhole(dump, options, selection));
  if (request.create) {
    await using connection = await connectForCheck(target, true);
    await finishDatabase(connection, contents, target.database);
  }
  return result;
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
  try {
    const result = await restoreStream(
      { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) },
      options,
    );
    const isWhole = selection.schemas.length + selection.tables.length === 0;
    while (isWhole && !(await iterator.next()).done);
    return result;
  } finally {
    await iterator.return?.();
  }
}

/** Makes the database or the schemas that are asked for. Returns the server's major version. */
async function prepareTarget(
  { target, create, selection }: RestoreRequest,
  contents: ArchiveContents,
): Promise<number> {
  if (create) {
    await using connection = await connectForCheck(target, true);
    await createDatabase(connection, contents, target.database);
  }
  await using connection = await connect(target);
  if (selection.schemas.length + selection.tables.length > 0)
    await createSchemas(connection, contents, selection);
  return (await inspectServer(connection)).major;
}

/** Several sessions need a file to seek in: the whole dump in plain text, private, gone afterwards. */
async function restoreSpooled(
  { config }: JobContext,
  { backup, jobs }: RestoreRequest,
  dump: AsyncIterable<Uint8Array>,
  options: Parameters<typeof restoreStream>[1],
): Promise<RestoreResult> {
  await using file = await spool(dump, { tempDir: config.temp_dir, expectedBytes: backup.dump_bytes ?? 0 });
  return await restoreFile(file.path, { ...options, jobs });
}
