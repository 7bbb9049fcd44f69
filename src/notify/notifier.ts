import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import type { Notice } from "./notice.ts";

/**
 * A way to notify people. Every implementation is one file, listed in `registry.ts`, and passes
 * `test/suites/notifier-conformance.ts`.
 */
export interface Notifier {
  /**
   * Delivers one notice and resolves once the receiver has accepted it. The receiver may get the same notice twice
   * (with the same `id`), after an attempt with an unknown outcome. Throws a `deliveryError`; or the signal's
   * reason soon after it aborts, and then leaves nothing running.
   */
  send(notice: Notice, signal: AbortSignal): Promise<void>;
}

export interface NotifierDependencies {
  clock: Clock;
}

/**
 * Why a notice was not delivered: `connection refused`, `status 503`. Code `storage`, as for all external places
 * that do not accept what we send. Never contains an address or a secret. `retryable` is false if the receiver
 * refused permanently.
 */
export function deliveryError(problem: string, retryable: boolean, cause?: unknown): Pg321Error {
  return new Pg321Error("storage", problem, { retryable, cause });
}
