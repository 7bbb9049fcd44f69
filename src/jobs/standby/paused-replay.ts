import type { AlertContext } from "../../alerts/alert-context.ts";
import { deadline } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Config, ServerConfig } from "../../config/config.ts";
import { quoteIdentifier } from "../../postgres/archive/sql-text.ts";
import { connectWithin } from "../../postgres/bounded-connection.ts";
import type { Connection } from "../../postgres/connection.ts";
import { endpointOf } from "../../postgres/connection.ts";
import {
  inspectStandby,
  pauseRights,
  replayState,
  requestPause,
  resumeReplay,
} from "../../postgres/standby.ts";
import {
  addPauseFile,
  markEnded,
  pauseFiles,
  pauseFilesOf,
  removePauseFile,
  unreadableHint,
} from "./pause-files.ts";
import { alertResumed, alertStillPaused } from "./replay-alert.ts";

/** What the end of a pause needs: neither the catalog nor keys, which may be the reason for the end of pg321. */
export interface ReplayContext {
  config: Config;
  clock: Clock;
  log: Log;
  /** To record alerts; undefined: nobody can. */
  alerts?: AlertContext | undefined;
}

/** For the standby's confirmation of a pause. */
const PAUSE_MS_MAX = 30_000;
/** For a server that accepts a connection and does not answer. */
const RESUME_MS_MAX = 10_000;
const POLL_MS = 100;

/**
 * A standby whose replay of WAL is paused, until it is disposed of or the standby lies `standby.max_lag` behind. Several
 * dumps may pause the same standby: it goes on when the last one has ended. A pause of somebody else's is left alone.
 */
export class PausedReplay implements AsyncDisposable {
  readonly #context: ReplayContext;
  readonly #server: ServerConfig;
  readonly #file: string;
  readonly #ended = new AbortController();
  #limit: Promise<void> | undefined;

  private constructor(context: ReplayContext, server: ServerConfig, file: string) {
    this.#context = context;
    this.#server = server;
    this.#file = file;
  }

  /**
   * Undefined, with a warning in the log, if it cannot be paused: the dump is tried all the same. Throws the signal's
   * reason.
   */
  static async pause(
    context: AlertContext & { signal: AbortSignal },
    server: ServerConfig,
  ): Promise<PausedReplay | undefined> {
    const { log, clock, config, signal } = context;
    const late = () =>
      new Pg321Error(
        "database",
        `server "${server.name}": replay did not pause within ${PAUSE_MS_MAX / 1000} s`,
      );
    using time = deadline({ clock, signal, durationMs: PAUSE_MS_MAX }, late);
    try {
      const limit = { signal: time.signal, timeoutMs: PAUSE_MS_MAX };
      await using connection = await connectWithin(endpointOf(server), limit);
      const standby = await inspectStandby(connection);
      if (!standby) return undefined;
      if (standby.replay !== "not paused" && !(await isOurs(context, server))) {
        log.info("the replay of a standby is already paused, by somebody else", { server: server.name });
        return undefined;
      }
      const leftMs = Math.max(0, server.standby.max_lag_ms - (standby.lagMs ?? 0));
      const until = new Date(clock.now().getTime() + leftMs);
      const file = await addPauseFile(config.state_dir, server.name, until);
      const paused = new PausedReplay({ config, clock, log, alerts: context }, server, file);
      try {
        await requestPause(connection);
        while ((await replayState(connection)) !== "paused") await clock.sleep(POLL_MS, time.signal);
      } catch (error) {
        await paused[Symbol.asyncDispose]();
        throw error;
      }
      log.info("the replay of a standby is paused for a dump", { server: server.name });
      paused.#limit = paused.#resumeAfter(leftMs);
      return paused;
    } catch (error) {
      signal.throwIfAborted();
      log.warning("the replay of a standby could not be paused", {
        ...{ server: server.name, error: messageOf(error), hint: rightsHint(error, server) },
      });
      return undefined;
    }
  }

