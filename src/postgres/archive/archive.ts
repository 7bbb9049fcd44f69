import { TABLE_OF_CONTENTS_BYTES_MAX } from "../../base/limits.ts";
import { plural, sizeText } from "../../base/text/amounts.ts";
import type { LostOption } from "../restore/create-database.ts";
import { createStatementFor } from "../restore/create-database.ts";
import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { notAnArchive, parseContents } from "./format.ts";
import { isOfDatabase } from "./selection.ts";
import { renameDatabase, rolesNamedIn, statementsOf, tokensOf } from "./sql-text.ts";

/** Objects that must exist in a target before an archive can be restored into it. */
export interface ArchiveNeeds {
  /** Roles that will own something: the restoring role must be a member of each. */
  owners: string[];
  /** Owners, grantees and all other roles named; sorted, like the other lists. */
  roles: string[];
  extensions: string[];
  tablespaces: string[];
}

const PROBE_BYTES_MIN = 64 * 1024;

/** Disposal closes the source, even if `bytes` was never read. */
export interface OpenArchive extends AsyncDisposable {
  contents: ArchiveContents;
  /** Can be read once. */
  bytes: AsyncIterable<Uint8Array>;
}

/**
 * Reads the table of contents from the beginning of a dump. `bytes` is the whole dump from its first byte, so one
 * pass over the source serves both the preflight and the restore. Holds no more than about twice the table of
 * contents in memory. Throws code `verification` if it is not a custom-format dump.
 */
export async function openArchive(source: AsyncIterable<Uint8Array>): Promise<OpenArchive> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for (let isEnd = false; ; ) {
    const next = await iterator.next();
    if (next.done) isEnd = true;
    else {
      // A source may reuse its buffers.
      pending.push(Buffer.from(next.value));
      pendingBytes += next.value.length;
    }
    // Parsed again at every doubling, which keeps the work linear.
    if (!isEnd && pendingBytes < Math.max(head.length, PROBE_BYTES_MIN)) continue;
    head = Buffer.concat([head, ...pending]);
    pending = [];
    pendingBytes = 0;
    const contents = parsed(head);
    if (contents instanceof Error) {
      await iterator.return?.();
      throw contents;
    }
    if (contents) {
      const close = async () => void (await iterator.return?.());
      return { contents, bytes: replay(head, isEnd ? undefined : iterator), [Symbol.asyncDispose]: close };
    }
    if (isEnd)
      throw notAnArchive(`it ends after ${plural(head.length, "byte")}, within its table of contents`);
  }
}

function parsed(head: Buffer): ArchiveContents | Error | undefined {
  try {
    const contents = parseContents(head);
    if (contents || head.length <= TABLE_OF_CONTENTS_BYTES_MAX) return contents;
    return notAnArchive(`its table of contents is larger than ${sizeText(TABLE_OF_CONTENTS_BYTES_MAX)}`);
  } catch (error) {
    return error as Error;
  }
}

async function* replay(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array> | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield head;
    if (!rest) return;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest?.return?.();
  }
}

/** The needs of the entries to restore; with `create`, also of the database's own properties. */
export function needsOf(
  contents: ArchiveContents,
  restored: readonly ArchiveEntry[],
  create: boolean,
): ArchiveNeeds {
  const entries = [...restored, ...(create ? contents.entries.filter(isOfDatabase) : [])];
  const owners = entries.flatMap(({ owner, description }) =>
    HAS_NO_OWNER.has(description) ? [] : (owner ?? []),
  );
  const named = entries
    .filter(({ description }) => NAMES_ROLES.has(description))
    .flatMap(({ definition }) => statementsOf(definition).flatMap(rolesNamedIn));
  const tablespaces = entries.flatMap(({ tablespace, description, definition }) =>
    description === "DATABASE"
      ? tablespacesNamedIn(definition)
      : tablespace === undefined
        ? []
        : [tablespace],
  );
  const extensions = entries.filter(({ description }) => description === "EXTENSION").map(({ tag }) => tag);
  const roles = [...owners, ...named];
  return {
    owners: sorted(owners),
    roles: sorted(roles),
    extensions: sorted(extensions),
    tablespaces: sorted(tablespaces),
  };
}

/** pg_restore sets no owner for rows and positions of sequences: those of the tables and sequences stay. */
const HAS_NO_OWNER = new Set(["TABLE DATA", "SEQUENCE SET"]);

const NAMES_ROLES = new Set(["ACL", "DEFAULT ACL", "POLICY", "USER MAPPING", "DATABASE PROPERTIES"]);

function tablespacesNamedIn(createDatabase: string): string[] {
  const tokens = tokensOf(createDatabase);
  const at = tokens.findIndex(({ kind, value }) => kind === "word" && value === "tablespace");
  const name = at < 0 ? undefined : tokens[at + 2]?.value;
  return name === undefined ? [] : [name];
}

function sorted(names: string[]): string[] {
  return [...new Set(names)].sort();
}

/**
 * The statements that create a database with another name and the archive's properties, in a form that the target
 * supports.
 */
export interface DatabaseStatements {
  /** Properties that the target's version does not support. */
  lost: LostOption[];
  /** The first one creates it; each in its own transaction. */
  before: string[];
  /** Statements that could obstruct the restore: limits, privileges, `default_transaction_read_only`, `role`. */
  after: string[];
}

export function databaseStatements(
  contents: ArchiveContents,
  name: string,
  targetMajor: number,
): DatabaseStatements {
  const before: string[] = [];
  const after: string[] = [];
  const lost: LostOption[] = [];
  const from =
    contents.entries.find(({ description }) => description === "DATABASE")?.tag ?? contents.database;
  for (const entry of contents.entries.filter(isOfDatabase)) {
    const statements = statementsOf(renameDatabase(entry.definition, from, name));
    if (entry.description === "DATABASE") {
      const create = statements.filter((statement) => /^CREATE\s/.test(statement));
      const fitting = create.map((statement) => createStatementFor(targetMajor, statement));
      before.unshift(...fitting.map(({ statement }) => statement));
      lost.push(...fitting.flatMap((one) => one.lost));
      continue;
    }
    for (const statement of statements) {
      const isSetting =
        / SET /.test(statement) && !/ SET (default_transaction_read_only|role) /.test(statement);
      (entry.description === "DATABASE PROPERTIES" && isSetting ? before : after).push(statement);
    }
  }
  return { before, after, lost };
}

/** The owner of the database that was dumped. */
export function databaseOwner({ entries }: ArchiveContents): string | undefined {
  return entries.find(({ description }) => description === "DATABASE")?.owner;
}
