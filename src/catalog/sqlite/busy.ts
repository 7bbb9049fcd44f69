import type { Clock } from "../../base/clock.ts";
import { type RetryPolicy, retry } from "../../base/retry.ts";
import type { Unwritable } from "../unwritable.ts";
import { catalogError, isBusy } from "./errors.ts";

/** How long SQLite itself waits for another writer. It blocks the thread, so it is short. */
export const BUSY_TIMEOUT_MS = 50;
/** After that we wait outside SQLite, so that the event loop goes on: about half a minute in all. */
const BUSY_RETRY: RetryPolicy = { attempts: 300, delayMs: 5, delayMsMax: 100 };

/** Runs an operation of a catalog through `whileBusy`; `doing` names it in errors. */
export type Do = <T>(doing: string, operation: () => T) => Promise<T>;

/**
 * Runs an operation of the catalog at `path`, again and again while another writer locks it. `unwritable`: why the
 * catalog can only be read, for the error of a write.
 */
export async function whileBusy<T>(
  path: string,
  doing: string,
  clock: Clock,
  operation: () => T,
  unwritable?: Unwritable,
): Promise<T> {
  try {
    return await retry(BUSY_RETRY, { clock, isRetryable: isBusy }, async () => operation());
  } catch (error) {
    throw catalogError(path, doing, error, unwritable);
  }
}