  async #resumeAfter(leftMs: number): Promise<void> {
    const { clock, log } = this.#context;
    try {
      await clock.sleep(leftMs, this.#ended.signal);
    } catch {
      return;
    }
    log.warning("the replay of a standby goes on before the dump has ended: it reached standby.max_lag", {
      ...{ server: this.#server.name, max_lag_ms: this.#server.standby.max_lag_ms },
    });
    await endPause(this.#context, this.#server, this.#file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    if (this.#limit) await this.#limit;
    await endPause(this.#context, this.#server, this.#file);
  }
}

function rightsHint(error: unknown, server: ServerConfig): string | undefined {
  if (!/permission denied/.test(messageOf(error))) return undefined;
  const { database } = endpointOf(server);
  return `on the primary, in database "${database}": ${pauseRights(quoteIdentifier(server.user))}`;
}

async function isOurs({ config, clock }: ReplayContext, { name }: ServerConfig): Promise<boolean> {
  return (await pauseFilesOf(name, config.state_dir, clock.now())).length > 0;
}

/**
 * Ends the pause of one file: replay goes on unless a dump that still runs has paused it too. If the server does not
 * answer, the file stays for the next attempt, and an alert says so. Returns whether it ended. Never throws.
 */
async function endPause(context: ReplayContext, server: ServerConfig, path: string): Promise<boolean> {
  const { config, clock, log } = context;
  try {
    const ended = await markEnded(path);
    const own = await pauseFilesOf(server.name, config.state_dir, clock.now());
    if (!own.some((file) => file.path === ended)) return true;
    if (!own.some((file) => file.path !== ended && file.isHeld)) {
      await resume(context, server);
      log.info("the replay of a standby goes on", { server: server.name });
      await alertResumed(context.alerts, server.name);
    }
    await removePauseFile(ended);
    return true;
  } catch (error) {
    log.error("the replay of a standby could not be resumed", {
      server: server.name,
      error: messageOf(error),
    });
    await alertStillPaused(context.alerts, server.name, messageOf(error));
    return false;
  }
}

async function resume({ clock }: ReplayContext, server: ServerConfig): Promise<void> {
  const late = () =>
    new Pg321Error("database", `server "${server.name}": no answer within ${RESUME_MS_MAX / 1000} s`);
  using time = deadline({ clock, durationMs: RESUME_MS_MAX }, late);
  const limit = { signal: time.signal, timeoutMs: RESUME_MS_MAX };
  await using connection: Connection = await connectWithin(endpointOf(server), limit);
  await resumeReplay(connection);
}

/** Numbers of pauses. */
export interface LeftPauses {
  resumed: number;
  /** The replay may still be paused. */
  failed: number;
  /** A dump that still runs needs them. */
  held: number;
}

/**
 * Ends the pauses that no dump needs any more: their process was killed, or could not reach the server. Never throws.
 */
export async function resumeLeft(context: ReplayContext): Promise<LeftPauses> {
  const { config, clock, log } = context;
  const count = { resumed: 0, failed: 0, held: 0 };
  const files = await pauseFiles(config.state_dir, clock.now()).catch((error: unknown) => {
    log.error("the files about paused standbys could not be read: the replay of one may still be paused", {
      error: messageOf(error),
    });
    return undefined;
  });
  if (!files) return { ...count, failed: 1 };
  for (const { path, server: name, isHeld, problem } of files) {
    if (problem !== undefined) {
      count.failed++;
      const fields = { server: name, file: path, error: problem, hint: unreadableHint(path) };
      log.error("the file about a paused standby cannot be read: its replay may still be paused", fields);
      continue;
    }
    if (isHeld) {
      count.held++;
      continue;
    }
    const server = config.server.find((one) => one.name === name);
    if (server && (await endPause(context, server, path))) count.resumed++;
    else count.failed++;
    if (!server)
      log.error("the replay of a standby may still be paused, but the config no longer names the server", {
        ...{ server: name, file: path },
        hint: "in psql on the standby: SELECT pg_wal_replay_resume(); then remove the file",
      });
  }
  // A pause that was ended without the catalog left its alert open.
  for (const { name } of config.server)
    if (!files.some(({ server }) => server === name)) await alertResumed(context.alerts, name);
  return count;
}
