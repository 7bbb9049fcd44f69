import { Pg321Error } from "../base/errors.ts";
import type { Endpoint } from "./connection.ts";
import { connect } from "./connection.ts";
import { CONFLICT_HINT, RecoveryConflictError } from "./errors.ts";
import { inspectStandby } from "./standby.ts";

/** A standby ends a session that holds a lock; its last words may not reach pg_dump. */
const LOST = /server closed the connection unexpectedly|terminating connection/;

/** The error of a dump, as a conflict with recovery if the session was lost and the server is a standby that answers. */
export async function withConflict(endpoint: Endpoint, error: unknown): Promise<unknown> {
  if (!(error instanceof Pg321Error) || error instanceof RecoveryConflictError) return error;
  if (!LOST.test(error.message)) return error;
  try {
    await using connection = await connect(endpoint);
    if (!(await inspectStandby(connection))) return error;
  } catch {
    return error;
  }
  const { code, message, cause } = error;
  return new RecoveryConflictError(code, `${message}; the standby may have ended it to replay WAL`, {
    ...{ hint: CONFLICT_HINT, cause, retryable: true },
  });
}
