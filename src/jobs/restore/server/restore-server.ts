import { hintOf, messageOf, Pg321Error } from "../../../base/errors.ts";
import { inParallel } from "../../../base/in-parallel.ts";
import type { BackupRecord, RunRecord } from "../../../catalog/records.ts";
import { EVERYTHING } from "../../../postgres/archive/selection.ts";
import { connect } from "../../../postgres/connection.ts";
import { AS_BACKED_UP } from "../../../postgres/restore/ownership.ts";
import type { JobContext } from "../../context.ts";
import { countingDatabases } from "../../progress.ts";
import { type Note, recordRun } from "../../record-run.ts";
import { runRestore } from "../restore.ts";
import type { GlobalsReport } from "../with-globals.ts";
import { createGlobals, globalsFor, planFor, readGlobals } from "../with-globals.ts";
import { attemptName, dropAttempt, renameDatabase } from "./attempts.ts";
import { backupsAt } from "./choose.ts";
import {
  alertServerRestore,
  errorOfServer,
  type ServerRestoreStatistics,
  serverOutcome,
  serverStatistics,
} from "./record.ts";
import type { RestoredDatabase, ServerRestoreReport, ServerRestoreRequest } from "./report.ts";
import { type Planned, planSteps, type Step } from "./steps.ts";

/**
 * Restores a whole server: its globals, then every database that it had at a moment. A database that fails does not stop
 * the others. One run records the whole, beside those of the databases; a dry run is not recorded. Throws, before anything
 * is changed, if the target has databases of these names already and no restore was begun there that `resume` could go on
 * with.
 */
export async function restoreServer(
  context: JobContext,
  request: ServerRestoreRequest,
): Promise<ServerRestoreReport> {
  if (request.dryRun) return restoreAll(context, request, async () => {});
  let report: ServerRestoreReport | undefined;
  let hasBegun = false;
  const work = async (_run: RunRecord, note: Note) => {
    let statistics = {};
    report = await restoreAll(context, request, async (soFar) => {
      hasBegun = true;
      statistics = serverStatistics(request, soFar);
      await note(statistics);
    });
    return { outcome: serverOutcome(report), statistics, error: errorOfServer(report) };
  };
  // Somebody is there and sees how it ends.
  const scope = { isPart: true, isUrgent: true, isRefused: () => !hasBegun };
  const { run, statistics } = await recordRun(context, "restore-server", work, scope);
  if (report === undefined) throw new Error("a run without its report");
  await alertServerRestore(context, run, statistics as ServerRestoreStatistics);
  return { ...report, run_id: run.id };
}

/** `onChange` is called before the first change, and when the globals and each database have ended. */
async function restoreAll(
  context: JobContext,
  request: ServerRestoreRequest,
  onChange: (soFar: ServerRestoreReport & { chosen: number }) => Promise<void>,
): Promise<ServerRestoreReport> {
  const { server, at, resume, dryRun } = request;
  const { backups, left_out } = await backupsAt(context, server, at);
  const { plans, hasBegun, major } = await planSteps(context, request, backups);
  const refused = plans.flatMap(({ step }) => (step.do === "refuse" ? [step.error] : []));
  const [first] = refused;
  // A restore that goes on may meet databases that somebody has made meanwhile: those alone fail.
  const goesOn = resume && hasBegun && refused.length < plans.length;
  const isRefused = first !== undefined && !goesOn;
  if (isRefused && !dryRun) throw first;
  const warnings = olderTarget(backups, major);
  if (!dryRun) for (const warning of warnings) context.log.warning(warning, { server });
  const report: ServerRestoreReport = {
    ...{ run_id: null, server, globals: null, databases: [], left_out, warnings, isRefused },
  };
  const results = new Map<Planned, RestoredDatabase>();
  const changed = () => {
    report.databases = plans.flatMap((plan) => results.get(plan) ?? []);
    return onChange({ ...report, chosen: plans.length });
  };
  await changed();
  report.globals = await restoreGlobals(context, request, backups);
  await changed();
  using count = countingDatabases(context.progress, "restore", plans.length);
  await inParallel(plans, request.databasesAtOnce, async (plan) => {
    context.signal.throwIfAborted();
    results.set(plan, await restoreOne(context, request, plan, report.globals === null, report));
    count.done();
    await changed();
  });
  return report;
}

