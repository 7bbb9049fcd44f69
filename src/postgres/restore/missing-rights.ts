import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import { isOfDatabase } from "../archive/selection.ts";
import { quoteIdentifier, tokensOf } from "../archive/sql-text.ts";
import { entryName } from "../archive/table-parts.ts";
import type { Connection } from "../connection.ts";
import { textOfName } from "./left-out.ts";
import type { Lack } from "./preflight.ts";

/** What decides whether a role that is no superuser may restore an object. */
interface RoleFacts {
  is_superuser: boolean;
  createdb: boolean;
  createrole: boolean;
  creates_subscriptions: boolean;
  /** Whether the role may create schemas in the database. */
  creates_schemas: boolean;
  /** Extensions in the database, and whether the role owns them. */
  installed: Record<string, boolean>;
  /** Extensions that only a superuser can create. */
  superuser_extensions: string[];
  /** Languages in which the role may not create functions. */
  untrusted: string[];
  superuser_settings: string[];
  /** The role of a provider that may do some of what needs a superuser elsewhere; null: no such server. */
  provider: string | null;
  schemas: string[];
}

const PROVIDER_ROLES = [
  "rds_superuser",
  "cloudsqlsuperuser",
  "alloydbsuperuser",
  "azure_pg_admin",
  "supabase_admin",
];

const SUPERUSER_KINDS = ["EVENT TRIGGER", "OPERATOR CLASS", "OPERATOR FAMILY", "ACCESS METHOD"].concat([
  "FOREIGN DATA WRAPPER",
  "TEXT SEARCH PARSER",
  "TEXT SEARCH TEMPLATE",
  "PROCEDURAL LANGUAGE",
  "SECURITY LABEL",
  "SHELL TYPE",
  "PUBLICATION TABLES IN SCHEMA",
]);

/** `CREATE TYPE schema.name;` */
const SHELL_TYPE_WORDS = 6;

const LEAVE_OUT = "restore as a superuser, or go on without it (--keep-going)";

/**
 * What the role of the connection may not restore, as lacks of kind `right`; empty for a superuser. On the server of a
 * provider whose administrator may do more than other roles, they are risks (`managed`).
 */
export async function missingRights(
  target: Connection,
  contents: ArchiveContents,
  entries: readonly ArchiveEntry[],
  { create, createRoles }: { create: boolean; createRoles: boolean },
): Promise<Lack[]> {
  const facts = await roleFacts(target, create);
  if (facts.is_superuser) return [];
  const found: Lack[] = [];
  const kind = facts.provider === null ? "right" : "managed";
  const add = (name: string, hint: string) => void found.push({ kind, name, hint, sql: null });
  if (create && !facts.createdb)
    add("the database (CREATEDB)", "ALTER ROLE … CREATEDB, or create it by hand");
  if (createRoles && !facts.createrole)
    add("roles (CREATEROLE)", "ALTER ROLE … CREATEROLE, or create them by hand");
  const properties = create ? contents.entries.filter(isOfDatabase) : [];
  for (const entry of [...entries, ...properties]) {
    const hint = hintFor(entry, facts, create);
    if (hint !== undefined) add(textOfName(entryName(entry)), hint);
  }
  return [...found, ...(await ownersWithoutSchema(target, entries, create))];
}

/** Why the role may not restore this entry, as a hint; undefined if it may, as far as can be told. */
function hintFor(entry: ArchiveEntry, facts: RoleFacts, create: boolean): string | undefined {
  const { description, tag, definition } = entry;
  const words = tokensOf(definition).map(({ value }) => value);
  const has = (...sequence: string[]) =>
    words.some((_, i) => sequence.every((word, offset) => words[i + offset] === word));
  if (SUPERUSER_KINDS.includes(description)) return LEAVE_OUT;
  if (description === "EXTENSION") return extensionHint(tag, facts, create);
  if (description === "COMMENT" && tag.startsWith("EXTENSION ")) {
    const extension = tag.slice("EXTENSION ".length).replaceAll('"', "");
    return facts.installed[extension] === false && !create
      ? "another role owns that extension: restore with --no-comments"
      : undefined;
  }
  if (description === "PUBLICATION")
    return has("for", "all", "tables") || has("for", "tables", "in") ? LEAVE_OUT : undefined;
  if (description === "SUBSCRIPTION")
    return facts.creates_subscriptions
      ? undefined
      : `${LEAVE_OUT}; since PostgreSQL 16 pg_create_subscription is enough`;
  if (description === "SCHEMA")
    return facts.creates_schemas || facts.schemas.includes(tag)
      ? undefined
      : "GRANT CREATE ON DATABASE … to the role";
  // A shell type, and a base type.
  if (description === "TYPE" && (words.length <= SHELL_TYPE_WORDS || has("input", "="))) return LEAVE_OUT;
  if (["FUNCTION", "PROCEDURE"].includes(description)) {
    const language = words[words.indexOf("language") + 1] ?? "";
    if (has("leakproof")) return LEAVE_OUT;
    return facts.untrusted.includes(language) ? LEAVE_OUT : undefined;
  }
  if (description === "ACL" && has("set", "session", "authorization"))
    return "its grantor is another role: restore with --no-privileges";
  if (description === "DATABASE PROPERTIES") {
    const name = /\sSET "?([\w.]+)"? (?:TO|=)/i.exec(definition)?.[1];
    return name !== undefined && facts.superuser_settings.includes(name) ? LEAVE_OUT : undefined;
  }
  return undefined;
}

