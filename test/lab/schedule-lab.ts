import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import { Pg321Error } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { openCatalog } from "../../src/catalog/open.ts";
import type { RunRecord } from "../../src/catalog/records.ts";
import type { ScheduleConfig } from "../../src/config/config.ts";
import { ActiveRuns } from "../../src/daemon/active-runs.ts";
import { ContextInForce } from "../../src/daemon/context-in-force.ts";
import { startingPlans } from "../../src/daemon/schedule/plans.ts";
import { Scheduler } from "../../src/daemon/schedule/scheduler.ts";
import type { Repeat } from "../../src/jobs/backup/backup.ts";
import { closeRuns } from "../../src/jobs/close-runs.ts";
import type { JobContext } from "../../src/jobs/context.ts";
import { silentProgress } from "../../src/jobs/progress.ts";
import { recordRun } from "../../src/jobs/record-run.ts";
import type { Schedule } from "../../src/jobs/schedules.ts";
import { loadToml, MINIMAL } from "../fixtures/config-file.ts";
import { ManualClock } from "./manual-clock.ts";

/** No process has such an id, so the process of a run with it is dead. */
const NO_PID = 2 ** 22 + 1;

/** A running job, which lasts until the test ends it. */
export interface Job {
  schedule: string;
  dueAt: Date;
  end: (how?: "OK" | Error) => void;
  /** Ends its round like a backup that failed, which is worth another try. Resolves when that begins, if it does. */
  fail: () => Promise<void>;
}

/** A clock that can also be set, as people and time servers do. */
class SettableClock implements Clock {
  readonly manual: ManualClock;
  /** By how many ms it was set forward (negative: back). */
  offsetMs = 0;

  constructor(startedAt: Date) {
    this.manual = new ManualClock(startedAt);
  }

  now = () => new Date(this.manual.now().getTime() + this.offsetMs);
  monotonicMs = () => this.manual.monotonicMs();
  sleep: Clock["sleep"] = (delayMs, signal) => this.manual.sleep(delayMs, signal);
}

/**
 * The schedule of a daemon with a real catalog and a manual clock. The test provides the jobs; the program decides when
 * they start and what is recorded.
 */
export class ScheduleLab implements AsyncDisposable {
  readonly clock: SettableClock;
  readonly catalog: Catalog;
  readonly #directory: string;
  readonly #config: JobContext["config"];
  #process: { scheduler: Scheduler; runs: ActiveRuns; life: AbortController } | undefined;
  #jobs: Job[] = [];
  /** The error that the next job throws before anything is recorded. */
  refusal: Error | undefined;

  private constructor(
    directory: string,
    catalog: Catalog,
    clock: SettableClock,
    config: JobContext["config"],
  ) {
    this.#directory = directory;
    this.catalog = catalog;
    this.clock = clock;
    this.#config = config;
  }

  static async make(
    schedule: Partial<ScheduleConfig>,
    startedAt: string,
    timezone = "UTC",
  ): Promise<ScheduleLab> {
    const directory = await mkdtemp(join(tmpdir(), "pg321-schedule-"));
    const clock = new SettableClock(new Date(startedAt));
    const catalog = await openCatalog({ type: "sqlite", path: join(directory, "catalog.db") }, { clock });
    const config = await loadToml(MINIMAL);
    const off = { backup: "off", cleanup: "off", verify: "off", repair: "off" };
    Object.assign(config, { timezone, schedule: { ...config.schedule, ...off, ...schedule } });
    return new ScheduleLab(directory, catalog, clock, config);
  }

  /** The running jobs, in the order of their starts. */
  get jobs(): readonly Job[] {
    return this.#jobs;
  }

  get runs(): ActiveRuns {
    return this.#alive().runs;
  }

  get scheduler(): Scheduler {
    return this.#alive().scheduler;
  }

