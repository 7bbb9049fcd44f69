import { hostname } from "node:os";
import { resolveAlert } from "../alerts/alert.ts";
import { pingEnd, pingStart } from "../alerts/ping.ts";
import { alertFailedRun } from "../alerts/run-alerts.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { isSameProcess, processIdentity } from "../base/process/identity.ts";
import type { Catalog, Job, RunOutcome, RunRecord } from "../catalog/catalog.ts";
import { runLeaseName } from "../catalog/database-lease.ts";
import type { Held } from "../catalog/lease.ts";
import { holdLease } from "../catalog/lease.ts";
import { openCatalog } from "../catalog/open.ts";
import { CatalogUnwritableError } from "../catalog/unwritable.ts";
import type { Config } from "../config/config.ts";
import { openStorage } from "../storage/registry.ts";
import type { Storage } from "../storage/storage.ts";
import type { KeySources, Keys } from "./keys.ts";
import { loadKeys } from "./keys.ts";
import type { ProgressListener } from "./progress.ts";
import { prepareTempDir } from "./temp-dir.ts";

/** What every job works with. */
export interface JobContext extends AsyncDisposable {
  config: Config;
  catalog: Catalog;
  /** In the order of the config. */
  storages: readonly Storage[];
  keys: Keys;
  /** Id of this installation. */
  installation: string;
  log: Log;
  clock: Clock;
  signal: AbortSignal;
  host: string;
  pid: number;
  progress: ProgressListener;
  /** What began the runs of this context, if it was not a person. `began` is told once the record is there. */
  schedule?: { name: string; dueAt: Date; began?: (run: RunRecord) => void };
}

export interface ContextOptions extends KeySources {
  config: Config;
  log: Log;
  clock: Clock;
  signal: AbortSignal;
  progress: ProgressListener;
  /** One that is open already; it is not closed with the context. */
  catalog?: Catalog;
}

