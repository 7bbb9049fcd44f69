import { Pg321Error } from "../../base/errors.ts";
import type { RestoreError } from "./errors.ts";
import { errorsIn } from "./errors.ts";

/** Why an error of pg_restore occurs, if pg321 knows, and what to do about it. */
export interface Explanation {
  kind: RestoreErrorKind;
  /** Completes a hint. */
  advice: string;
}

export type RestoreErrorKind = (typeof KINDS)[number]["kind"];

type Texts = Pick<RestoreError, "message" | "detail" | "hint" | "context" | "statement">;

interface Kind {
  kind: string;
  /** In the message, with the detail in the next line. */
  text: RegExp;
  /** In the context, if the message alone does not show it. */
  context?: RegExp;
  /** With the groups of `text`. */
  advice: (groups: readonly (string | undefined)[], texts: Texts) => string;
}

const AS_SUPERUSER = "as a superuser (on this host: as root with --as postgres)";

/** The first kind that matches counts. */
const KINDS = [
  {
    kind: "search_path",
    text: /(?:function|relation|type|text search configuration) "?([^".\n(]+(?:\(.*\))?)"? does not exist|(operator) does not exist/,
    context: /(?:SQL|PL\/pgSQL) function "?([^"\n ]+)"?/,
    advice: ([name, operator], { context }) =>
      `function ${functionIn(context)} uses ${name ?? `an ${operator}`} without naming its schema, and a restore runs with an empty search_path, so every index, generated column, CHECK and materialized view that calls it fails: in the source, ALTER FUNCTION … SET search_path = (its schema), then back up again; for this backup, restore with --keep-going, do the same in the target, then create and fill what failed`,
  },
  {
    kind: "foreign-server",
    text: /could not connect to server "|could not establish connection/,
    advice: () =>
      "the foreign server is not reachable from the target: let it be, or restore with --keep-going and run REFRESH MATERIALIZED VIEW later",
  },
  {
    kind: "foreign-key",
    text: /violates foreign key constraint "(.+)"/,
    advice: ([name]) =>
      `the rows violate ${name} in the source already (triggers were disabled, or session_replication_role was replica): correct them there and back up again; for this backup, restore with --keep-going, delete or complete these rows, then add the constraint, or add it NOT VALID`,
  },
  {
    kind: "unique",
    text: /could not create unique index "(.+)"/,
    advice: ([name]) =>
      `the rows violate ${name} in the source already, whose index is damaged (often by a new version of glibc or ICU): REINDEX it there, remove the duplicates and back up again; for this backup, restore with --keep-going, remove them, then create the index`,
  },
  {
    kind: "extension-preload",
    text: /must be (?:pre)?loaded via shared_preload_libraries|can only be loaded via shared_preload_libraries|extension "(.+)" must be preloaded/,
    advice: () =>
      "add the extension's library to shared_preload_libraries of the target and restart it, or restore without it (--skip-extension NAME)",
  },
  {
    kind: "extension-one-database",
    text: /can only create extension in database (.+)/,
    advice: ([name]) =>
      `the target allows this extension in database ${name} only (cron.database_name for pg_cron): restore without it (--skip-extension NAME), or change that setting and restart`,
  },
  {
    kind: "extension-missing",
    text: /extension "(.+)" is not available|could not open extension control file|extension "(.+)" has no installation script nor update path/,
    advice: ([name, version]) =>
      `install the package of extension ${name ?? version ?? "named there"} on the target's host, in the version of the source, or restore without it (--skip-extension NAME)`,
  },
  {
    kind: "library-missing",
    text: /could not (?:access|load|open) (?:file|library) "([^"]+)"/,
    advice: ([name]) =>
      `install the package with ${name} on the target's host, built for its version of PostgreSQL`,
  },
  {
    kind: "extension-permission",
    text: /permission denied to create extension "(.+)"|must be owner of extension (.+)/,
    advice: ([name, owned]) =>
      `let an administrator create extension ${name ?? owned} in the target first, then restore with --skip-extension ${name ?? owned}; or restore ${AS_SUPERUSER}`,
  },
  {
    kind: "locale",
    text: /invalid locale name|could not (?:create|open) (?:locale|collator)|collation ".+" for encoding ".+" does not exist|locale name ".+" unacceptable/,
    advice: () =>
      "install this locale on the target's host (locale-gen, or the package of locales), or create the collation or the database by hand with one that exists there, and restore with --into-existing",
  },
  {
    kind: "encoding",
    text: /encoding ".+" does not match locale|has no equivalent in encoding "(.+)"|invalid byte sequence for encoding|is incompatible with the (?:collation|encoding|LC_CTYPE) of the template database/,
    advice: () =>
      "the target has another encoding than the source: restore into a database with the encoding of the source (--create makes one)",
  },
  {
    kind: "set-role",
    text: /must be (?:member of role|able to SET ROLE) "(.+)"/,
    advice: ([name]) =>
      `only a member of ${name} can give objects to it: GRANT it to the restoring role, restore with --no-owner, or restore ${AS_SUPERUSER}`,
  },
  {
    kind: "superuser",
    text: /must be superuser|only superuser can|permission denied to create (?:event trigger|subscription|"pg_catalog)|permission denied for language c|permission denied to set parameter/,
    advice: () =>
      `a superuser must create this: restore ${AS_SUPERUSER}, or restore with --keep-going and leave it out`,
  },
  {
    kind: "role-missing",
    text: /role ".+" does not exist/,
    advice: () =>
      "create the role in the target first (--create-roles), or restore with --no-owner and --no-privileges",
  },
  {
    kind: "setting",
    text: /unrecognized configuration parameter "(.+)"/,
    advice: ([name]) =>
      `the target does not know the setting ${name}, which belongs to an extension or a newer version: load the extension there`,
  },
  {
    kind: "permission",
    text: /permission denied for|must be owner of|permission denied to/,
    advice: () =>
      `the role that restores lacks this right: restore ${AS_SUPERUSER}, or as the owner (--role NAME)`,
  },
  {
    kind: "duplicate",
    text: /duplicate key value violates unique constraint "(.+)"/,
    advice: ([name]) =>
      `the table holds rows with the same ${name} already: restore into an empty database (--create) and copy what you need from there`,
  },
  {
    kind: "exists",
    text: /already exists/,
    advice: () => "restore into an empty database (--create), or replace what is there with --clean",
  },
  {
    kind: "locks",
    text: /out of shared memory/,
    advice: () =>
      "raise max_locks_per_transaction of the target and restart it, or restore with -j 2, which needs fewer locks at once",
  },
  {
    kind: "disk-full",
    text: /No space left on device/,
    advice: () => "make room on the target's disk",
  },
  {
    kind: "consequence",
    // A missing database is the target itself.
    text: /(?<!\bdatabase )"[^"]+" does not exist|function .+ does not exist/,
    advice: () => "what it needs was not restored: the first error about that object says why",
  },
] as const satisfies readonly Kind[];

