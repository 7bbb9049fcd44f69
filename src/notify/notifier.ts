import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import type { Notice } from "./notice.ts";

/**
 * A way to tell people. Every implementation is one file, listed in `registry.ts`, and passes
 * `test/suites/notifier-conformance.ts`.
 */
export interface Notifier {
  /**
   * Hands one notice to the receiver and resolves once it has taken it. It may get the same one twice (by its
   * `id`), after a try whose end is not known. Throws a `deliveryError`; or the signal's reason soon after it
   * aborts, and leaves nothing running.
   */
  send(notice: Notice, signal: AbortSignal): Promise<void>;
}

export interface NotifierDependencies {
  clock: Clock;
}

/**
 * Why a notice was not taken: `connection refused`, `status 503`. Code `storage`, as for every place outside
 * that does not take what we send. It never holds an address or a secret. `retryable` is false where the
 * receiver has refused for good.
 */
export function deliveryError(problem: string, retryable: boolean, cause?: unknown): Pg321Error {
  return new Pg321Error("storage", problem, { retryable, cause });
}
