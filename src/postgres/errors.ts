import { Pg321Error } from "../base/errors.ts";
import { ChildError } from "../stream/process.ts";
import { isOfData, messageKind, OF_FUNCTION } from "./message-kind.ts";
import { messagesOf } from "./program-messages.ts";

interface Known {
  /** SQLSTATE, or the code of a system or TLS error. */
  codes: readonly string[];
  /** The text that libpq's programs print. */
  text: RegExp;
  hint: string;
  retryable?: boolean;
  vanished?: true;
  conflicts?: true;
}

/** Something was dropped while pg_dump read the catalog: the next dump no longer looks for it. */
export class VanishedError extends Pg321Error {}

/** A standby ended a statement because it stood in the way of the replay of WAL: the next dump may be quicker. */
export class RecoveryConflictError extends Pg321Error {}

export const CONFLICT_HINT =
  "the standby must replay what its primary has removed: set hot_standby_feedback = on there, raise max_standby_streaming_delay, or set standby.pause_replay in the config";

/** Ends a statement or the session. */
const OF_CONFLICTS: Known = {
  codes: [],
  text: /(canceling statement|terminating connection) due to conflict with recovery/,
  hint: CONFLICT_HINT,
  retryable: true,
  conflicts: true,
};

/**
 * Errors that keep a session from starting or continuing. A statement's error with the same text is about another
 * server.
 */
