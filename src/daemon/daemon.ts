import { deliverAlerts } from "../alerts/deliver.ts";
import { unlessAborted, unlessLate, waitAtMost } from "../base/abort.ts";
import { systemClock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { DELIVERY_RETRY_MS, MINUTE_MS } from "../base/limits.ts";
import { PoolWatch } from "../base/process/thread-pool.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Held } from "../catalog/lease.ts";
import type { Config } from "../config/config.ts";
import { refuseLostKey } from "../jobs/backup/backup.ts";
import type { ContextOptions, JobContext } from "../jobs/context.ts";
import { openContext } from "../jobs/context.ts";
import type { Schedule } from "../jobs/schedules.ts";
import { refuseSharedPlaces } from "../jobs/shared-places.ts";
import type { LiveDaemon } from "../status/live-daemon.ts";
import type { DaemonStatus, ReloadStatus, RunningStatus } from "../status/report.ts";
import { settleAndDeliver } from "../status/rule-changes.ts";
import { ActiveRuns } from "./active-runs.ts";
import { CatalogWatch } from "./catalog-watch.ts";
import { ContextInForce } from "./context-in-force.ts";
import { problemsOf, SCHEDULE_MS_MAX } from "./problems.ts";
import { alertReload, mistakesIn, refuseFixedChange, warnOfClosedPaths } from "./reload.ts";
import { Rest } from "./rest.ts";
import { AbandonedBackups } from "./schedule/abandoned.ts";
import type { StartingPlans } from "./schedule/plans.ts";
import { reloadedPlans, startingPlans } from "./schedule/plans.ts";
import { runScheduled } from "./schedule/scheduled-job.ts";
import type { Plan } from "./schedule/scheduler.ts";
import { Scheduler } from "./schedule/scheduler.ts";
import { alertSigningKey } from "./signing-key.ts";
import { statusLine } from "./status-line.ts";
import { StorageChecks } from "./storage-checks.ts";
import type { Notify } from "./systemd.ts";

export interface DaemonOptions extends Omit<ContextOptions, "signal" | "catalog"> {
  /** Already open; the daemon does not close it. */
  catalog: Catalog;
  /** Held as long as the daemon lives. */
  lease: Held;
  /** Loads the config again; rejects with its mistakes. */
  loadConfig: () => Promise<Config>;
  notify: Notify;
  /** Whether this is the process of the systemd unit, in its sandbox. */
  isService: boolean;
  /** The pause between two `WATCHDOG` messages to `notify`; undefined for none. */
  watchdogPauseMs: number | undefined;
  /** Called with each new config before it comes into force; if it rejects, the config is refused. */
  onConfig: (config: Config) => Promise<void>;
  /** Called after each reload, with the mistakes of a config that was refused. */
  onReload: (errors: readonly string[]) => Promise<void>;
}

const DELIVERY_PAUSE_MS = DELIVERY_RETRY_MS;
const SIGHTING_PAUSE_MS = 15 * MINUTE_MS;
/** How long the daemon waits for the delivery of the last alerts when it stops. */
const LAST_DELIVERY_MS = 5_000;
/** While runs end, systemd is repeatedly asked for this much more time. */
const EXTENSION_MS = 30_000;
/** How long the daemon waits after the grace period. Runs that have not ended then hang, and must not delay a shutdown. */
const ENDING_MS_MAX = 5 * MINUTE_MS;

/** Starts the jobs when they are due, until it is stopped. */
export class Daemon implements LiveDaemon {
  readonly #options: DaemonOptions;
  readonly #startedAt: Date;
  readonly #startedAtMs: number;
  readonly #scheduler: Scheduler;
  readonly #runs: ActiveRuns;
  readonly #sightings = new StorageChecks();
  readonly #rest = new Rest();
  readonly #catalogWatch: CatalogWatch;
  readonly #abandoned: AbandonedBackups;
  /** With the system clock, also in tests: the threads of this process cannot use another one. */
  readonly #pool: PoolWatch = new PoolWatch(systemClock);
  /** Aborted when the daemon begins to stop: nothing new may start. */
  readonly #stopping = new AbortController();
  /** Aborted when the daemon has stopped. */
  readonly #life = new AbortController();
  #inForce: ContextInForce;
  /** Interrupted runs that run again at the start, in addition to missed ones. */
  #interrupted: StartingPlans["interrupted"] = [];
  #isReady = false;
  #lastReload: ReloadStatus | null = null;
  #reloading: Promise<void> = Promise.resolve();
  #delivering: Promise<void> | undefined;
  #deliveredAtMs = Number.NEGATIVE_INFINITY;
  #sentStatus = "";

  private constructor(options: DaemonOptions, life: AbortController, context: JobContext) {
    const { clock, log, progress, config } = options;
    this.#options = options;
    this.#life = life;
    this.#inForce = new ContextInForce(context);
    this.#catalogWatch = new CatalogWatch(options);
    this.#startedAt = clock.now();
    this.#startedAtMs = clock.monotonicMs();
    const begin = (schedule: Schedule, dueAt: Date) => this.#runs.due(schedule, dueAt);
    this.#scheduler = new Scheduler({ clock, log, begin, onTick: () => this.#onTick() });
    const isBusy = (name: string) => this.running().some(({ schedule }) => schedule === name);
    this.#abandoned = new AbandonedBackups({ clock, log, isBusy, begin });
    this.#runs = new ActiveRuns({
      clock,
      log,
      progress,
      inForce: () => this.#inForce,
      scheduleNamed: (name) => this.#scheduler.scheduleNamed(name),
      maxParallel: config.schedule.max_parallel,
      perform: runScheduled,
      onChange: () => this.#sendStatus(),
      onEnd: () => this.#deliver(settleAndDeliver),
    });
  }

  /** Opens the context of the jobs and finds the missed runs. Starts nothing yet. Rejects as `openContext` does. */
  static async open(options: DaemonOptions): Promise<Daemon> {
    refuseLostKey(options.config);
    const life = new AbortController();
    const context = await openContext({ ...options, signal: life.signal });
    const daemon = new Daemon(options, life, context);
    const { plans, interrupted, skipped } = await startingPlans(context);
    for (const [name, count] of skipped) daemon.#runs.rememberSkips(name, count);
    daemon.#scheduler.follow(plans, options.config.schedule.catch_up_ms);
    daemon.#interrupted = interrupted;
    return daemon;
  }

  /** Works until the signal aborts and all runs have ended. Rejects if the lease is lost. */
  async run(signal: AbortSignal): Promise<void> {
    const { lease, notify, log } = this.#options;
    const end = AbortSignal.any([signal, lease.signal]);
    this.#isReady = true;
    notify({ READY: 1, STATUS: this.#status() });
    this.#runs.settle();
    for (const { schedule, dueAt } of this.#interrupted) this.#runs.due(schedule, dueAt);
    const loops = [
      this.#scheduler.run(this.#stopping.signal),
      this.#every(SIGHTING_PAUSE_MS, this.#stopping.signal, () => this.#look()),
      this.#feedWatchdog(),
    ];
    void this.#warnOfConfig();
    // The daemon has started with this config, so it is good.
    void alertReload(this.context(), []);
    await aborted(end);
    log.info("stopping", { reason: messageOf(end.reason) });
    const lost = () =>
      new Pg321Error("terminated", "the daemon stops: it lost its lease", { cause: lease.signal.reason });
    const graceMs = this.context().config.schedule.shutdown_grace_ms;
    const stopped = this.#stop(signal.aborted ? signal.reason : lost(), graceMs).then(() =>
      Promise.all(loops),
    );
    const limit = { clock: this.#options.clock, durationMs: graceMs + ENDING_MS_MAX };
    await unlessLate(stopped, limit, () => {
      log.error("the daemon stops although runs have not ended: they hang", {
        running: this.running().length,
      });
      return end.reason;
    });
    if (!signal.aborted) throw lease.signal.reason;
  }

  /** Loads the config and puts it into force; if that fails, keeps the previous one and logs the reason. Never throws. */
  reload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  context(): JobContext {
    return this.#inForce.context;
  }

  daemon(): DaemonStatus {
    const { config, pid } = this.context();
    return {
      pid,
      started_at: this.#startedAt.toISOString(),
      uptime_ms: Math.round(this.#options.clock.monotonicMs() - this.#startedAtMs),
      config_file: config.file,
      config_checksum: config.checksum,
      last_reload: this.#lastReload,
      is_stopping: this.#stopping.signal.aborted,
    };
  }

  running(): RunningStatus[] {
    return this.#runs.running();
  }

  nextRuns(): ReadonlyMap<string, Date> {
    return this.#stopping.signal.aborted ? new Map() : this.#scheduler.nextRuns();
  }

  problems(): Promise<string[]> {
    const isStopping = this.#stopping.signal.aborted;
    return problemsOf({ ...this.#options, scheduler: this.#scheduler, pool: this.#pool, isStopping });
  }

  waits(): string[] {
    if (this.#stopping.signal.aborted) return ["the daemon is stopping"];
    return this.#isReady ? [] : ["the daemon is starting"];
  }

  async #reload(): Promise<void> {
    const { notify, clock, log } = this.#options;
    if (this.#stopping.signal.aborted) return this.#options.onReload(["the daemon is stopping"]);
    notify({ RELOADING: 1, STATUS: "reloading the config" });
    let errors: string[] = [];
    try {
      await this.#takeConfig(await this.#options.loadConfig());
      log.info("a new config is in force", { checksum: this.context().config.checksum });
      await this.#warnOfConfig();
    } catch (error) {
      errors = mistakesIn(error);
      for (const mistake of errors) log.error("the new config was refused", { error: mistake });
    }
    this.#lastReload = { at: clock.now().toISOString(), is_ok: errors.length === 0, errors };
    await alertReload(this.context(), errors);
    this.#deliver();
    await this.#options.onReload(errors);
    notify({ READY: 1, STATUS: this.#status() });
  }

  async #takeConfig(config: Config): Promise<void> {
    const { log } = this.#options;
    const before = this.#inForce;
    refuseLostKey(config);
    refuseFixedChange(before.context.config, config);
    await refuseSharedPlaces(config, { clock: this.#options.clock, signal: this.#stopping.signal });
    for (const warning of config.warnings) log.warning(warning);
    const context = await openContext({ ...this.#options, config, signal: this.#life.signal });
    let plans: Plan[];
    try {
      plans = await reloadedPlans(context, (name) => this.#scheduler.settledUntil(name));
      await this.#options.onConfig(config);
    } catch (error) {
      await context[Symbol.asyncDispose]();
      throw error;
    }
    this.#inForce = new ContextInForce(context);
    this.#scheduler.follow(plans, config.schedule.catch_up_ms);
    this.#runs.follow(plans, config.schedule.max_parallel);
    before
      .retire()
      .catch((error) => log.error("the previous config could not be closed", { error: messageOf(error) }));
    void this.#look();
  }

  async #stop(reason: Error, graceMs: number): Promise<void> {
    const { notify, clock } = this.#options;
    this.#stopping.abort(reason);
    notify({ STOPPING: 1, STATUS: this.#status() });
    const ended = new AbortController();
    const untilMs = clock.monotonicMs() + graceMs + ENDING_MS_MAX;
    const extending = this.#every(EXTENSION_MS / 2, ended.signal, async () => {
      if (clock.monotonicMs() < untilMs)
        notify({ EXTEND_TIMEOUT_USEC: EXTENSION_MS * 1_000, STATUS: this.#status() });
    });
    await this.#reloading;
    await this.#runs.stop(reason, graceMs);
    this.#deliver();
    const delivered = this.#delivering ?? Promise.resolve();
    await waitAtMost(delivered, { clock, durationMs: LAST_DELIVERY_MS }).catch(() => {});
    ended.abort();
    this.#life.abort(reason);
    await Promise.all([extending, this.#delivering]);
    await this.#inForce.retire();
    await clock.sleep(0);
  }

  #onTick(): void {
    this.#pool.look();
    this.#sendStatus();
    this.#catalogWatch.look(this.context());
    this.#abandoned.look(this.#inForce);
    this.#rest.look(this.#runs, this.#options.clock.monotonicMs());
    if (this.#options.clock.monotonicMs() - this.#deliveredAtMs >= DELIVERY_PAUSE_MS) this.#deliver();
  }

  /** Delivers pending alerts; a call during a delivery starts another one after it. */
  #deliver(work: (context: JobContext) => Promise<void> = deliverAlerts): void {
    this.#deliveredAtMs = this.#options.clock.monotonicMs();
    const inForce = this.#inForce;
    const used = inForce.use();
    const delivery = (this.#delivering ?? Promise.resolve())
      .then(() => work(inForce.context))
      .finally(() => {
        used[Symbol.dispose]();
        if (this.#delivering === delivery) this.#delivering = undefined;
      });
    this.#delivering = delivery;
  }

  async #look(): Promise<void> {
    const inForce = this.#inForce;
    using _used = inForce.use();
    const signal = this.#stopping.signal;
    try {
      await unlessAborted(this.#sightings.look({ ...inForce.context, signal }), signal);
      // A run in progress raises its own alerts first.
      if (this.running().length === 0) this.#deliver(settleAndDeliver);
    } catch (error) {
      if (!signal.aborted)
        this.#options.log.error("checking servers and storages failed", { error: messageOf(error) });
    }
  }

  async #feedWatchdog(): Promise<void> {
    const { notify, watchdogPauseMs } = this.#options;
    if (watchdogPauseMs === undefined) return;
    // A failing catalog does not stop the watchdog: a restart would not repair a disk, and would end running runs.
    await this.#every(watchdogPauseMs, this.#life.signal, async () => {
      if (this.#scheduler.silentMs() <= SCHEDULE_MS_MAX || this.#stopping.signal.aborted)
        notify({ WATCHDOG: 1 });
    });
  }

  #status(): string {
    return statusLine(this.running(), this.nextRuns(), {
      isStopping: this.#stopping.signal.aborted,
      refused: this.#lastReload?.is_ok === false,
    });
  }

  #sendStatus(): void {
    const status = this.#status();
    if (status === this.#sentStatus) return;
    this.#sentStatus = status;
    this.#options.notify({ STATUS: status });
  }

  async #warnOfConfig(): Promise<void> {
    const { isService, log } = this.#options;
    if (isService) await warnOfClosedPaths(this.context().config, log);
    await alertSigningKey(this.context());
  }

  /** Does the work at once, and again after each pause, until the signal aborts. */
  async #every(pauseMs: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await work();
      await this.#options.clock.sleep(pauseMs, signal).catch(() => {});
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
