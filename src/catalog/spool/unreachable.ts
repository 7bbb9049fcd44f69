import { Pg321Error } from "../../base/errors.ts";
import { CatalogUnwritableError } from "../unwritable.ts";

/** The server of the catalog gave no answer, or no session, so nothing was changed. */
export class CatalogUnreachableError extends Pg321Error {}

/** One transaction of one process, as the catalog remembers it. */
export interface CallMark {
  /** A random id of the process that made the call. */
  process: string;
  /** Rises with each call of the process. */
  number: number;
}

/** A COMMIT was sent and not answered: whether the change was stored is not known until the catalog can be asked. */
export class UnsettledChangeError extends CatalogUnreachableError {
  readonly mark: CallMark;

  constructor(mark: CallMark, ...[code, message, options]: ConstructorParameters<typeof Pg321Error>) {
    super(code, message, options);
    this.mark = mark;
  }
}

/** Whether the catalog could take no change for a reason that passes: no answer, a refused session, only a standby, a full disk. */
export function isOutage(error: unknown): error is Pg321Error {
  return error instanceof CatalogUnreachableError || error instanceof CatalogUnwritableError;
}
