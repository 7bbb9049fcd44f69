import { deadline } from "../../base/abort.ts";
import { systemClock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { MINUTE_MS } from "../../base/limits.ts";
import type { StatementLimit } from "../../postgres/bounded-connection.ts";

/** DROP DATABASE waits for sessions, locks and a checkpoint. What is not dropped by then is dropped by a later run. */
const TIDY_MS_MAX = 5 * MINUTE_MS;

/** A limit for dropping what a test made; it runs until it is disposed of. Also after the test itself was stopped. */
export function tidyingTime(signal?: AbortSignal): StatementLimit & Disposable {
  const late = () => new Pg321Error("database", `this took longer than ${TIDY_MS_MAX / MINUTE_MS} minutes`);
  const time = deadline({ clock: systemClock, durationMs: TIDY_MS_MAX, signal }, late);
  return { signal: time.signal, timeoutMs: TIDY_MS_MAX, [Symbol.dispose]: () => time[Symbol.dispose]() };
}
