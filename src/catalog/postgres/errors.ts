import postgres from "postgres";
import { Pg321Error } from "../../base/errors.ts";
import { CA_FILE_HINT, isCertificateCode } from "../../base/network/certificates.ts";
import { userName } from "../../base/process/become-user.ts";
import { type CatalogUrl, catalogPlace } from "../../config/catalog-url.ts";
import { CatalogUnreachableError } from "../spool/unreachable.ts";
import { CatalogUnwritableError } from "../unwritable.ts";

/** Whose errors they are: of which role in which database. */
export interface Login {
  /** The catalog in messages, without its login. */
  label: string;
  database: string;
  user: string;
}

interface Meaning {
  what: string;
  /** With `{role}` and `{database}` for their names. */
  hint: string;
  retryable?: boolean;
  isUnwritable?: boolean;
  isUnreachable?: boolean;
}

/** What is done to the schema. */
export const CREATING = "create the schema";
export const MIGRATING = "bring the schema to the newest version";

/** For a role without a right, by what it cannot do. */
const RIGHT_HINTS = {
  other:
    "as the owner of the schema, in the database {database}: GRANT USAGE ON SCHEMA pg321 TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pg321 TO {role}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA pg321 TO {role}",
  [CREATING]:
    "let the role of catalog.url own the schema, in the database {database}: CREATE SCHEMA pg321 AUTHORIZATION {role}",
  [MIGRATING]:
    "let the owner of the schema do it: run pg321 list with a config that has the owner's login in catalog.url; docs/limits.md has the rights that {role} needs on new tables",
} as const;

const ADDRESS_HINT =
  "check that the server runs, and its address in catalog.url; meanwhile only hosts that have used this catalog before make backups";

export function loginOf(url: CatalogUrl): Login {
  const { database, user = userName() } = url;
  return { label: `catalog ${catalogPlace(url)}`, database, user };
}

/** A restore of the database may be under way: its host goes on without it, as during every other outage. */
const VANISHED: Meaning = {
  what: "the schema pg321, or a table of it, is missing",
  hint: "somebody has removed it from the database {database}, or is restoring that: restore the catalog (docs/recovery.md), or, to begin a new one, run DROP SCHEMA IF EXISTS pg321 CASCADE, and move spool.db of each host away",
  isUnreachable: true,
};

/** By SQLSTATE. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  "53100": {
    what: "the disk of the server is full",
    hint: "free some space on the file system of that server",
    isUnwritable: true,
  },
  "53200": {
    what: "the server is out of memory",
    hint: "look at that server's log, its memory, and its max_locks_per_transaction",
    isUnreachable: true,
  },
  "58030": {
    what: "the server cannot read or write its files",
    hint: "look at that server's log and its disks",
    isUnreachable: true,
  },
  "25006": {
    what: "the server accepts only reads",
    hint: "it is a standby, or its default_transaction_read_only is on: name the primary in catalog.url, or all servers with commas between them",
    isUnwritable: true,
  },
  "28P01": {
    what: "the server refuses the password",
    hint: "correct user and password in catalog.url, or the line in ~/.pgpass of the service's user, which is ignored unless only its owner can read it (0600)",
  },
  "28000": {
    what: "the server refuses the login",
    hint: "check the user in catalog.url and the server's pg_hba.conf",
  },
  "3D000": {
    what: "the database does not exist",
    hint: "create it: CREATE DATABASE {database} OWNER {role}",
  },
  "42P01": VANISHED,
  "3F000": VANISHED,
  "57014": {
    what: "the statement took too long",
    hint: "look for what occupies the server: pg_stat_activity",
    retryable: true,
  },
  "55P03": {
    what: "locked by another session for too long",
    hint: "find the session that has the lock: pg_locks and pg_stat_activity",
    retryable: true,
  },
  "53300": {
    what: "the server has no free connection",
    hint: "raise its max_connections, or put PgBouncer in front of it",
    retryable: true,
  },
};

/** SQLSTATEs after which the same transaction may succeed if it is tried again. */
const CONFLICTS = ["40001", "40P01", "55P03"];
/** The server shuts down, starts, or has ended the session; class 08 is about connections. */
const LOST = ["57P01", "57P02", "57P03", "53300", "25006"];
const NETWORK =
  /^(ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|EHOST|ENET|ETIMEDOUT|ENOENT|EACCES|CONNECT_TIMEOUT|CONNECTION_)/;