/** Opens catalog, storages and keys. Throws what they throw; nothing stays open then. */
export async function openContext(options: ContextOptions): Promise<JobContext> {
  const { config, log, clock, signal, progress } = options;
  await using opened = new AsyncDisposableStack();
  const keys = await loadKeys(config.encryption, options);
  await prepareTempDir(config.temp_dir, signal);
  const catalog = options.catalog ?? opened.use(await openCatalog(config.catalog, { clock, log }));
  const storages: Storage[] = [];
  for (const storage of config.storage) storages.push(opened.use(await openStorage(storage, { log, clock })));
  const installation = await installationOf(catalog, keys);
  const all = opened.move();
  return {
    config,
    catalog,
    storages,
    keys,
    installation,
    log,
    clock,
    signal,
    host: hostname(),
    pid: process.pid,
    progress,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** What others hear of a run. */
export interface RunScope {
  /** The one database that it is about. */
  about?: { server: string; database: string };
  /** Not the whole job but what somebody picked: no dead man's switch takes it for that. */
  isPart?: boolean;
  /** Nobody is told, whatever becomes of it. */
  isSilent?: boolean;
  /** It is done all the same where the catalog cannot be written: then no record tells of it, and the log says so. */
  isUrgent?: boolean;
}

/** The runs of this process that are under way, by id. */
const underWay = new Set<string>();

/** Whether a process that lives works on the run that was recorded of it: this one knows of its own. */
export function isWorkedOn(run: RunRecord): boolean {
  return !isSameProcess(run, processIdentity()) || underWay.has(run.id);
}

/**
 * Runs a job under a run record: exactly one outcome is recorded, whatever happens. `work` returns the
 * outcome and what it counted. The alert of a run that ends with an error is raised here; those of what it
 * found are its own.
 */
export async function recordRun<S extends Record<string, unknown>>(
  context: JobContext,
  job: Job,
  work: (run: RunRecord) => Promise<{ outcome: RunOutcome; statistics: S; error?: string | null }>,
  scope: RunScope = {},
): Promise<{ run: RunRecord; statistics: S }> {
  const { catalog, clock } = context;
  const run: RunRecord = {
    id: crypto.randomUUID(),
    job,
    outcome: "RUNNING",
    host: context.host,
    ...processIdentity(context.pid),
    started_at: clock.now().toISOString(),
    finished_at: null,
    statistics: null,
    error: null,
    schedule: context.schedule?.name ?? null,
    scheduled_for: context.schedule?.dueAt.toISOString() ?? null,
  };
  let isRecorded = true;
  const unrecorded = (error: unknown): undefined => {
    if (!scope.isUrgent || !(error instanceof CatalogUnwritableError)) throw error;
    if (isRecorded) context.log.warning("no record tells of this run", { job, error: error.message });
    isRecorded = false;
  };
  await using _goesOn = await holdRunLease(context, run).catch(unrecorded);
  underWay.add(run.id);
  if (isRecorded) {
    await catalog.insertRun(run).catch((error) => {
      underWay.delete(run.id);
      unrecorded(error);
    });
  }
  context.schedule?.began?.(run);
  const isPinged = !scope.isPart && !scope.isSilent;
  const started = isPinged ? pingStart(context, run) : undefined;
  const finish = async (end: Pick<RunRecord, "outcome" | "statistics" | "error">) => {
    const change = { ...end, finished_at: clock.now().toISOString() };
    if (isRecorded) await catalog.updateRun(run.id, change).catch(unrecorded);
    const ended = { ...run, ...change };
    await started;
    // One that the daemon's end has cut off is made up for: a dead man's switch goes on waiting for that.
    if (isPinged && ended.outcome !== "INTERRUPTED") await pingEnd(context, ended);
    return ended;
  };
  try {
    const { outcome, statistics, error = null } = await work(run);
    const ended = await finish({ outcome, statistics, error });
    // One that had nothing to do proves nothing.
    if (outcome !== "IDLE") await resolveAlert(context, job);
    return { run: ended, statistics };
  } catch (error) {
    const outcome = context.schedule && isStopped(context.signal) ? "INTERRUPTED" : "FAILED";
    const failed = await finish({ outcome, statistics: null, error: messageOf(error) });
    if (!scope.isSilent) await alertFailedRun(context, failed, scope, error);
    throw error;
  } finally {
    underWay.delete(run.id);
  }
}

/** Tells those who cannot see this process that the run goes on. */
function holdRunLease({ catalog, clock, host, pid }: JobContext, { id }: RunRecord): Promise<Held> {
  // It outlives the signal, and a catalog that fails: the end of the run is yet to be recorded.
  const tools = { clock, signal: new AbortController().signal, untilTaken: true };
  return holdLease(catalog, { name: runLeaseName(id), runId: id, host, pid }, tools);
}

/** Whether the program is being ended, and not this run for a reason of its own. */
function isStopped({ aborted, reason }: AbortSignal): boolean {
  return (
    aborted && reason instanceof Pg321Error && (reason.code === "terminated" || reason.code === "interrupted")
  );
}

/** The storages that every backup goes to: all but those that only take what others archive. */
export function backupStorages({ config, storages }: Pick<JobContext, "config" | "storages">): Storage[] {
  const archives = config.storage.flatMap(({ expire }) =>
    typeof expire === "object" ? expire.archive_to : [],
  );
  return storages.filter(({ name }) => !archives.includes(name));
}

/** The storage of that name, as the config has it now. */
export function storageNamed(context: Pick<JobContext, "storages">, name: string): Storage | undefined {
  return context.storages.find((storage) => storage.name === name);
}

/**
 * The id that the catalog has; a new one gets that of the keys, so that who lost the catalog, and even the
 * signing key, goes on as the same installation with the identity alone.
 */
async function installationOf(catalog: Catalog, keys: Keys): Promise<string> {
  const known = await catalog.installation();
  if (known !== undefined) return known;
  const named = keys.signingKey?.installation ?? (await keys.identity())?.installation;
  return catalog.belongTo(named ?? crypto.randomUUID());
}
