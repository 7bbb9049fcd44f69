import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import type { AlertContext } from "../../alerts/alert-context.ts";
import { deadline } from "../../base/abort.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { ServerConfig } from "../../config/config.ts";
import { quoteIdentifier } from "../../postgres/archive/sql-text.ts";
import type { Connection } from "../../postgres/connection.ts";
import { connect, endpointOf } from "../../postgres/connection.ts";
import {
  inspectStandby,
  pauseRights,
  replayState,
  requestPause,
  resumeReplay,
} from "../../postgres/standby.ts";
import type { JobContext } from "../context.ts";
import { addPauseFile, pauseFiles, removePauseFile } from "./pause-files.ts";

type PauseContext = AlertContext & Pick<JobContext, "signal">;

/** Replay pauses at the next record, which an idle primary may not send soon; without one there is no conflict either. */
const PAUSE_MS_MAX = 30_000;
const POLL_MS = 100;

/**
 * A standby whose replay of WAL is paused, until it is disposed of or the standby lies `standby.max_lag` behind. Several
 * dumps may pause the same standby: it goes on when the last one has ended. A pause of somebody else's is left alone.
 */
export class PausedReplay implements AsyncDisposable {
  readonly #context: PauseContext;
  readonly #server: ServerConfig;
  readonly #file: string;
  readonly #ended = new AbortController();
  #limit: Promise<void> | undefined;

  private constructor(context: PauseContext, server: ServerConfig, file: string) {
    this.#context = context;
    this.#server = server;
    this.#file = file;
  }

  /** Undefined, with a warning in the log, if it cannot be paused: the dump is tried all the same. Throws the signal's reason. */
  static async pause(context: PauseContext, server: ServerConfig): Promise<PausedReplay | undefined> {
    const { log, signal } = context;
    try {
      await using connection = await connect(endpointOf(server));
      const standby = await inspectStandby(connection);
      if (!standby) return undefined;
      if (standby.replay !== "not paused" && !(await isOurs(context, server))) {
        log.info("the replay of a standby is already paused, by somebody else", { server: server.name });
        return undefined;
      }
      const paused = new PausedReplay(
        context,
        server,
        await addPauseFile(context.config.state_dir, server.name),
      );
      try {
        await pauseNow(context, connection);
      } catch (error) {
        await paused[Symbol.asyncDispose]();
        throw error;
      }
      log.info("the replay of a standby is paused for a dump", { server: server.name });
      paused.#limit = paused.#resumeAtLimit(standby.lagMs ?? 0);
      return paused;
    } catch (error) {
      signal.throwIfAborted();
      const hint = `on the primary: ${pauseRights(quoteIdentifier(server.user))}`;
      log.warning("the replay of a standby could not be paused", {
        ...{ server: server.name, error: messageOf(error) },
        hint: /permission denied/.test(messageOf(error)) ? hint : undefined,
      });
      return undefined;
    }
  }

  async #resumeAtLimit(lagMs: number): Promise<void> {
    const { clock, log } = this.#context;
    const { max_lag_ms } = this.#server.standby;
    try {
      await clock.sleep(Math.max(0, max_lag_ms - lagMs), this.#ended.signal);
    } catch {
      return;
    }
    log.warning("the replay of a standby goes on before the dump has ended: it reached standby.max_lag", {
      ...{ server: this.#server.name, max_lag_ms },
    });
    await this.#resume();
  }

  async #resume(): Promise<void> {
    await endPause(this.#context, this.#server, this.#file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#limit;
    await this.#resume();
  }
}

async function isOurs({ config }: PauseContext, { name }: ServerConfig): Promise<boolean> {
  const files = await pauseFiles(config.state_dir);
  return files.some(({ server }) => server === name);
}

async function pauseNow({ clock, signal }: PauseContext, connection: Connection): Promise<void> {
  const late = () =>
    new Pg321Error(
      "database",
      `${connection.endpoint.label}: replay did not pause within ${PAUSE_MS_MAX / 1000} s`,
    );
  using time = deadline({ clock, signal, durationMs: PAUSE_MS_MAX }, late);
  await requestPause(connection);
  while ((await replayState(connection)) !== "paused") await clock.sleep(POLL_MS, time.signal);
}

/**
 * Ends the pause of one file: replay goes on unless another dump that still runs has paused it too. If the server does not
 * answer, the file stays for the next attempt, and an alert says so. Returns whether it ended. Never throws.
 */
export async function endPause(context: PauseContext, server: ServerConfig, file: string): Promise<boolean> {
  const { config, log } = context;
  const key = `replay ${server.name}`;
  try {
    const files = await pauseFiles(config.state_dir);
    if (!files.some(({ path }) => path === file)) return true;
    const others = files.filter(
      (other) => other.server === server.name && other.path !== file && other.isHeld,
    );
    if (others.length === 0) {
      await using connection = await connect(endpointOf(server));
      await resumeReplay(connection);
      log.info("the replay of a standby goes on", { server: server.name });
    }
    await removePauseFile(file);
    await resolveAlert(context, key, `the replay of ${server.name} goes on`);
    return true;
  } catch (error) {
    log.error("the replay of a standby could not be resumed", {
      server: server.name,
      error: messageOf(error),
    });
    await raiseAlert(context, {
      ...{ level: "CRITICAL", job: "backup", run_id: null, server: server.name, database: null, key },
      message: `the replay of standby ${server.name} may still be paused: ${messageOf(error)}`,
      metadata: { hint: "pg321 resume-replay, or in psql on the standby: SELECT pg_wal_replay_resume()" },
    }).catch(() => {});
    return false;
  }
}

/** Ends the pauses whose process is gone: it was killed, or could not reach the server. Never throws. Returns their number. */
export async function resumeLeft(context: PauseContext): Promise<{ resumed: number; failed: number }> {
  const { config, log } = context;
  const ended = { resumed: 0, failed: 0 };
  for (const { path, server: name, isHeld } of await pauseFiles(config.state_dir)) {
    if (isHeld) continue;
    const server = config.server.find((one) => one.name === name);
    if (server && (await endPause(context, server, path))) ended.resumed++;
    else ended.failed++;
    if (!server)
      log.error("the replay of a standby may still be paused, but the config no longer names the server", {
        ...{ server: name, file: path },
        hint: "in psql on the standby: SELECT pg_wal_replay_resume(); then remove the file",
      });
  }
  return ended;
}