/** Undefined if the error is none of the known kinds. */
export function explain(texts: Texts): Explanation | undefined {
  const text = `${texts.message}\n${texts.detail ?? ""}`;
  for (const known of KINDS) {
    const { kind, context, advice }: Kind = known;
    const found = text.match(known.text);
    if (!found || (context && !context.test(texts.context ?? ""))) continue;
    return { kind: kind as RestoreErrorKind, advice: advice(found.slice(1), texts) };
  }
  return undefined;
}

function functionIn(context: string | undefined): string {
  return context?.match(/function "?([^"\n ]+)"?/)?.[1] ?? "named above";
}

/** The error that ended pg_restore, with its statement, and with advice if its kind is known. */
export function withExplanation(error: unknown, stderr: string): unknown {
  const last = errorsIn(stderr).at(-1);
  if (!(error instanceof Pg321Error) || !last) return error;
  const { statement } = last;
  const advice = explain(last)?.advice;
  if (statement === undefined && advice === undefined) return error;
  const withStatement = (text: string) =>
    statement === undefined ? text : `${text}; statement: ${statement}`;
  const hint = [error.hint, advice].filter((part) => part !== undefined).join("; ");
  const { code, cause, retryable, outside } = error;
  return new Pg321Error(code, withStatement(error.message), {
    ...{ cause, retryable, ...(hint !== "" && { hint }) },
    ...(outside !== undefined && { outside: withStatement(outside) }),
  });
}
