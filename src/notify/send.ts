import { deadline } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { Secret } from "../base/secret.ts";
import { visible } from "../base/text/visible.ts";
import type { NotifyConfig } from "../config/config.ts";
import type { Notice } from "./notice.ts";
import { deliveryError } from "./notifier.ts";
import { openNotifier } from "./registry.ts";
import { clipped } from "./text.ts";

const ERROR_MAX = 500;

/**
 * Sends one notice within the notifier's `timeout`. Throws a `deliveryError` without the notifier's secrets, or the
 * signal's reason.
 */
export async function sendNotice(
  config: NotifyConfig,
  notice: Notice,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  signal.throwIfAborted();
  const late = () => deliveryError(`no answer within ${config.timeout_ms / 1000} s`, true);
  using time = deadline({ clock, signal, durationMs: config.timeout_ms }, late);
  try {
    const notifier = await openNotifier(config, { clock });
    await notifier.send(notice, time.signal);
  } catch (error) {
    signal.throwIfAborted();
    throw withoutSecrets(error, config);
  }
}

/** The answer of a receiver or a program may quote secrets that it got. */
function withoutSecrets(error: unknown, config: NotifyConfig): Pg321Error {
  const secrets = Object.values(config).filter((value) => value instanceof Secret);
  const message = secrets.reduce(
    (text, secret) => text.replaceAll(secret.reveal(), String(secret)),
    messageOf(error),
  );
  const isRetryable = error instanceof Pg321Error ? error.retryable : true;
  return deliveryError(clipped(visible(message), ERROR_MAX), isRetryable);
}