const OF_CONNECTING: readonly Known[] = [
  OF_CONFLICTS,
  {
    codes: [],
    text: /cannot connect to invalid database/,
    hint: "it holds nothing to back up: a DROP DATABASE of it was interrupted, and it allows only DROP DATABASE now",
  },
  {
    codes: [],
    text: /peer authentication failed/i,
    hint: "peer authentication lets in only the system user of the same name: restore as root with --as USER, and make backups as the role of the service's user",
  },
  {
    codes: ["28P01"],
    text: /password authentication failed|no password supplied/,
    hint: "check user and password; ~/.pgpass is ignored unless only its owner can read it (0600)",
  },
  {
    codes: ["28000"],
    text: /no pg_hba\.conf entry|role ".*" does not exist|authentication failed/i,
    hint: "check that the role exists and that pg_hba.conf allows it from this host",
  },
  {
    codes: ["3D000"],
    text: /(FATAL: +|^)database ".*" does not exist/,
    hint: "check the name of the database",
  },
  {
    codes: [
      ...["DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
      ...["CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"],
    ],
    text: /server certificate|certificate verify failed|root certificate|SSL error|does not support SSL|before secure TLS connection/,
    hint: "set ca_file (sslrootcert in a URL) to the certificate of the authority that signed the server's, and check sslmode and the host's name",
  },
  {
    codes: ["ECONNREFUSED", "ENOENT"],
    text: /Connection refused|No such file or directory\s+Is the server running/,
    hint: "check that PostgreSQL runs and listens at this host and port",
    retryable: true,
  },
  {
    codes: ["ENOTFOUND", "EAI_AGAIN", "DNS_ENOTFOUND"],
    text: /could not translate host name/,
    hint: "check the host name",
    retryable: true,
  },
  {
    codes: ["CONNECT_TIMEOUT", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
    text: /timeout expired|Connection timed out|No route to host/,
    hint: "check the network and the firewall between this host and the server",
    retryable: true,
  },
  {
    codes: ["53300", "57P03", "57P01", "CONNECTION_CLOSED", "ECONNRESET"],
    text: /too many clients|remaining connection slots|starting up|shutting down|server closed the connection|terminating connection/,
    hint: "the server is starting, stopping or out of connections: check its log and try again",
    retryable: true,
  },
];

const OF_STATEMENTS: readonly Known[] = [
  OF_CONFLICTS,
  {
    codes: [],
    text: /^(unrecognized|invalid) option/m,
    hint: "remove the option from pg_dump_options of the [[database]] table, or install client programs that know it",
    retryable: false,
  },
  {
    codes: ["08000", "08001", "08003", "08006"],
    text: /ERROR: .*could not (connect to server "|establish connection)/,
    hint: "a foreign server (postgres_fdw, dblink) used by a view or a function of the database does not answer",
    retryable: true,
  },
  {
    codes: [],
    // pg_dump lists the tables before it locks each of them.
    text: /^query failed: ERROR: .*(does not exist|could not open relation|cache lookup failed|failed sanity check)/m,
    hint: "something was dropped while pg_dump read the catalog: try again, or raise dump.retries",
    retryable: true,
    vanished: true,
  },
  {
    codes: ["25006"],
    text: /cannot execute .* in a read-only transaction/,
    hint: "the server is a standby, or default_transaction_read_only is on for the role or the database",
  },
  {
    codes: [],
    text: /canceling statement due to statement timeout(?!.*LOCK TABLE)/s,
    hint: "a statement_timeout ended it: check pg_db_role_setting, and any pooler between pg321 and the server",
  },
  {
    codes: [],
    text: /invalid (LC_\w+ )?locale name/,
    hint: "install this locale on the target's host, or create the database with another one and restore without --create",
  },
  {
    codes: [],
    text: /permission denied to create database/,
    hint: "restore as a superuser: as root with --as postgres on this host, otherwise with a --target URL",
  },
  {
    codes: ["42501"],
    text: /permission denied|must be owner|must be superuser/,
    hint: "grant the role the missing privilege",
  },
  {
    codes: ["55P03"],
    // pg_dump limits its LOCK TABLE by a statement timeout.
    text: /lock timeout|statement timeout.*LOCK TABLE/s,
    hint: "another session holds a lock on a table: check pg_locks, or raise lock_wait_timeout",
    retryable: true,
  },
  {
    codes: [],
    text: /server version mismatch|unsupported version .* in file header/,
    hint: "install the PostgreSQL client programs of the newer version",
  },
];

/**
 * Converts errors of the `postgres` package, the system or a child; returns any other value unchanged. Keeps the
 * server's DETAIL and HINT. `readsRows`: messages of the child may quote rows.
 */
export function databaseError(error: unknown, what: string, readsRows = false): unknown {
  if (error instanceof ChildError) return childError(error, what, readsRows);
  const { code, message, errors, severity, detail, hint, routine } = error as Partial<PostgresFields>;
  // If a host has several addresses there is one error for each of them.
  if (Array.isArray(errors) && errors.length > 0) return databaseError(errors[0], what, readsRows);
  if (error instanceof Pg321Error || typeof code !== "string") return error;
  const isOfStatement = severity === "ERROR";
  const candidates = isOfStatement ? OF_STATEMENTS : [...OF_CONNECTING, ...OF_STATEMENTS];
  const text = `${severity ?? ""}: ${message}`;
  const known =
    candidates.find((one) => one.text.test(text)) ??
    [...OF_STATEMENTS, ...OF_CONNECTING].find(({ codes }) => codes.includes(code));
  const shownText = lowerFirst(message || code) + (detail ? ` (${detail})` : "");
  const isOfFunction = code.startsWith("P0") || routine === RAISED;
  const kind = isOfFunction ? OF_FUNCTION : messageKind(lowerFirst(message ?? ""));
  const outside = isOfFunction || isOfData(code) ? `${what}: ${kind}` : undefined;
  return newError(error as Error, { message: `${what}: ${shownText}`, outside }, known, hint ? [hint] : []);
}

/** SQLSTATE, or the code of a system error, of the error that a `Pg321Error` was made from. */
export function sqlStateOf(error: unknown): string | undefined {
  const { code } = ((error instanceof Pg321Error && error.cause) || {}) as { code?: unknown };
  return typeof code === "string" ? code : undefined;
}

/** An error of the server as the `postgres` package throws it. */
interface PostgresFields {
  code: unknown;
  message: string;
  errors: unknown[];
  severity: string;
  detail: string;
  hint: string;
  /** The function of the server's source that reported it. */
  routine: string;
}

/** Of `RAISE` in PL/pgSQL, whichever SQLSTATE it names. */
const RAISED = "exec_stmt_raise";

function childError(error: ChildError, what: string, readsRows: boolean): Pg321Error {
  const messages = messagesOf(error.stderrTail);
  const errors = messages.filter(({ kind }) => kind === "error");
  const shown = errors.length > 0 ? errors.slice(0, 3) : messages.slice(-1);
  const textOf = ({ text, details }: (typeof messages)[number]) => [text, ...details].join("\n");
  const connecting = errors.filter(({ text }) => !/\bERROR: /.test(text)).map(textOf);
  const known =
    OF_CONNECTING.find(({ text }) => text.test(connecting.join("\n"))) ??
    OF_STATEMENTS.find(({ text }) => text.test(errors.map(textOf).join("\n")));
  const shownText = shown.flatMap((one) => [one.text, ...one.details]).map((line) => line.slice(0, 300));
  const hints = shown.flatMap((one) => one.hints).map((line) => line.slice(0, 300));
  const messageWith = (text: string) => [what, error.message, text].filter((part) => part !== "").join(": ");
  const isOfRows = readsRows && !(known && OF_CONNECTING.includes(known));
  const isOfFunction = /^CONTEXT: .*\bfunction\b|\bPL\/\w/im.test(error.stderrTail);
  const outsideOf = (text: string) => (isOfFunction ? OF_FUNCTION : messageKind(text.slice(0, 300)));
  const outside = isOfRows ? messageWith(shown.map(({ text }) => outsideOf(text)).join("; ")) : undefined;
  return newError(error, { message: messageWith(shownText.join("; ")), outside }, known, hints);
}

function newError(
  cause: Error,
  { message, outside }: { message: string; outside: string | undefined },
  known: Known | undefined,
  serverHints: readonly string[],
): Pg321Error {
  const hints = [
    ...serverHints.map((hint) => lowerFirst(hint.replace(/\.$/, ""))),
    ...(known ? [known.hint] : []),
  ];
  const Kind = known?.vanished ? VanishedError : known?.conflicts ? RecoveryConflictError : Pg321Error;
  return new Kind("database", message, {
    cause,
    retryable: known?.retryable ?? false,
    ...(hints.length > 0 && { hint: hints.join("; ") }),
    ...(outside !== undefined && { outside }),
  });
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