/** No session could be opened, for whatever reason; that is the cause. */
export class NoSession extends Error {
  constructor(cause: unknown) {
    super("no session", { cause });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** Another transaction was in the way. */
export function isConflict(error: unknown): boolean {
  return error instanceof postgres.PostgresError && CONFLICTS.includes(error.code);
}

/** The session is lost, or there never was one. */
export function isLost(error: unknown): boolean {
  if (error instanceof NoSession) return isLost(error.cause);
  const code = codeOf(error);
  if (error instanceof postgres.PostgresError) return LOST.includes(code) || code.startsWith("08");
  return NETWORK.test(code);
}

/** Turns an error thrown while `doing` something with a catalog into a `Pg321Error`. */
export function catalogError(login: Login, doing: string, error: unknown): unknown {
  if (error instanceof NoSession) return noSession(catalogError(login, doing, error.cause));
  if (error instanceof Pg321Error || !(error instanceof Error)) return error;
  const code = codeOf(error);
  const meaning = MEANINGS[code] ?? rightMeaning(error, doing) ?? generalMeaning(error, code);
  if (meaning === undefined) return error;
  const { what, hint, retryable = false, isUnwritable = false, isUnreachable = isLost(error) } = meaning;
  const options = { cause: error, retryable, ...(hint !== "" && { hint: named(hint, login) }) };
  const message = `${login.label}: cannot ${doing}: ${what}`;
  if (isUnwritable) return new CatalogUnwritableError("storage", message, options);
  if (isUnreachable) return new CatalogUnreachableError("storage", message, options);
  return new Pg321Error("storage", message, options);
}

/** The error of a role that lacks a right for it. */
export function rightError(login: Login, doing: string, what: string): Pg321Error {
  const message = `${login.label}: cannot ${doing}: ${what}`;
  return new Pg321Error("storage", message, { hint: named(rightHint(doing), login) });
}

function rightHint(doing: string): string {
  return doing === CREATING || doing === MIGRATING ? RIGHT_HINTS[doing] : RIGHT_HINTS.other;
}

function named(hint: string, { database, user }: Login): string {
  const quoted = (name: string) =>
    /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
  return hint.replaceAll("{role}", () => quoted(user)).replaceAll("{database}", () => quoted(database));
}

function noSession(error: unknown): unknown {
  if (!(error instanceof Pg321Error) || error instanceof CatalogUnreachableError) return error;
  const { code, message, hint, retryable, cause } = error;
  return new CatalogUnreachableError(code, message, {
    ...{ retryable, cause },
    ...(hint !== undefined && { hint }),
  });
}

/**
 * A right may have been taken away by mistake, or not been given on the tables of an upgrade: a host that knows the
 * catalog goes on without it, and its records wait for the right.
 */
function rightMeaning(error: Error, doing: string): Meaning | undefined {
  if (!(error instanceof postgres.PostgresError) || error.code !== "42501") return undefined;
  const isConnecting = error.severity === "FATAL";
  const hint = isConnecting ? "GRANT CONNECT ON DATABASE {database} TO {role}" : rightHint(doing);
  return { what: error.message, hint, isUnreachable: true };
}

function generalMeaning(error: Error, code: string): Meaning | undefined {
  if (isLost(error)) return { what: `unreachable: ${error.message}`, hint: ADDRESS_HINT, retryable: true };
  if (error instanceof postgres.PostgresError)
    return { what: error.message, hint: "", retryable: isConflict(error) };
  if (isCertificateCode(code))
    return { what: error.message, hint: CA_FILE_HINT.replace("ca_file", "sslrootcert") };
  // The package's own errors, such as a refused TLS or an unknown way to log in.
  return code === "" ? undefined : { what: error.message, hint: ADDRESS_HINT };
}
