import { Pg321Error } from "../../base/errors.ts";
import type { Lack } from "../../postgres/restore/preflight.ts";
import type { RestoreRequest } from "./report.ts";

/**
 * Adds to the hint what a failed restore left in the database, which the reader must know before the next attempt.
 * `isUndone`: it was one transaction, which was rolled back. It never advises to drop a database that may have held
 * other data.
 */
export function withLeftovers(
  error: unknown,
  { target: { database }, clean, intoExisting, selection }: RestoreRequest,
  isUndone: boolean,
): unknown {
  if (isUndone) return withHint(error, `nothing of database "${database}" was changed`);
  if (selection.intoSchema !== undefined)
    return withHint(
      error,
      `schema "${selection.intoSchema}" holds what was restored before the failure: drop it before you try again`,
    );
  const isShared = clean || intoExisting || selection.only === "data";
  const advice = isShared ? "check it" : "drop it";
  return withHint(
    error,
    `database "${database}" holds what was restored before the failure: ${advice} before you try again`,
  );
}

/** Adds to the hint that the target is older than the source, which may be the cause. */
export function withVersionRisk(error: unknown, lacks: readonly Lack[]): unknown {
  const risk = lacks.find(({ kind }) => kind === "version");
  if (!risk) return error;
  return withHint(error, `the target is PostgreSQL ${risk.name}, and ${risk.hint}: this may be the cause`);
}

function withHint(error: unknown, more: string): unknown {
  if (!(error instanceof Pg321Error)) return error;
  const hint = error.hint === undefined ? more : `${error.hint}; ${more}`;
  const { code, message, cause, retryable, outside } = error;
  return new Pg321Error(code, message, { hint, cause, retryable, ...(outside !== undefined && { outside }) });
}
