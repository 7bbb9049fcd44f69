import type { RunRecord } from "../../catalog/records.ts";
import { dependentsOfClean, droppedRelations } from "../../postgres/archive/clean.ts";
import type { ArchiveContents } from "../../postgres/archive/format.ts";
import { unattached } from "../../postgres/archive/inheritance.ts";
import { requireSelected } from "../../postgres/archive/require-selected.ts";
import { isWhole, tableCount } from "../../postgres/archive/selection.ts";
import { extensionsOf } from "../../postgres/archive/streams.ts";
import { entryName } from "../../postgres/archive/table-parts.ts";
import type { PgRestore } from "../../postgres/binaries.ts";
import { pgRestoreFor } from "../../postgres/binaries.ts";
import type { Connection } from "../../postgres/connection.ts";
import { placeText } from "../../postgres/connection.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { leftOutText } from "../../postgres/counts/left-out.ts";
import { contentsOfDatabase, databaseExists, inspectServer } from "../../postgres/inspect.ts";
import { createRoles } from "../../postgres/restore/create-roles.ts";
import { withoutAttaching, withoutLacking } from "../../postgres/restore/lacking-tables.ts";
import { missingRights } from "../../postgres/restore/missing-rights.ts";
import { connectAs, installedExtensions, reduce, rowsLeftOut } from "../../postgres/restore/ownership.ts";
import type { Lack } from "../../postgres/restore/preflight.ts";
import { createDatabase, finishDatabase, planRestore, preflight } from "../../postgres/restore/preflight.ts";
import type { Session } from "../../postgres/sessions.ts";
import { sessionsOn } from "../../postgres/sessions.ts";
import type { JobContext } from "../context.ts";
import { factsOfBackup } from "../copies/backup-facts.ts";
import { storagesToRead } from "../copies/find-backup.ts";
import { shortId } from "../copies/object-key.ts";
import { RestoreFaults } from "../load/faults.ts";
import { prepareLoad } from "../load/prepare-load.ts";
import type { ReadArchive } from "../load/read-archive.ts";
import { readArchive } from "../load/read-archive.ts";
import { provenUnreadable } from "../load/unreadable.ts";
import { type Note, recordRun } from "../record-run.ts";
import type { Adapted } from "./adapt.ts";
import { adapt } from "./adapt.ts";
import { alertRestore } from "./alerts.ts";
import { requireDumped } from "./dumped.ts";
import { largeObjectObstacles, mayHideLargeObjects } from "./large-objects.ts";
import { withLeftovers, withVersionRisk } from "./leftovers.ts";
import { obstaclesOf, refusal, rolesToCreate } from "./obstacles.ts";
import { emptyTables, outcomeOf } from "./outcome.ts";
import type { RestoreReport, RestoreRequest } from "./report.ts";
import { isSource, sourceObstacles } from "./source.ts";
import { targetIdentity } from "./target-identity.ts";
import { unfilled } from "./unfilled.ts";
import type { GlobalsReport, PlannedGlobals } from "./with-globals.ts";
import { createGlobals, lacksBeside, planForEntries } from "./with-globals.ts";

/** Restores a backup into a database. The target is not changed before every check has passed. */
export async function runRestore(context: JobContext, request: RestoreRequest): Promise<RestoreReport> {
  const { backup, selection } = request;
  const copies = await context.catalog.copies(backup.id);
  const storages = storagesToRead(context, backup, copies, request.from);
  const startedAtMs = context.clock.monotonicMs();
  let isChecking = false;
  const work = (run: RunRecord, note: Note) =>
    readArchive(context, backup, { storages, job: "restore" }, async (archive) => {
      const { contents } = archive;
      const facts = await factsOfBackup(context, backup);
      const left = facts?.left_out;
      requireDumped(contents, selection, left);
      requireSelected(contents, selection);
      isChecking = true;
      const found = await checkTarget(context, { ...request, facts }, archive);
      const { lacks, obstacles, entries, missing_dependents } = found;
      for (const { name, hint } of lacks.filter(({ kind }) => kind === "version"))
        context.log.warning("the target is older than the server that was backed up", { target: name, hint });
      const refused = refusal(obstacles);
      if (refused && !request.dryRun) throw refused;
      isChecking = false;
      let about = aboutTarget(request);
      const begins = async () => {
        about = { ...about, ...(await targetIdentity(context, request.target)) };
        await note(about);
      };
      const came = request.dryRun
        ? { ...NOTHING_CAME, tables: tableCount(entries, selection), globals: found.planned?.report ?? null }
        : await restoreInto(context, { ...request, facts }, run, found, archive, begins);
      const left_out = [...found.left_out, ...came.left_out];
      const duration_ms = Math.round(context.clock.monotonicMs() - startedAtMs);
      const roles_created = rolesToCreate(request, lacks);
      const looked = {
        lacks,
        roles_created,
        target_contents: found.target_contents,
        dependents: found.dependents,
        sessions: found.sessions,
        is_source: found.is_source,
        obstacle: obstacles[0]?.message ?? null,
        obstacles,
      };
      const statistics = {
        ...about,
        ...looked,
        ...came,
        notes: found.notes,
        entries: request.dryRun ? entries.map(entryName) : [],
        ...{ left_out, missing_dependents },
        not_in_backup: leftOutText(left) ?? null,
        unattached: unattached(contents, entries),
        dump_bytes: archive.dumpBytes,
        duration_ms,
      };
      return { ...outcomeOf({ ...came, left_out }, tableCount(entries, selection)), statistics };
    }).catch(async (error) => {
      throw (await provenUnreadable(context, backup, { storages, job: "restore" }, error)) ?? error;
    });
  const about = { server: backup.server, database: backup.database };
  const { run, statistics } = await recordRun(context, "restore", work, {
    about,
    // Somebody is there and sees how it ends.
    isPart: true,
    isRefused: () => isChecking,
    isSilent: request.dryRun,
    isUrgent: true,
  });
  const report = { run, backup, ...statistics };
  if (!request.dryRun) await alertRestore(context, report);
  return report;
}

