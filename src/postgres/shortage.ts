import { Pg321Error } from "../base/errors.ts";
import { ChildError } from "../stream/process.ts";
import { sqlStateOf } from "./errors.ts";
import { messagesOf } from "./program-messages.ts";

/** Programs before version 12 name a module first. */
const NO_CONNECTION =
  /^(?:\[[^\]]*\] )?connection to .* failed: FATAL: +(?:sorry, too many clients|too many connections for|remaining connection slots are reserved)/;
const OF_SNAPSHOT = /^(?:\[[^\]]*\] )?query was: SET TRANSACTION SNAPSHOT /i;
/** Too many connections; out of shared memory, of which locks need some. */
const SHORT = ["53300", "53200"];

/** Each line of pg_dump, matched from its beginning, because names of objects stand further on. It writes English. */
function hasLine(error: unknown, pattern: RegExp): boolean {
  const cause = error instanceof Pg321Error ? error.cause : undefined;
  if (!(cause instanceof ChildError)) return false;
  const lines = messagesOf(cause.stderrTail).flatMap(({ text, details }) => [text, ...details]);
  return lines.some((line) => pattern.test(line));
}

/** Whether pg_dump could not connect because there are too many sessions. */
export function hasNoConnection(error: unknown): boolean {
  return hasLine(error, NO_CONNECTION);
}

/** Whether pg_dump could not connect because there are too many sessions, or could not use the snapshot given to it. */
export function isOfSnapshot(error: unknown): boolean {
  return hasLine(error, NO_CONNECTION) || hasLine(error, OF_SNAPSHOT);
}

/** Whether one of our own sessions was refused because the server has no room for it or for its locks. */
export function isShortage(error: unknown): boolean {
  return SHORT.includes(sqlStateOf(error) ?? "");
}