function extensionHint(name: string, facts: RoleFacts, create: boolean): string | undefined {
  if (!create && name in facts.installed) return undefined;
  if (!facts.superuser_extensions.includes(name))
    return facts.creates_schemas ? undefined : "GRANT CREATE ON DATABASE … to the role";
  return `let an administrator create it in the target first, then restore with --skip-extension ${name}`;
}

async function roleFacts(target: Connection, create: boolean): Promise<RoleFacts> {
  const [row] = await target.run(
    "read the rights of the role",
    (sql) => sql<RoleFacts[]>`
      select rolsuper as is_superuser, rolcreatedb as createdb, rolcreaterole as createrole,
        exists (select from pg_roles r where r.rolname = 'pg_create_subscription'
          and pg_has_role(r.oid, 'usage')) as creates_subscriptions,
        ${create} or has_database_privilege(current_database(), 'create') as creates_schemas,
        (select coalesce(json_object_agg(extname, pg_has_role(extowner, 'usage')), '{}') from pg_extension)
          as installed,
        (select coalesce(json_agg(v.name), '[]') from pg_available_extensions e
          join pg_available_extension_versions v on v.name = e.name and v.version = e.default_version
          where v.superuser and not coalesce((to_jsonb(v) ->> 'trusted')::bool, false)) as superuser_extensions,
        (select json_agg(lanname) from pg_language
          where not (lanpltrusted and has_language_privilege(oid, 'usage'))) as untrusted,
        (select coalesce(json_agg(name), '[]') from pg_settings where context in ('superuser', 'superuser-backend'))
          as superuser_settings,
        (select rolname from pg_roles r where r.rolname in ${sql(PROVIDER_ROLES)} order by rolname limit 1) as provider,
        (select coalesce(json_agg(nspname), '[]') from pg_namespace) as schemas
      from pg_roles where rolname = current_user`,
  );
  if (!row) throw new Error("the current role exists");
  return row;
}

/**
 * ALTER … OWNER TO needs a new owner with the right CREATE in the schema, unless a superuser runs it. The rights in
 * schemas of the archive are granted at its end only.
 */
async function ownersWithoutSchema(
  target: Connection,
  entries: readonly ArchiveEntry[],
  create: boolean,
): Promise<Lack[]> {
  const made = new Map(
    entries.filter(({ description }) => description === "SCHEMA").map(({ tag, owner }) => [tag, owner]),
  );
  const { user } = target.endpoint;
  const wanted = entries
    .filter(({ description }) => NEEDS_SCHEMA.includes(description))
    .flatMap(({ owner, namespace }) =>
      namespace === undefined
        ? []
        : [...(made.has(namespace) ? [] : [user]), ...(owner === undefined ? [] : [owner])].map((one) => ({
            owner: one,
            schema: namespace,
            made: made.get(namespace) ?? null,
          })),
    );
  const asked = JSON.stringify([...new Map(wanted.map((one) => [JSON.stringify(one), one])).values()]);
  const rows = await target.run(
    "read the rights of the owners",
    (sql) => sql<{ owner: string; schema: string }[]>`
      select owner, schema from json_to_recordset(${asked}::text::json) as w (owner text, schema text, made text)
      join pg_roles r on r.rolname = w.owner
      left join pg_roles m on m.rolname = w.made
      left join pg_namespace n on n.nspname = w.schema
      where not r.rolsuper and pg_has_role(r.oid, 'member') and case
        when w.made is not null then m.oid is not null and not pg_has_role(r.oid, m.oid, 'usage')
        when n.oid is null or ${create} then false
        else not has_schema_privilege(r.oid, n.oid, 'create') end
      order by owner, schema`,
  );
  return rows.map(({ owner, schema }) => ({
    kind: "right",
    name: `objects of ${owner} in schema ${schema}`,
    hint: `${owner === user ? "the role that restores" : "that owner"} needs the right CREATE there: GRANT CREATE ON SCHEMA ${quoteIdentifier(schema)} TO ${quoteIdentifier(owner)};${owner === user ? "" : " or restore with --no-owner"}`,
    sql: null,
  }));
}

const NEEDS_SCHEMA = [
  "TABLE",
  "FOREIGN TABLE",
  "VIEW",
  "MATERIALIZED VIEW",
  "SEQUENCE",
  "TYPE",
  "DOMAIN",
].concat([
  "FUNCTION",
  "PROCEDURE",
  "AGGREGATE",
  "OPERATOR",
  "COLLATION",
  "CONVERSION",
  "TEXT SEARCH CONFIGURATION",
  "TEXT SEARCH DICTIONARY",
]);