/** What the record of a run says about its target, also if the run is cut off while it fills it. */
function aboutTarget({ backup, target, selection, dryRun }: RestoreRequest) {
  return {
    ...{ backup_id: backup.id, target_database: target.database, target_place: placeText(target) },
    ...{ dry_run: dryRun, is_selection: !isWhole(selection) },
  };
}

interface Found
  extends Pick<
      RestoreReport,
      | "lacks"
      | "target_contents"
      | "dependents"
      | "sessions"
      | "is_source"
      | "obstacles"
      | "left_out"
      | "missing_dependents"
    >,
    Omit<Adapted, "obstacles"> {
  binary: PgRestore;
  /** What is to be created of the globals. */
  planned: PlannedGlobals | undefined;
  /** The archive as far as it is to be restored, whatever is selected of it. */
  contents: ArchiveContents;
  isReduced: boolean;
}

/** With what was counted in the dump, as far as it can be read. */
type WithFacts = RestoreRequest & { facts: DumpFacts | undefined };

/** Checks the target and changes nothing. Throws code `database` if it cannot be checked. */
async function checkTarget(
  context: JobContext,
  request: WithFacts,
  { contents: all, data }: Pick<ReadArchive, "contents" | "data">,
): Promise<Found> {
  const { target, create, createRoles, clean, selection, ownership, binDir } = request;
  await using connection = await connectForCheck(context, request);
  const { major, readOnly } = await inspectServer(connection);
  const binary = await pgRestoreFor(major, all.format, binDir);
  const installed = create ? [] : await installedExtensions(connection);
  const existing = create ? undefined : connection;
  const reduced = reduce(all, ownership, installed);
  const left = request.facts?.left_out;
  const own = { ...reduced, contents: await withoutAttaching(existing, reduced.contents, left, selection) };
  const { contents, left_out } = await withoutLacking(existing, own, left?.dependents, selection);
  const plan = await planRestore(connection, contents, { selection, create });
  const { needs, present } = plan;
  const hasStreams = data !== undefined;
  const is_source = await isSource(connection, context.config, request);
  const { obstacles: others, ...adapted } = await adapt(connection, { ...request, hasStreams }, plan);
  const { entries } = adapted;
  const mayHide = hasStreams && mayHideLargeObjects(all, selection, request.facts);
  const exists = create && (await databaseExists(connection, target.database));
  const planned = request.withGlobals
    ? await planForEntries(context, connection, request.backup, { contents, entries, create }, request.from)
    : undefined;
  const lacks = [
    ...lacksBeside(await preflight(connection, contents, { entries: plan.entries, create }), planned),
    // Rows alone, and tables in another schema, have their own checks.
    ...(adapted.isPlain || selection.only === "data"
      ? []
      : await missingRights(connection, contents, entries, {
          create,
          createRoles: createRoles || (planned !== undefined && planned.plan.roles.length > 0),
        })),
  ];
  const target_contents = create ? [] : await contentsOfDatabase(connection);
  const dependents =
    clean && !create ? await dependentsOfClean(connection, entries, selection.tables.length > 0) : [];
  const sessions = clean && !create ? await sessionsOn(connection, droppedRelations(entries)) : [];
  const looked = { lacks, target_contents, dependents, sessions };
  return {
    ...plan,
    ...looked,
    ...adapted,
    contents,
    isReduced: contents.entries.length < all.entries.length,
    left_out: [...plan.left_out, ...left_out],
    is_source,
    obstacles: [
      ...obstaclesOf(request, { ...looked, readOnly, exists, present, needs, others }),
      ...(await largeObjectObstacles(connection, request, entries, mayHide)),
      ...sourceObstacles(request, is_source),
    ],
    ...{ binary, planned },
  };
}

