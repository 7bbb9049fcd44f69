import { resolveAlert } from "../alerts/alert.ts";
import type { AlertContext } from "../alerts/alert-context.ts";
import { alertHosts, resolveAlertsOfForgotten } from "../alerts/host-alerts.ts";
import { hostKey } from "../alerts/host-key.ts";
import { unlessLate, waitAtMost } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { HEARTBEAT_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import { VERSION } from "../base/version.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { HostRecord } from "../catalog/hosts.ts";
import type { Held } from "../catalog/lease.ts";
import { unreachableSince } from "../catalog/spool/reachable.ts";
import { placesOf } from "../jobs/register-host.ts";
import { timetableOf } from "../jobs/schedules.ts";
import type { LiveDaemon } from "../status/live-daemon.ts";

/** How long a stopping daemon waits for the record of its stop. */
const LAST_BEAT_MS = 5_000;
/** How often a daemon looks whether the catalog is reachable again: until its next heartbeat the others see it as silent. */
const LOOK_MS = 5_000;

export interface HeartbeatOptions {
  live: Pick<LiveDaemon, "context" | "nextRuns" | "problems">;
  /** With what belongs to all hosts. */
  catalog: Catalog;
  /** Once it is lost, another daemon may work under this host's name, and writes the record. */
  lease: Pick<Held, "signal">;
  clock: Clock;
  log: Log;
}

/**
 * Keeps this host's record in the catalog: at once, every `HEARTBEAT_MS`, when the catalog is reachable again, and at the end
 * that the daemon has stopped.
 * Never throws: a daemon works without it.
 */
export class Heartbeat implements AsyncDisposable {
  readonly #options: HeartbeatOptions;
  readonly #ended = new AbortController();
  #startedAt: string | undefined;
  #error = "";
  /** Since when, by the monotonic clock, every heartbeat was recorded in time; undefined if the last one was not. */
  #steadySinceMs: number | undefined;
  #recordedAtMs = Number.NEGATIVE_INFINITY;
  #beating: Promise<void> = Promise.resolve();

  private constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves once the host is recorded, or could not be. */
  static async start(options: HeartbeatOptions): Promise<Heartbeat> {
    const heartbeat = new Heartbeat(options);
    await heartbeat.#beat();
    heartbeat.#beating = heartbeat.#go();
    return heartbeat;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    const last = this.#beating.then(() => this.#beat(true));
    await waitAtMost(last, { clock: this.#options.clock, durationMs: LAST_BEAT_MS }).catch(() => {});
  }

  async #go(): Promise<void> {
    const { signal } = this.#ended;
    for (;;) {
      await this.#pause(signal);
      if (signal.aborted) return;
      await this.#beat();
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const { catalog, clock } = this.#options;
    const isOut = () => unreachableSince(catalog) !== undefined;
    if (!isOut()) return await clock.sleep(HEARTBEAT_MS, signal).catch(() => {});
    const endMs = clock.monotonicMs() + HEARTBEAT_MS;
    while (isOut() && !signal.aborted && clock.monotonicMs() < endMs)
      await clock.sleep(LOOK_MS, signal).catch(() => {});
  }

  async #beat(isLast = false): Promise<void> {
    const { catalog, clock, lease, log } = this.#options;
    if (lease.signal.aborted) return;
    try {
      const late = () => new Pg321Error("storage", `no answer within ${HEARTBEAT_MS / 1000} s`);
      await unlessLate(this.#record(catalog, isLast), { clock, durationMs: HEARTBEAT_MS }, late);
      this.#error = "";
      if (!isLast) await this.#watchOthers();
    } catch (error) {
      const message = messageOf(error);
      if (message !== this.#error)
        log.warning("the sign of life of this host could not be recorded", { error: message });
      this.#error = message;
      this.#steadySinceMs = undefined;
    }
  }

  /**
   * If this daemon hung, or could not reach the catalog, the others may look silent only because they could not either: it
   * waits as long as they have for their next heartbeat.
   */
  async #watchOthers(): Promise<void> {
    const { live, catalog, clock } = this.#options;
    const context = live.context();
    if (!catalog.isShared) return;
    const nowMs = clock.monotonicMs();
    const isLate = nowMs - this.#recordedAtMs > 2 * HEARTBEAT_MS;
    this.#recordedAtMs = nowMs;
    const isOut = unreachableSince(catalog) !== undefined;
    if (isLate || isOut) this.#steadySinceMs = undefined;
    // What this host remembers of the others says nothing about them.
    if (isOut) return;
    this.#steadySinceMs ??= nowMs;
    const mayAccuse = nowMs - this.#steadySinceMs >= context.config.fleet.silent_after_ms;
    await alertHosts({ ...context, catalog }, { now: await catalog.leaseTime(clock), mayAccuse });
  }

  async #record(catalog: Catalog, isLast: boolean): Promise<void> {
    const problems = isLast ? [] : await this.#options.live.problems();
    const now = (await catalog.leaseTime(this.#options.clock)).toISOString();
    const isFirst = this.#startedAt === undefined;
    this.#startedAt ??= now;
    const record = hostRecord(this.#options.live, { now, startedAt: this.#startedAt });
    await catalog.hosts.put({ ...record, problems, stopped_at: isLast ? now : null });
    if (isFirst && !catalog.isShared) await forgetOthers({ ...this.#options.live.context(), catalog }, now);
  }
}

/**
 * A catalog in a file has one host: other names are earlier ones of it, such as those of containers, or, in a copy of a
 * shared one, those of hosts that no longer use it. Nobody would resolve what the latter have raised.
 */
async function forgetOthers(context: AlertContext, now: string): Promise<void> {
  const { catalog } = context;
  for (const { host } of await catalog.hosts.all()) {
    if (host === context.host) continue;
    await resolveAlert(context, hostKey(host), `host ${host} does not use this catalog`);
    await resolveAlertsOfForgotten(context, host);
    await catalog.hosts.forget(host, now);
  }
}

function hostRecord(
  live: HeartbeatOptions["live"],
  { now, startedAt }: { now: string; startedAt: string },
): Omit<HostRecord, "problems" | "stopped_at"> {
  const { config, host, keys, pid } = live.context();
  const next = live.nextRuns();
  return {
    host,
    version: VERSION,
    pid,
    started_at: startedAt,
    heartbeat_at: now,
    ...placesOf({ config, keys }),
    next_runs: timetableOf(config, new Date(now)).map(({ name, job, intervalMs }) => ({
      schedule: name,
      job,
      at: next.get(name)?.toISOString() ?? null,
      interval_ms: intervalMs ?? null,
    })),
  };
}