/** The risk that the target is older than the server was at some of these backups. */
function olderTarget(backups: readonly BackupRecord[], major: number): string[] {
  const majors = backups.map(({ server_version }) => Number.parseInt(server_version ?? "", 10));
  const newest = Math.max(0, ...majors.filter((one) => !Number.isNaN(one)));
  if (newest <= major) return [];
  return [
    `the target is PostgreSQL ${major}, and the backups come from PostgreSQL ${newest}: what only the newer version knows cannot be restored`,
  ];
}

/** The globals of the newest of these backups; null if there is no backup of them. */
async function restoreGlobals(
  context: JobContext,
  { target, from, dryRun, server }: ServerRestoreRequest,
  backups: readonly BackupRecord[],
): Promise<GlobalsReport | null> {
  const newest = backups.reduce((one, other) => (one.started_at >= other.started_at ? one : other));
  const backup = await globalsFor(context, newest).catch((error) => {
    if (!(error instanceof Pg321Error) || error.code !== "usage") throw error;
    context.log.warning("there is no backup of the globals: roles are created without login", { server });
    return undefined;
  });
  if (!backup) return null;
  const globals = await readGlobals(context, backup, from);
  await using connection = await connect(target);
  const planned = await planFor(connection, backup, globals, "all");
  if (dryRun) return planned.report;
  const report = await createGlobals(connection, planned);
  context.log.info("the globals of a server were restored", { server, roles: report.roles.length });
  return report;
}

async function restoreOne(
  context: JobContext,
  request: ServerRestoreRequest,
  { backup, step }: Planned,
  createRoles: boolean,
  report: ServerRestoreReport,
): Promise<RestoredDatabase> {
  const { id, database, started_at } = backup;
  const about = { database, backup_id: id, started_at };
  const none = { tables: null, rows: null, duration_ms: null, error: null, hint: null };
  const startedAtMs = context.clock.monotonicMs();
  try {
    if (step.do === "refuse") throw step.error;
    if (step.do === "skip") return { ...about, ...none, outcome: "skipped" };
    if (request.dryRun) return { ...about, ...none, outcome: "planned" };
    const came = await carryOut(context, request, backup, step, createRoles);
    const duration_ms = Math.round(context.clock.monotonicMs() - startedAtMs);
    return { ...about, ...none, ...came, duration_ms };
  } catch (error) {
    context.signal.throwIfAborted();
    report.cause ??= error;
    if (!request.dryRun)
      context.log.error("a database of the server could not be restored", {
        ...{ server: request.server, database, error: messageOf(error) },
      });
    return { ...about, ...none, outcome: "failed", error: messageOf(error), hint: hintOf(error) };
  }
}

async function carryOut(
  context: JobContext,
  request: ServerRestoreRequest,
  backup: BackupRecord,
  step: Exclude<Step, { do: "skip" | "refuse" }>,
  createRoles: boolean,
): Promise<Pick<RestoredDatabase, "outcome" | "tables" | "rows">> {
  const { target } = request;
  const rename = async (attempt: string) => {
    await using connection = await connect(target);
    await renameDatabase(connection, attempt, backup.database);
  };
  if (step.do === "rename") {
    await rename(step.attempt);
    return { outcome: step.isPartial ? "partial" : "restored", tables: null, rows: null };
  }
  if (step.do === "create" && step.drop.length > 0) {
    await using connection = await connect(target);
    for (const name of step.drop) await dropAttempt(connection, name);
  }
  const database = step.do === "fill" ? backup.database : attemptName(backup.id);
  const { run, tables, rows } = await runRestore(context, {
    ...{ backup, createRoles, binDir: request.binDir, from: request.from, jobs: request.jobs },
    target: { ...target, database },
    maintenanceDatabase: target.database,
    create: step.do === "create",
    ...{ withGlobals: false, clean: false, intoExisting: false, terminate: false, keepGoing: false },
    ...{ intoSource: false, dryRun: false, selection: EVERYTHING, ownership: AS_BACKED_UP },
  });
  if (step.do === "create") await rename(database);
  return { outcome: run.outcome === "PARTIAL" ? "partial" : "restored", tables, rows };
}
