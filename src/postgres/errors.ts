import { Pg321Error } from "../base/errors.ts";
import { ChildError } from "../stream/process.ts";

interface Known {
  /** SQLSTATE, or the code of a system or TLS error. */
  codes: readonly string[];
  /** What libpq's programs print. */
  text: RegExp;
  hint: string;
  retryable?: boolean;
}

const KNOWN: readonly Known[] = [
  {
    codes: ["28P01"],
    text: /password authentication failed|no password supplied/,
    hint: "check user and password",
  },
  {
    codes: ["28000"],
    text: /no pg_hba\.conf entry|role ".*" does not exist|authentication failed/i,
    hint: "check that the role exists and that pg_hba.conf lets it in from this host",
  },
  {
    codes: ["3D000"],
    text: /FATAL: {2}database ".*" does not exist/,
    hint: "check the name of the database",
  },
  {
    codes: [
      ...["DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
      ...["CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"],
    ],
    text: /server certificate|certificate verify failed|root certificate|SSL error|does not support SSL|before secure TLS connection/,
    hint: "check sslmode, sslrootcert and the server's certificate",
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
    hint: "check the host's name",
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
    hint: "the server is starting, stopping or full: try again, and read its log",
    retryable: true,
  },
  {
    codes: ["42501"],
    text: /permission denied|must be owner|must be superuser/,
    hint: "grant the role what it lacks",
  },
  {
    codes: ["55P03"],
    // pg_dump bounds its LOCK TABLE by a statement timeout.
    text: /lock timeout|statement timeout.*LOCK TABLE/s,
    hint: "something holds a lock on a table: look at pg_locks, or raise lock_wait_timeout",
    retryable: true,
  },
  {
    codes: [],
    text: /server version mismatch|unsupported version .* in file header/,
    hint: "install the PostgreSQL client programs of the newer version",
  },
];

/** Maps what the `postgres` package, the system or a child throws; anything else is handed back as it is. */
export function databaseError(error: unknown, what: string): unknown {
  if (error instanceof ChildError) return childError(error, what);
  const { code, message, errors } = error as { code?: unknown; message?: string; errors?: unknown[] };
  // A host with several addresses fails with one error for each of them.
  if (Array.isArray(errors) && errors.length > 0) return databaseError(errors[0], what);
  if (error instanceof Pg321Error || typeof code !== "string") return error;
  const known = KNOWN.find(({ codes, text }) => codes.includes(code) || text.test(message ?? ""));
  return new Pg321Error("database", `${what}: ${lowerFirst(message || code)}`, {
    cause: error,
    retryable: known?.retryable ?? false,
    ...(known && { hint: known.hint }),
  });
}

function childError(error: ChildError, what: string): Pg321Error {
  const tail = error.stderrTail.trim();
  const known = KNOWN.find(({ text }) => text.test(tail));
  return new Pg321Error("database", `${what}: ${error.message}${tail && `: ${told(tail)}`}`, {
    cause: error,
    retryable: known?.retryable ?? false,
    ...(known && { hint: known.hint }),
  });
}

/** The errors that a child printed, each with its cause, or else its last line. */
function told(stderrTail: string): string {
  const lines = stderrTail.split("\n").filter((line) => line.trim() !== "");
  const errors = lines.filter((line) => /error:|detail:|FATAL:|ERROR:|DETAIL:/.test(line));
  const shown = errors.length > 0 ? errors.slice(0, 3) : lines.slice(-1);
  return shown
    .map((line) =>
      line
        .replace(/^pg_\w+: (error: |detail: )?/, "")
        .slice(0, 300)
        .trim(),
    )
    .join("; ");
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
