import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";

export interface RetryPolicy {
  /** The number of attempts, including the first. Always limited. */
  attempts: number;
  /**
   * The first pause. Each next one is twice as long, up to `delayMsMax`; then a random share of up to half is
   * subtracted.
   */
  delayMs: number;
  delayMsMax: number;
}

export interface RetryOptions {
  signal?: AbortSignal;
  clock?: Clock;
  /** Decides whether an error is worth another attempt. */
  isRetryable: (error: unknown) => boolean;
  onRetry?: (error: unknown, attempt: number) => void;
}

/** Calls `operation` until it succeeds, its error is not retryable, or the attempts are used up. */
export async function retry<T>(
  policy: RetryPolicy,
  options: RetryOptions,
  operation: (attempt: number) => Promise<T>,
): Promise<T> {
  const clock = options.clock ?? systemClock;
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      return await operation(attempt);
    } catch (error) {
      if (attempt >= policy.attempts || options.signal?.aborted || !options.isRetryable(error)) throw error;
      options.onRetry?.(error, attempt);
      const ceilingMs = Math.min(policy.delayMsMax, policy.delayMs * 2 ** (attempt - 1));
      await clock.sleep(ceilingMs * (0.5 + Math.random() / 2), options.signal);
    }
  }
}
