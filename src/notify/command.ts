import type { CommandConfig } from "../config/config.ts";
import { COMMAND_ENVIRONMENT } from "../stream/command-environment.ts";
import { ChildError, feedChild } from "../stream/process.ts";
import type { Notice } from "./notice.ts";
import type { Notifier } from "./notifier.ts";
import { deliveryError } from "./notifier.ts";

/** Discards its stdout, which a daemon that it starts might hold open. */
const SILENTLY = ["/bin/sh", "-c", 'exec "$0" "$@" >/dev/null'];

/** sysexits.h: 64 to 78 are errors that another attempt would not mend, except 75, which asks for one. */
const REFUSALS = { first: 64, last: 78, tryAgain: 75 };

/** A program that gets the notice as JSON on its stdin, and nothing of our own environment. */
export class CommandNotifier implements Notifier {
  readonly #config: CommandConfig;

  constructor(config: CommandConfig) {
    this.#config = config;
  }

  async send(notice: Notice, signal: AbortSignal): Promise<void> {
    const { argv } = this.#config;
    try {
      await feedChild(
        { argv: [...SILENTLY, ...argv], env: { ...COMMAND_ENVIRONMENT }, signal },
        jsonLine(notice),
      );
    } catch (error) {
      signal.throwIfAborted();
      throw commandError(error);
    }
  }
}

async function* jsonLine(notice: Notice): AsyncGenerator<Uint8Array, void, undefined> {
  yield new TextEncoder().encode(`${JSON.stringify(notice)}\n`);
}

function commandError(error: unknown): unknown {
  if (!(error instanceof ChildError)) return error;
  const { exitCode, signalName, stderrTail } = error;
  const said = stderrTail.trim().split("\n").at(-1) ?? "";
  const end = exitCode === null ? (signalName ?? "it could not be started") : `exit code ${exitCode}`;
  const isRefusal =
    exitCode !== null &&
    exitCode >= REFUSALS.first &&
    exitCode <= REFUSALS.last &&
    exitCode !== REFUSALS.tryAgain;
  return deliveryError(said ? `${end}: ${said}` : end, !isRefusal, error);
}
