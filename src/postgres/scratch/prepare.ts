import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import { lonePartitions } from "../archive/inheritance.ts";
import { isOfDatabase } from "../archive/selection.ts";
import { quoteIdentifier, rolesNamedIn, statementsOf, tokensOf } from "../archive/sql-text.ts";
import type { Connection } from "../connection.ts";
import type { LeftOutOfDump } from "../counts/left-out.ts";
import { offerOf } from "../inspect.ts";

/** The entries for pg_restore, and those that a test does not restore, with the reason. */
export interface ScratchPlan {
  entries: ArchiveEntry[];
  left_out: { entry: ArchiveEntry; reason: string }[];
}

interface ScratchOptions {
  owner: string | null;
  isSuperuser: boolean;
  makesRoles: boolean;
  /** What the config left out of the dump. */
  left: LeftOutOfDump | undefined;
}

/** Kinds that `RestoreOptions.isPlain` leaves out. */
const NOT_PLAIN = ["ACL", "DEFAULT ACL", "SECURITY LABEL", "PUBLICATION", "PUBLICATION TABLE"].concat([
  "PUBLICATION TABLES IN SCHEMA",
  "SUBSCRIPTION",
  "SUBSCRIPTION TABLE",
]);
/** Kinds that only a superuser may create. */
const OF_SUPERUSER = ["EVENT TRIGGER", "FOREIGN DATA WRAPPER", "ACCESS METHOD", "TRANSFORM"];

/**
 * Makes what the scratch owner may not make: extensions with their schemas, as the role of `database`, which should be a
 * superuser; on a cluster of our own also the roles that policies name. Returns what is left for pg_restore.
 */
export async function prepareScratch(
  database: Connection,
  contents: ArchiveContents,
  { owner, isSuperuser, makesRoles, left }: ScratchOptions,
): Promise<ScratchPlan> {
  const made = isSuperuser ? await makeExtensions(database, contents, owner) : new Set<number>();
  const roles = new Set((await offerOf(database)).roles);
  const left_out: ScratchPlan["left_out"] = [];
  const entries: ArchiveEntry[] = [];
  const attaching = new Set(lonePartitions(contents, left).flatMap(({ attach }) => attach));
  for (const entry of contents.entries) {
    if (
      attaching.has(entry) ||
      isOfDatabase(entry) ||
      made.has(entry.id) ||
      NOT_PLAIN.includes(entry.description)
    )
      continue;
    const missing = entry.description === "POLICY" ? rolesOf(entry).filter((name) => !roles.has(name)) : [];
    if (makesRoles) await makeRoles(database, missing, roles);
    const reason = OF_SUPERUSER.includes(entry.description)
      ? "only a superuser may create it"
      : entry.description === "USER MAPPING"
        ? "it holds a login to another server"
        : missing.length > 0 && !makesRoles
          ? `the test server lacks the role ${missing.join(", ")}`
          : undefined;
    if (reason === undefined) entries.push(entry);
    else left_out.push({ entry, reason });
  }
  return { entries, left_out };
}

/** The ids of the entries that need no restore any more. */
async function makeExtensions(
  database: Connection,
  contents: ArchiveContents,
  owner: string | null,
): Promise<Set<number>> {
  const made = new Set<number>();
  const { entries } = contents;
  for (const entry of entries.filter(({ description }) => description === "EXTENSION")) {
    const schema = schemaOf(entry);
    const own = entries.find(({ description, tag }) => description === "SCHEMA" && tag === schema);
    if (own && !made.has(own.id)) {
      const to = owner === null ? "" : ` AUTHORIZATION ${quoteIdentifier(owner)}`;
      await execute(
        database,
        `create schema "${schema}"`,
        `CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(own.tag)}${to}`,
      );
      made.add(own.id);
    }
    await execute(database, `create extension "${entry.tag}"`, entry.definition);
    made.add(entry.id);
    for (const one of entries)
      if (one.description === "COMMENT" && one.tag === `EXTENSION ${entry.tag}`) made.add(one.id);
  }
  if (owner !== null && made.size > 0) await grantMembers(database, owner);
  return made;
}

/** The dump may hold rows for tables of an extension, and objects that use its foreign-data wrapper. */
async function grantMembers(database: Connection, owner: string): Promise<void> {
  const to = quoteIdentifier(owner);
  const rows = await database.run(
    "list the objects of the extensions",
    (sql) => sql<{ statement: string }[]>`
      select format(case when c.relkind = 'S' then 'GRANT ALL ON SEQUENCE %s' else 'GRANT ALL ON TABLE %s' end,
          c.oid::regclass) as statement
        from pg_depend d join pg_class c on d.classid = 'pg_class'::regclass and d.objid = c.oid
        where d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass and c.relkind in ('r', 'p', 'S')
      union all select format('GRANT USAGE ON FOREIGN DATA WRAPPER %I', fdwname) from pg_foreign_data_wrapper
      union all select format('GRANT ALL ON SCHEMA %I', n.nspname)
        from pg_depend d join pg_namespace n on d.classid = 'pg_namespace'::regclass and d.objid = n.oid
        where d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass`,
  );
  for (const { statement } of rows)
    await execute(database, "grant the objects of the extensions", `${statement} TO ${to}`);
}

/** `CREATE EXTENSION IF NOT EXISTS x WITH SCHEMA y;` */
function schemaOf({ definition }: ArchiveEntry): string | undefined {
  const tokens = tokensOf(definition);
  const at = tokens.findIndex(({ kind, value }) => kind === "word" && value === "schema");
  return at < 0 ? undefined : tokens[at + 1]?.value;
}

function rolesOf({ definition }: ArchiveEntry): string[] {
  return [...new Set(statementsOf(definition).flatMap(rolesNamedIn))];
}

/** For an owner who is no superuser: forced row security would hide rows from the counts. Only in a scratch database. */
export async function showAllRows(database: Connection): Promise<void> {
  const rows = await database.run(
    "list the tables with forced row security",
    (sql) => sql<{ statement: string }[]>`
      select format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', oid::regclass) as statement
      from pg_class where relforcerowsecurity and pg_has_role(relowner, 'usage')`,
  );
  for (const { statement } of rows) await execute(database, "show all rows to the counts", statement);
}

async function makeRoles(database: Connection, names: readonly string[], known: Set<string>): Promise<void> {
  for (const name of names) {
    await execute(database, `create role "${name}"`, `CREATE ROLE ${quoteIdentifier(name)}`);
    known.add(name);
  }
}

async function execute(database: Connection, what: string, statement: string): Promise<void> {
  await database.run(what, (sql) => sql.unsafe(statement).simple());
}
