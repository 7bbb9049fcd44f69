import { Pg321Error } from "../../base/errors.ts";
import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import { DEPENDENT_KINDS } from "../archive/selection.ts";
import type { ExtensionOf } from "../archive/streams.ts";
import { entryName, tableOf } from "../archive/table-parts.ts";
import type { StatementLimit } from "../bounded-connection.ts";
import { connectWithin } from "../bounded-connection.ts";
import type { Connection } from "../connection.ts";
import { connect, type Endpoint } from "../connection.ts";
import { sqlStateOf } from "../errors.ts";
import type { LeftOut } from "./left-out.ts";

/** What is not restored as it was backed up, for servers whose administrator is no superuser. */
export interface Ownership {
  /** Everything belongs to the role that restores. */
  noOwner: boolean;
  /** The role to restore as; the one that logs in must be a member. */
  role: string | undefined;
  noPrivileges: boolean;
  noComments: boolean;
  /** Extensions that are not restored. */
  skipExtensions: readonly string[];
}

export const AS_BACKED_UP: Ownership = {
  ...{ noOwner: false, role: undefined, noPrivileges: false, noComments: false, skipExtensions: [] },
};

export interface Reduced {
  /** The archive without these entries and owners. */
  contents: ArchiveContents;
  /** Objects that cannot be restored without a skipped extension. */
  left_out: LeftOut[];
}

const PRIVILEGES = ["ACL", "DEFAULT ACL"];
/** Data of an extension's own tables. */
const DATA = ["TABLE DATA", "SEQUENCE SET"];

/** `installed`: the extensions that the target has. */
export function reduce(
  contents: ArchiveContents,
  ownership: Ownership,
  installed: readonly string[],
): Reduced {
  const { noOwner, noPrivileges, noComments, skipExtensions } = ownership;
  const kept = contents.entries.filter(
    ({ description }) =>
      !(noPrivileges && PRIVILEGES.includes(description)) && !(noComments && description === "COMMENT"),
  );
  const skipped = kept.filter(
    ({ description, tag }) => description === "EXTENSION" && skipExtensions.includes(tag),
  );
  const { removed, left_out } = withoutExtensions(contents, skipped, installed);
  const entries = kept
    .filter(({ id }) => !removed.has(id))
    .map((entry) => (noOwner ? { ...entry, owner: undefined } : entry));
  return { contents: { ...contents, entries }, left_out };
}

function withoutExtensions(
  { entries }: ArchiveContents,
  skipped: readonly ArchiveEntry[],
  installed: readonly string[],
): { removed: ReadonlySet<number>; left_out: LeftOut[] } {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const removed = new Set(skipped.map(({ id }) => id));
  const lacking = new Map(
    skipped.filter(({ tag }) => !installed.includes(tag)).map(({ id, tag }) => [id, tag]),
  );
  const left_out: LeftOut[] = [];
  // An entry comes after those that it depends on, except a few, such as views in a circle.
  for (let before = -1; before !== removed.size; ) {
    before = removed.size;
    for (const entry of entries) {
      if (removed.has(entry.id)) continue;
      const { id, description, dependencies } = entry;
      const extension = dependencies.flatMap((one) => lacking.get(one) ?? [])[0];
      const isOwn = [...DEPENDENT_KINDS, ...DATA].includes(description);
      if (extension === undefined && !(isOwn && dependencies.some((one) => removed.has(one)))) continue;
      removed.add(id);
      if (extension === undefined) continue;
      lacking.set(id, extension);
      const table = tableOf(entry, byId);
      if (isOwn || (table && removed.has(table.id))) continue;
      const reason = `it needs extension ${extension}, which is skipped and not in the target`;
      left_out.push({ entry: entryName(entry), reason, table: null, sql: null });
    }
  }
  return { removed, left_out };
}

/**
 * Of a backup in several streams that does not say which extension owns a table: the rows and sequences that were left out
 * because an extension is skipped, unless every extension is.
 */
export function rowsLeftOut(
  rows: readonly ArchiveEntry[],
  { entries }: ArchiveContents,
  skipped: readonly string[],
  extensionOf: ExtensionOf,
): LeftOut[] {
  const isKept = ({ description, tag }: ArchiveEntry) =>
    description === "EXTENSION" && !skipped.includes(tag);
  if (!entries.some(isKept)) return [];
  const reason =
    "it may belong to a skipped extension: what the backup recorded about the tables of extensions cannot be read";
  const unknown = rows.filter((entry) => extensionOf(entry) === undefined);
  return unknown.map((entry) => ({ entry: entryName(entry), reason, table: null, sql: null }));
}

/** Connects as pg_restore does with `--role`; the endpoint then names that role. */
export async function connectAs(
  endpoint: Endpoint,
  role: string | undefined,
  limit?: StatementLimit,
): Promise<Connection> {
  const connection = await (limit ? connectWithin(endpoint, limit) : connect(endpoint)).catch((error) => {
    throw withoutDatabase(error);
  });
  if (role === undefined) return connection;
  try {
    await connection.run(
      `restore as role "${role}"`,
      (sql) => sql`select set_config('role', ${role}, false)`,
    );
    return { ...connection, endpoint: { ...endpoint, user: role } };
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

/** A target that does not exist is created only on request: its name may be a mistake. */
function withoutDatabase(error: unknown): unknown {
  if (!(error instanceof Pg321Error) || sqlStateOf(error) !== "3D000") return error;
  const hint = "check the name of the database, or add --create; nothing was changed";
  return new Pg321Error(error.code, error.message, { hint, cause: error });
}

export async function installedExtensions(connection: Connection): Promise<string[]> {
  const rows = await connection.run(
    "list the extensions",
    (sql) => sql<{ name: string }[]>`select extname as name from pg_extension`,
  );
  return rows.map(({ name }) => name);
}
