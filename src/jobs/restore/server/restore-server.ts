import { hintOf, messageOf, Pg321Error } from "../../../base/errors.ts";
import type { BackupRecord } from "../../../catalog/records.ts";
import { EVERYTHING } from "../../../postgres/archive/selection.ts";
import { connect, placeText } from "../../../postgres/connection.ts";
import { contentsOfDatabase } from "../../../postgres/inspect.ts";
import { AS_BACKED_UP } from "../../../postgres/restore/ownership.ts";
import type { JobContext } from "../../context.ts";
import { runRestore } from "../restore.ts";
import type { GlobalsReport } from "../with-globals.ts";
import { createGlobals, globalsFor, planFor, readGlobals } from "../with-globals.ts";
import { attemptName, attemptsAt, dropAttempt, Restored, renameDatabase } from "./attempts.ts";
import { backupsAt } from "./choose.ts";
import type { RestoredDatabase, ServerRestoreReport, ServerRestoreRequest } from "./report.ts";

/** What is to be done about one database. */
type Step =
  | { do: "skip" }
  | { do: "refuse"; error: Pg321Error }
  /** It was restored, but the restore was cut off before it got its name. */
  | { do: "rename"; attempt: string }
  /** Into a new database, after these unfinished ones are dropped. */
  | { do: "create"; drop: string[] }
  /** Into the empty database of this name: every server has a `postgres`. */
  | { do: "fill" };

interface Planned {
  backup: BackupRecord;
  step: Step;
}

/**
 * Restores a whole server: its globals, then every database that it had at a moment. A database that fails does not stop
 * the others. Throws, before anything is changed, if the target has databases of these names already.
 */
export async function restoreServer(
  context: JobContext,
  request: ServerRestoreRequest,
): Promise<ServerRestoreReport> {
  const { server, at, resume, dryRun } = request;
  const { backups, left_out } = await backupsAt(context, server, at);
  const plans = await plansFor(context, request, backups);
  const refused = plans.flatMap(({ step }) => (step.do === "refuse" ? [step.error] : []));
  const [first] = refused;
  // A restore that goes on may meet databases that somebody has made meanwhile: those alone fail.
  if (first && !resume && !dryRun) throw first;
  const globals = await restoreGlobals(context, request, backups);
  const report: ServerRestoreReport = { server, globals, databases: [], left_out };
  const queue = [...plans];
  const results = new Map<Planned, RestoredDatabase>();
  const worker = async () => {
    for (let plan = queue.shift(); plan !== undefined; plan = queue.shift()) {
      context.signal.throwIfAborted();
      results.set(plan, await restoreOne(context, request, plan, globals === null, report));
    }
  };
  await Promise.all(Array.from({ length: request.databasesAtOnce }, worker));
  report.databases = plans.flatMap((plan) => results.get(plan) ?? []);
  return report;
}

async function plansFor(
  context: JobContext,
  { target, resume }: ServerRestoreRequest,
  backups: readonly BackupRecord[],
): Promise<Planned[]> {
  await using connection = await connect(target);
  const rows = await connection.run(
    "list the databases",
    (sql) => sql<{ name: string }[]>`select datname as name from pg_database order by datname collate "C"`,
  );
  const present = rows.map(({ name }) => name);
  const restored = await Restored.read(context);
  const place = placeText(target);
  const plans: Planned[] = [];
  for (const backup of backups) {
    const { id, database } = backup;
    const attempts = resume ? attemptsAt(id, present) : [];
    const whole = attempts.find((name) => restored.isWhole(name));
    const isThere = present.includes(database);
    let step: Step;
    if (isThere && resume && restored.isDone(id, place, database)) step = { do: "skip" };
    else if (isThere && (await isEmpty(target, database))) step = { do: "fill" };
    else if (isThere) step = { do: "refuse", error: existing(target.label, database, resume) };
    else if (whole !== undefined) step = { do: "rename", attempt: whole };
    else step = { do: "create", drop: attempts };
    plans.push({ backup, step });
  }
  return plans;
}

async function isEmpty(target: ServerRestoreRequest["target"], database: string): Promise<boolean> {
  await using connection = await connect({ ...target, database });
  return (await contentsOfDatabase(connection)).length === 0;
}

function existing(label: string, database: string, resume: boolean): Pg321Error {
  const message = `${label}: database "${database}" already exists and is not empty`;
  const hint = resume
    ? "no record says that it was restored from this backup: rename or drop it, and run this again"
    : "restore onto an empty server; to go on with a restore that was cut off, add --resume";
  return new Pg321Error("database", message, { hint });
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
    return { outcome: "restored", tables: null, rows: null };
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
