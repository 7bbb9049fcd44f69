/**
 * The one error class and the one table of exit codes. Everything that pg321 expects to go wrong is a
 * `Pg321Error`; anything else that reaches `main.ts` is a bug (exit 1, with a stack trace).
 */

/** Exit codes of the program. The same table stands in `docs/cli.md`; a test compares the two. */
export const EXIT_CODES = {
  ok: 0,
  /** A bug in pg321 itself. */
  bug: 1,
  /** A mistake on the command line, or a config that cannot be used. */
  usage: 2,
  /** The job ended, but some copies or databases failed. */
  partial: 3,
  /** `status --exit-code`: the verdict is bad. */
  bad: 4,
  /** PostgreSQL was unreachable or refused us, or pg_dump, pg_restore or a hook failed. */
  database: 10,
  /** Another run holds the lock. */
  locked: 11,
  /** A key is missing, wrong or does not open the file, or a signature is not from a trusted signer. */
  key: 12,
  /** A storage (or the catalog's disk) failed. */
  storage: 13,
  /** Data read back is damaged, or is not the requested backup. */
  verification: 14,
  /** Ended by SIGINT. */
  interrupted: 130,
  /** Ended by SIGTERM. */
  terminated: 143,
} as const;

export type ErrorCode = Exclude<keyof typeof EXIT_CODES, "ok" | "bug">;

/** The error of a run, and of what it was working on, that a signal has ended. SIGINT is a person's Ctrl-C. */
export function endedBy(signal: "SIGINT" | "SIGTERM"): string {
  return signal === "SIGINT" ? "interrupted by hand" : `ended by ${signal}`;
}

export interface ErrorOptions {
  /** What the reader can do about it: lower case, no full stop. */
  hint?: string;
  cause?: unknown;
  /** True if the same call may succeed later although nobody changes anything. */
  retryable?: boolean;
  /** The message for records, alerts and the status, if `message` may quote values of rows. */
  outside?: string;
}

/**
 * An expected failure. `message` says what failed and on what, lower case and without a full stop:
 * `storage "r2": put backup_app_….enc: access denied`. It never holds a secret.
 */
export class Pg321Error extends Error {
  override readonly name = "Pg321Error";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly outside: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryable = options.retryable ?? false;
    this.outside = options.outside;
  }

  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}

/** The dump itself is wrong, whichever copy it is read from: nothing can repair it. */
export class UnreadableDump extends Pg321Error {
  /** `after`: what else is to be done, after this. `outside`: see `ErrorOptions`. */
  constructor(message: string, cause?: unknown, after?: string, outside?: string) {
    const hint = "restore another backup, and make a new one with pg321 backup";
    super("verification", message, {
      hint: after === undefined || after === hint ? hint : `${hint}; ${after}`,
      ...(cause !== undefined && { cause }),
      ...(outside !== undefined && { outside }),
    });
  }
}

/** The message of any thrown value, for a record or a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The message of any thrown value, without values of rows, for what leaves this host: alerts, pings, the status. */
export function outsideText(error: unknown): string {
  return error instanceof Pg321Error ? (error.outside ?? error.message) : messageOf(error);
}

/** What to do about any thrown value; null if it does not say. */
export function hintOf(error: unknown): string | null {
  return error instanceof Pg321Error ? (error.hint ?? null) : null;
}

/** The program's exit code for any thrown value: the error's own, or 1 for a bug. */
export function exitCodeOf(error: unknown): number {
  return error instanceof Pg321Error ? error.exitCode : EXIT_CODES.bug;
}
