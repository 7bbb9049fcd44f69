import { waitAtMost } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { rfc3339 } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { HOUR_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { unreachableSince } from "../catalog/spool/reachable.ts";
import type { JobContext } from "../jobs/context.ts";
import { reconcile } from "../jobs/copies/reconcile.ts";
import type { ProgressListener } from "../jobs/progress.ts";
import type { Schedule } from "../jobs/schedules.ts";
import { sweepScratch } from "../jobs/scratch/sweep.ts";
import { resumeLeft } from "../jobs/standby/paused-replay.ts";
import type { RunningStatus } from "../status/report.ts";
import type { ContextInForce } from "./context-in-force.ts";
import { LiveProgress } from "./live-progress.ts";
import { owedAfterReload } from "./schedule/owed.ts";
import type { runScheduled } from "./schedule/scheduled-job.ts";
import {
  alertNoRun,
  claimOf,
  endSkips,
  isHeldElsewhere,
  mayBeginLater,
  recordSkip,
  selectsAny,
} from "./schedule/scheduled-job.ts";
import type { Claim } from "./turns.ts";
import { covers, HeldTurn, Turns } from "./turns.ts";

export interface ActiveRunsOptions {
  clock: Clock;
  log: Log;
  progress: ProgressListener;
  /** The context of the config in force. */
  inForce: () => ContextInForce;
  /** The schedule with this name in the config in force. */
  scheduleNamed: (name: string) => Schedule | undefined;
  maxParallel: number;
  /** Carries out a run: `runScheduled`, except in tests. */
  perform: typeof runScheduled;
  /** Called when a run changes its state. */
  onChange: () => void;
  /** Called when a run has ended. */
  onEnd: () => void;
}

interface ActiveRun {
  /** Until it begins, with the databases that a new config left to it. */
  schedule: Schedule;
  dueAt: Date;
  /** When it was queued; once it is running, when it started. */
  startedAt: Date;
  state: RunningStatus["state"];
  runId: string | null;
  progress: LiveProgress;
  ending: AbortController;
  /** From then on a new config no longer changes it. */
  hasBegun: boolean;
}

/** How often a run that waits for the catalog looks for it. */
const OUTAGE_LOOK_MS = 5_000;
/** The longest pause before a retry. */
const RETRY_PAUSE_MS_MAX = HOUR_MS;

/** The runs of all schedules, from their due time to their end. */
export class ActiveRuns {
  readonly #options: ActiveRunsOptions;
  readonly #turns: Turns;
  /** By the name of the schedule, which has at most one run. */
  readonly #runs = new Map<string, ActiveRun>();
  readonly #ends = new Set<Promise<void>>();
  /** By the name of the schedule: how many runs in a row were skipped. */
  readonly #skipped = new Map<string, number>();
  readonly #stopping = new AbortController();
  #endedAtMs: number | undefined;

  constructor(options: ActiveRunsOptions) {
    this.#options = options;
    this.#turns = new Turns(options.maxParallel);
  }

  /** Follows the schedules of a new config. Runs that have begun keep theirs. */
  follow(plans: readonly { schedule: Schedule }[], maxParallel: number): void {
    const waiting = [...this.#runs.values()].filter(({ hasBegun }) => !hasBegun);
    const owed = owedAfterReload(
      waiting.map(({ schedule }) => schedule),
      plans.map(({ schedule }) => schedule),
    );
    for (const [i, run] of waiting.entries()) run.schedule = owed[i] ?? run.schedule;
    this.#turns.maxParallel = maxParallel;
  }

  /** Sets the number of runs skipped in a row before this start, from the catalog. */
  rememberSkips(name: string, skipped: number): void {
    this.#skipped.set(name, skipped);
  }

  /** Settles the backups that were interrupted before this start, ahead of every run. */
  settle(): void {
    this.#keep(
      this.#withTurn({ type: "upkeep" }, this.#stopping.signal, async (context) => {
        await resumeLeft({ ...context, alerts: context });
      }).catch((error) => this.#logUnlessStopping("paused standbys could not be resumed", error)),
    );
    this.#keep(
      this.#withTurn({ type: "upkeep" }, this.#stopping.signal, (context) => reconcile(context)).catch(
        (error) => this.#logUnlessStopping("interrupted backups could not be settled", error),
      ),
    );
    this.#keep(
      this.#withTurn({ type: "verify" }, this.#stopping.signal, async (context) => {
        await sweepScratch(context);
      }).catch((error) =>
        this.#logUnlessStopping("the remains of restore tests could not be removed", error),
      ),
    );
  }

  /** Queues a run that is due, or skips it if the previous run of the schedule has not ended. */
  due(schedule: Schedule, dueAt: Date): void {
    if (this.#stopping.signal.aborted) return;
    const before = this.#runs.get(schedule.name);
    if (before) {
      const waits = before.state === "queued" ? "still waits for its turn" : "is still in progress";
      this.#keep(this.#skip(schedule, dueAt, `the previous run, due at ${rfc3339(before.dueAt)}, ${waits}`));
      return;
    }
    const run: ActiveRun = {
      schedule,
      dueAt,
      startedAt: this.#options.clock.now(),
      state: "queued",
      runId: null,
      progress: new LiveProgress(this.#options.progress),
      ending: new AbortController(),
      hasBegun: false,
    };
    this.#runs.set(schedule.name, run);
    this.#keep(this.#carryOut(run));
  }

  /** When the last run ended, by the monotonic clock; undefined before the first one. */
  get endedAtMs(): number | undefined {
    return this.#endedAtMs;
  }

  running(): RunningStatus[] {
    const { context } = this.#options.inForce();
    return [...this.#runs.values()].map(({ schedule, state, runId, startedAt, progress }) => ({
      run_id: runId,
      job: schedule.job,
      schedule: schedule.name,
      host: context.host,
      pid: context.pid,
      started_at: startedAt.toISOString(),
      state,
      progress: progress.status(),
    }));
  }

  /**
   * Drops waiting runs at once and gives running ones `graceMs` to end, then aborts them. Resolves when all runs have
   * ended.
   */
  async stop(reason: Error, graceMs: number): Promise<void> {
    this.#stopping.abort(reason);
    for (const run of this.#runs.values()) if (run.state !== "running") run.ending.abort(reason);
    await waitAtMost(this.#ended(), { clock: this.#options.clock, durationMs: graceMs });
    for (const { schedule, ending } of this.#runs.values()) {
      this.#options.log.warning("a run is aborted: it did not end within schedule.shutdown_grace", {
        schedule: schedule.name,
      });
      ending.abort(reason);
    }
    await this.#ended();
  }

  async #ended(): Promise<void> {
    while (this.#ends.size > 0) await Promise.all(this.#ends);
  }

  #keep(work: Promise<void>): void {
    const end = work.finally(() => this.#ends.delete(end));
    this.#ends.add(end);
  }

  /** Never throws. */
  async #carryOut(run: ActiveRun): Promise<void> {
    const { clock, log, onChange, onEnd, inForce } = this.#options;
    const { schedule, ending } = run;
    try {
      for (let retry = 1; ; retry++) {
        const { context } = inForce();
        try {
          while (!(await this.#begin(run)));
          break;
        } catch (error) {
          const isOver = run.runId !== null || ending.signal.aborted || !mayBeginLater(error);
          if (isOver || retry > context.config.schedule.retries) throw error;
          run.hasBegun = false;
          log.error("a run could not start", { schedule: schedule.name, error: messageOf(error) });
          await this.#pause(run, context, retry);
        }
      }
    } catch (error) {
      await this.#reportFailure(run, error);
    } finally {
      this.#runs.delete(schedule.name);
      this.#endedAtMs = clock.monotonicMs();
      onChange();
      onEnd();
    }
  }

  /** Returns false if a new config has given the run databases of other servers while it waited for its turn. */
  async #begin(run: ActiveRun): Promise<boolean> {
    const { clock, log } = this.#options;
    const { schedule, ending } = run;
    const about = { schedule: schedule.name, due_at: rfc3339(run.dueAt) };
    if (schedule.job !== "backup") await this.#untilReachable(run);
    const claim = await claimOf(this.#options.inForce().context, schedule);
    let isClaimed = true;
    await this.#withTurn(claim, ending.signal, async (context, turn) => {
      const current = run.schedule;
      const isCovered = current === schedule || covers(claim, await claimOf(context, current));
      isClaimed = isCovered && run.schedule === current;
      if (!isClaimed) return;
      run.hasBegun = true;
      const isGone = this.#options.scheduleNamed(schedule.name) === undefined;
      if (isGone && !(await selectsAny(context, current)))
        return log.info("a run was dropped: its schedule no longer exists", about);
      this.#skipped.set(schedule.name, 0);
      await endSkips(context, schedule);
      this.#change(run, "running");
      run.startedAt = clock.now();
      log.info("a run starts", about);
      const began = ({ id }: { id: string }) => {
        run.runId = id;
      };
      const own = { progress: run.progress, schedule: { name: schedule.name, dueAt: run.dueAt, began } };
      const outcome = await this.#options.perform({ ...context, ...own }, current, (round) =>
        this.#repeat(run, context, turn, round),
      );
      log.info("a run has ended", { ...about, run_id: run.runId ?? undefined, outcome });
    });
    return isClaimed;
  }

  /** Only backups go on without the catalog; other jobs may remove copies, or must see all of them. */
  async #untilReachable({ schedule, ending }: ActiveRun): Promise<void> {
    const { clock, log, inForce } = this.#options;
    const isAway = () => unreachableSince(inForce().context.catalog) !== undefined;
    if (isAway()) log.info("a run waits until the catalog is reachable", { schedule: schedule.name });
    while (isAway()) await clock.sleep(OUTAGE_LOOK_MS, ending.signal);
  }

  /** Repeats the rounds of a run until one succeeds or the retries are used up. Other runs get a turn in the pauses. */
  async #repeat(
    run: ActiveRun,
    context: JobContext,
    turn: HeldTurn,
    round: () => Promise<boolean>,
  ): Promise<void> {
    for (let retry = 1; (await round()) && retry <= context.config.schedule.retries; retry++) {
      await turn.leaveFor(() => this.#pause(run, context, retry));
      this.#change(run, "running");
    }
  }

  async #reportFailure({ schedule, dueAt, runId, ending }: ActiveRun, error: unknown): Promise<void> {
    const about = { schedule: schedule.name, due_at: rfc3339(dueAt), error: messageOf(error) };
    if (runId === null && isHeldElsewhere(error)) return this.#skip(schedule, dueAt, messageOf(error));
    if (!ending.signal.aborted) {
      this.#options.log.error("a run has failed", about);
      if (runId === null) await this.#alertNoRun(schedule, error);
    } else if (runId === null) this.#options.log.info("a waiting run was dropped", about);
    else this.#options.log.warning("a run was interrupted; it runs again at the next start", about);
  }

  async #pause(run: ActiveRun, { config }: JobContext, retry: number): Promise<void> {
    const { clock, log } = this.#options;
    const pauseMs = Math.min(
      Math.max(RETRY_PAUSE_MS_MAX, config.schedule.retry_delay_ms),
      config.schedule.retry_delay_ms * 2 ** (retry - 1),
    );
    const until = new Date(clock.now().getTime() + pauseMs);
    log.warning("a run failed and will be retried", {
      schedule: run.schedule.name,
      retry,
      retries: config.schedule.retries,
      at: rfc3339(until),
    });
    this.#change(run, "retrying");
    await clock.sleep(pauseMs, run.ending.signal);
    this.#change(run, "queued");
  }

  async #alertNoRun(schedule: Schedule, error: unknown): Promise<void> {
    const inForce = this.#options.inForce();
    using _used = inForce.use();
    await alertNoRun(inForce.context, schedule, error);
  }

  /** Never throws. */
  async #skip(schedule: Schedule, dueAt: Date, reason: string): Promise<void> {
    const skipped = (this.#skipped.get(schedule.name) ?? 0) + 1;
    this.#skipped.set(schedule.name, skipped);
    const inForce = this.#options.inForce();
    using _used = inForce.use();
    try {
      await recordSkip(inForce.context, schedule, dueAt, { reason, skipped });
    } catch (error) {
      this.#logUnlessStopping("a skipped run could not be recorded", error);
    }
  }

  async #withTurn(
    claim: Claim,
    signal: AbortSignal,
    work: (context: JobContext, turn: HeldTurn) => Promise<void>,
  ): Promise<void> {
    using turn = await HeldTurn.take(this.#turns, claim, signal);
    const inForce = this.#options.inForce();
    using _used = inForce.use();
    await work({ ...inForce.context, signal }, turn);
  }

  #change(run: ActiveRun, state: ActiveRun["state"]): void {
    run.state = state;
    this.#options.onChange();
  }

  #logUnlessStopping(message: string, error: unknown): void {
    if (!this.#stopping.signal.aborted) this.#options.log.error(message, { error: messageOf(error) });
  }
}