/** With `create` the database does not exist yet, so the check connects to the maintenance database. */
function connectForCheck({ signal }: JobContext, request: RestoreRequest): Promise<Connection> {
  const { target, create, maintenanceDatabase, ownership } = request;
  const endpoint = create ? { ...target, database: maintenanceDatabase } : target;
  return connectAs(endpoint, ownership.role, { signal, timeoutMs: 0 });
}

type Came = Pick<
  RestoreReport,
  | "errors_ignored"
  | "errors"
  | "unfilled"
  | "terminated"
  | "tables"
  | "rows"
  | "left_out"
  | "empty_tables"
  | "globals"
>;

const NOTHING_CAME: Omit<Came, "tables" | "globals"> = {
  ...{
    errors_ignored: 0,
    errors: [],
    unfilled: [],
    terminated: [],
    rows: null,
    left_out: [],
    empty_tables: [],
  },
};

async function restoreInto(
  context: JobContext,
  request: WithFacts,
  run: RunRecord,
  { binary, contents: reduced, isReduced, entries, lacks, planned, ...adapted }: Found,
  archive: ReadArchive,
  begins: () => Promise<void>,
): Promise<Came> {
  const { target, jobs, clean, create, intoExisting, keepGoing, selection } = request;
  const { contents } = archive;
  const { temp_dir: tempDir } = context.config;
  const faults = new RestoreFaults(context, contents);
  const terminated: Session[] = [];
  const applicationName = `pg321 restore ${shortId(run.id)}`;
  // If the restore fails, the previous contents of the target stay unchanged.
  const isShared = clean || intoExisting || selection.only === "data" || selection.intoSchema !== undefined;
  const singleTransaction =
    (jobs ?? 1) === 1 && (!archive.data || adapted.needsFile) && !keepGoing && isShared;
  const options = {
    ...{ target, binary, tempDir, clean, singleTransaction, applicationName, isPlain: adapted.isPlain },
    ...((isReduced || !isWhole(selection)) && { only: entries.map(({ id }) => id) }),
    ownership: request.ownership,
    exitOnError: !keepGoing,
    onError: faults.add,
    onTerminated: request.terminate ? (session: Session) => void terminated.push(session) : undefined,
  };
  const expectedBytes = request.backup.dump_bytes ?? 0;
  const { skipExtensions } = request.ownership;
  const extensionOf = extensionsOf(request.facts?.streams?.extension_data);
  const skip = { skipExtensions, extensionOf };
  const plan = { entries, selection, ...skip, clean, jobs, expectedBytes, faults, ...adapted };
  await using load = await prepareLoad(context, archive, plan);
  const globals = planned ? await makeGlobals(context, request, planned) : null;
  await makeRoles(context, request, lacks);
  if (create) await makeTarget(context, request, reduced);
  // Before the first row: if this run is cut off, an older record no longer proves that the database is whole.
  await begins();
  let isUndone = singleTransaction;
  try {
    const errors_ignored = await load.run(options, () => {
      isUndone = false;
    });
    if (create) await finishTarget(context, request, reduced);
    const came = entries.filter(({ id }) => !faults.entries.has(id));
    const rows = load.rows.rowsOf(came) ?? null;
    const errors = { errors: faults.all, unfilled: unfilled(entries, faults.entries, load.rows) };
    const empty_tables = await emptyTables(context, request, contents, came, load.rows);
    const tables = tableCount(came, selection);
    const left_out = rowsLeftOut(load.leftOut, contents, skipExtensions, extensionOf);
    return { errors_ignored, ...errors, terminated, tables, rows, left_out, empty_tables, globals };
  } catch (error) {
    throw withVersionRisk(withLeftovers(error, request, isUndone), lacks);
  }
}

async function finishTarget(
  context: JobContext,
  request: RestoreRequest,
  contents: ArchiveContents,
): Promise<void> {
  await using connection = await connectForCheck(context, request);
  await finishDatabase(connection, contents, request.target.database);
}

async function makeGlobals(
  context: JobContext,
  request: RestoreRequest,
  planned: PlannedGlobals,
): Promise<GlobalsReport> {
  await using connection = await connectForCheck(context, request);
  return await createGlobals(connection, planned);
}

async function makeRoles(
  context: JobContext,
  request: RestoreRequest,
  lacks: readonly Lack[],
): Promise<void> {
  const names = rolesToCreate(request, lacks);
  if (names.length === 0) return;
  await using connection = await connectForCheck(context, request);
  await createRoles(connection, names);
}

async function makeTarget(
  context: JobContext,
  request: RestoreRequest,
  contents: ArchiveContents,
): Promise<void> {
  await using connection = await connectForCheck(context, request);
  await createDatabase(connection, contents, request.target.database);
}
