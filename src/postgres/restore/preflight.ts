import { Pg321Error } from "../../base/errors.ts";
import { databaseOwner, databaseStatements, needsOf } from "../archive/archive.ts";
import { cutsOf } from "../archive/cuts.ts";
import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import type { Selection } from "../archive/selection.ts";
import { DEPENDENT_KINDS, isWhole, selectedEntries } from "../archive/selection.ts";
import { quoteIdentifier } from "../archive/sql-text.ts";
import type { Connection, Endpoint } from "../connection.ts";
import type { ServerOffer } from "../inspect.ts";
import { databaseExists, inspectServer, offerOf } from "../inspect.ts";
import { withSequences } from "./existing.ts";
import type { SelectedPlan } from "./left-out.ts";
import { planSelection } from "./left-out.ts";
import { planMove } from "./other-schema.ts";

/** An object that the restoring role may not create; on the server of a provider, one that it perhaps may not. */
export type RightKind = "right" | "managed";

/** One thing that a target lacks, with a hint. */
export interface Lack {
  kind: "role" | "membership" | "extension" | "tablespace" | "locale" | "version" | RightKind;
  name: string;
  hint: string;
  /** The statement that creates it, ready to run; null if it needs more than that. */
  sql: string | null;
}

/**
 * Compares the entries to restore with a target and changes nothing. With `create` it also checks the needs of the database's
 * own properties. A lack with `isRisk` is only reported, any other makes the restore fail.
 */
export async function preflight(
  target: Connection,
  contents: ArchiveContents,
  { entries, create }: { entries: readonly ArchiveEntry[]; create: boolean },
): Promise<Lack[]> {
  const needs = needsOf(contents, entries, create);
  const offer = await offerOf(target);
  const { major } = await inspectServer(target);
  const { lost } = databaseStatements(contents, contents.database, major);
  const sourceMajor = Number.parseInt(contents.serverVersion, 10);
  const lacking = (kind: "role" | "extension" | "tablespace") =>
    needs[`${kind}s`].filter((name) => !offer[`${kind}s`].includes(name));
  return [
    ...lacking("role").map((name): Lack => lackWithSql("role", name, createRole(name))),
    ...needs.owners
      .filter((name) => offer.roles.includes(name) && !offer.memberships.includes(name))
      .map((name) => lackingMembership(target.endpoint.user, name, offer)),
    ...lacking("extension").map(
      (name): Lack => ({
        kind: "extension",
        name,
        hint: "install its package on the target's host",
        sql: null,
      }),
    ),
    ...lacking("tablespace").map((name): Lack => {
      const hint = `CREATE TABLESPACE ${quoteIdentifier(name)} LOCATION '…'; with an empty directory of postgres`;
      return { kind: "tablespace", name, hint, sql: null };
    }),
    ...(create ? lost : []).map(
      ({ name, instead }): Lack => ({
        kind: "locale",
        name,
        hint: `PostgreSQL ${major} does not support it: ${instead}`,
        sql: null,
      }),
    ),
    ...(sourceMajor > major
      ? [
          {
            kind: "version" as const,
            name: `${major}`,
            hint: `the dump comes from PostgreSQL ${sourceMajor}`,
            sql: null,
          },
        ]
      : []),
  ];
}

/** A restore proceeds despite it: an older target, one that sorts by another locale, a right that it may have. */
export function isRisk({ kind }: Lack): boolean {
  return kind === "version" || kind === "locale" || kind === "managed";
}

function lackWithSql(kind: "role" | "membership", name: string, sql: string): Lack {
  return { kind, name, hint: sql, sql };
}

/** Without login: a backup contains neither passwords nor attributes of roles. */
export function createRole(name: string): string {
  return `CREATE ROLE ${quoteIdentifier(name)};`;
}

function lackingMembership(user: string, name: string, { superusers }: ServerOffer): Lack {
  if (!superusers.includes(name))
    return lackWithSql("membership", name, `GRANT ${quoteIdentifier(name)} TO ${quoteIdentifier(user)};`);
  // Never a statement for that: it would be pasted.
  const hint = `restore as a superuser: a member of "${name}" could become one`;
  return { kind: "membership", name, hint, sql: null };
}