  setSchedule(schedule: Partial<ScheduleConfig>): void {
    Object.assign(this.#config.schedule, schedule);
  }

  /** Starts the daemon. */
  async start(): Promise<void> {
    const { clock, catalog } = this;
    const life = new AbortController();
    const context = {
      config: this.#config,
      catalog,
      storages: [],
      installation: "0a0a0a0a-0000-4000-8000-000000000000",
      log: silentLog,
      clock,
      signal: life.signal,
      host: "here",
      pid: NO_PID,
      progress: silentProgress,
      [Symbol.asyncDispose]: async () => {},
    } as unknown as JobContext;
    await closeRuns(context);
    const inForce = new ContextInForce(context);
    const scheduler = new Scheduler({ clock, log: silentLog, begin: (...due) => runs.due(...due) });
    const runs: ActiveRuns = new ActiveRuns({
      clock,
      log: silentLog,
      progress: silentProgress,
      inForce: () => inForce,
      scheduleNamed: (name) => scheduler.scheduleNamed(name),
      maxParallel: this.#config.schedule.max_parallel,
      perform: (own, schedule, repeat) => this.#perform(own, schedule, repeat, life.signal),
      onChange: () => {},
      onEnd: () => {},
    });
    const { plans, interrupted, skipped } = await startingPlans(context);
    for (const [name, count] of skipped) runs.rememberSkips(name, count);
    scheduler.follow(plans, this.#config.schedule.catch_up_ms);
    for (const { schedule, dueAt } of interrupted) runs.due(schedule, dueAt);
    this.#process = { scheduler, runs, life };
    void scheduler.run(life.signal);
    await this.settle();
  }

  /** Stops the daemon as SIGTERM does. Running jobs get `graceMs`, and the test does not end them meanwhile. */
  async stop(graceMs = 0): Promise<void> {
    const { runs, life } = this.#alive();
    const reason = new Pg321Error("terminated", "ended by SIGTERM");
    life.abort(reason);
    await this.clock.manual.advanceUntil(runs.stop(reason, graceMs), 1_000);
    this.#process = undefined;
    this.#jobs = [];
  }

  /** Ends the daemon as `kill -9` does: nothing more is done or recorded. */
  crash(): void {
    this.#alive().life.abort(new Error("killed"));
    this.#process = undefined;
    this.#jobs = [];
  }

  /** Advances the time, and lets everything happen that follows. */
  async pass(durationMs: number): Promise<void> {
    await this.clock.manual.advance(durationMs);
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await this.clock.manual.advance(0);
  }

  /** The records of one schedule, or of all, oldest first. */
  async records(schedule?: string): Promise<RunRecord[]> {
    const runs = (await this.catalog.runs({})).reverse();
    return runs.filter((run) => schedule === undefined || run.schedule === schedule);
  }

  /** `2026-11-23T02:00 OK`, one for each record. */
  async outcomes(schedule?: string): Promise<string[]> {
    const runs = await this.records(schedule);
    return runs.map(({ scheduled_for, outcome }) => `${scheduled_for?.slice(0, 16)} ${outcome}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.life.abort(new Error("the test is over"));
    await this.catalog[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true });
  }

  #alive() {
    if (!this.#process) throw new Error("no daemon runs");
    return this.#process;
  }

  async #perform(
    context: JobContext,
    { job: kind }: Schedule,
    repeat: Repeat,
    life: AbortSignal,
  ): Promise<"OK"> {
    const { schedule } = context;
    const { refusal } = this;
    this.refusal = undefined;
    if (refusal) throw refusal;
    if (!schedule) throw new Error("a job without a schedule");
    let round = Promise.withResolvers<boolean>();
    let again = Promise.withResolvers<void>();
    const job: Job = {
      schedule: schedule.name,
      dueAt: schedule.dueAt,
      end: (how = "OK") => (how === "OK" ? round.resolve(false) : round.reject(how)),
      fail: () => {
        again = Promise.withResolvers();
        round.resolve(true);
        return again.promise;
      },
    };
    round.promise.catch(() => {});
    context.signal.addEventListener("abort", () => round.reject(context.signal.reason), { once: true });
    const work = async () => {
      this.#jobs.push(job);
      await repeat(async () => {
        context.signal.throwIfAborted();
        round = Promise.withResolvers();
        again.resolve();
        return round.promise;
      });
      return { outcome: "OK" as const, statistics: {} };
    };
    try {
      await recordRun(context, kind, work, { isSilent: true });
      return "OK";
    } finally {
      if (!life.aborted) this.#jobs = this.#jobs.filter((other) => other !== job);
    }
  }
}