/**
 * Creates the database `name` with the properties of the archived one (encoding, locale, owner, settings), but
 * without those that `finishDatabase` sets. If it throws, the database does not exist. `target` is connected to
 * another database.
 */
export async function createDatabase(
  target: Connection,
  contents: ArchiveContents,
  name: string,
): Promise<void> {
  if (await databaseExists(target, name)) throw existsAlready({ ...target.endpoint, database: name });
  const { major } = await inspectServer(target);
  const { before } = databaseStatements(contents, name, major);
  const create = before.length > 0 ? before : [`CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE template0`];
  const owner = databaseOwner(contents);
  if (owner) create.push(`ALTER DATABASE ${quoteIdentifier(name)} OWNER TO ${quoteIdentifier(owner)}`);
  const [first = "", ...rest] = create;
  await runAll(target, `create database "${name}"`, [first]);
  try {
    await runAll(target, `set the properties of database "${name}"`, rest);
  } catch (error) {
    await runAll(target, `drop database "${name}"`, [`DROP DATABASE ${quoteIdentifier(name)}`]);
    throw error;
  }
}

export function existsAlready({ label, database }: Pick<Endpoint, "label" | "database">): Pg321Error {
  return new Pg321Error("database", `${label}: database "${database}" already exists`, {
    hint: "restore without --create, or under another name",
  });
}

/** Applies the remaining properties after the data: comment, privileges, limits. */
export async function finishDatabase(
  target: Connection,
  contents: ArchiveContents,
  name: string,
): Promise<void> {
  const { major } = await inspectServer(target);
  const { after } = databaseStatements(contents, name, major);
  await runAll(target, `set the properties of database "${name}"`, after);
}

/**
 * The entries that a restore of the selection runs, which are those of the selection, and those of schemas that they need
 * and the target lacks; and what it leaves out. With `create` the database does not exist yet, and `target` is connected
 * to another one.
 */
export async function planRestore(
  target: Connection,
  contents: ArchiveContents,
  { selection, create }: { selection: Selection; create: boolean },
): Promise<SelectedPlan> {
  const cuts = cutsOf(contents, selection);
  const selected = selectedEntries(contents, selection, cuts);
  if (isWhole(selection) || selection.only === "data")
    return { entries: selected, needs: [], present: [], left_out: [], missing_dependents: [] };
  const { intoSchema: schema } = selection;
  if (schema !== undefined) return planMove(target, contents, selected, { selection, schema });
  const there = create ? undefined : target;
  const all = await withSequences(there, contents, selected, cuts);
  const plan = await planSelection(there, contents, all, cuts);
  const present = create ? ["public"] : await schemaNames(target);
  const needed = new Set(plan.entries.map(({ namespace }) => namespace));
  const ids = new Set(plan.entries.map(({ id }) => id));
  const isLacking = ({ description, tag }: ArchiveEntry) =>
    description === "SCHEMA" && needed.has(tag) && !present.includes(tag);
  const schemas = new Set(contents.entries.filter(isLacking).map(({ id }) => id));
  const isOfSchema = ({ id, description, dependencies }: ArchiveEntry) =>
    schemas.has(id) ||
    (DEPENDENT_KINDS.includes(description) && dependencies.some((one) => schemas.has(one)));
  return { ...plan, entries: contents.entries.filter((entry) => ids.has(entry.id) || isOfSchema(entry)) };
}

async function schemaNames(target: Connection): Promise<string[]> {
  const rows = await target.run(
    "list the schemas",
    (sql) => sql<{ name: string }[]>`select nspname as name from pg_namespace`,
  );
  return rows.map(({ name }) => name);
}

async function runAll(target: Connection, what: string, statements: string[]): Promise<void> {
  for (const statement of statements) await target.run(what, (sql) => sql.unsafe(statement).simple());
}
