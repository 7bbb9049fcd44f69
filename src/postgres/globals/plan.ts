import { quoteIdentifier } from "../archive/sql-text.ts";
import type { GlobalMembership, GlobalRole, Globals } from "./parse.ts";

/** The roles of a target, as they are before anything is created. */
export interface TargetRoles {
  major: number;
  /** Whether the session's role is a superuser. */
  isSuperuser: boolean;
  superusers: ReadonlySet<string>;
  roles: ReadonlySet<string>;
  /** `membershipKey` of each. */
  memberships: ReadonlySet<string>;
  tablespaces: ReadonlySet<string>;
}

export interface GlobalsStatement {
  sql: string;
  /** For people: without a password. */
  shown: string;
  /** If it fails: `stop` all, `skip` this one, or run another statement instead. */
  otherwise: "stop" | "skip" | { sql: string };
}

/** What is created of the globals; nothing that exists is changed. */
export interface GlobalsPlan {
  /** Roles that the target lacks, in the order of their creation. */
  roles: string[];
  statements: GlobalsStatement[];
  /** Memberships that are not created, each with its reason. */
  refused: string[];
  /** Created roles that can log in and whose passwords the backup does not have. */
  without_password: string[];
  /** Tablespaces that the target lacks: their statements need a directory on its host. */
  tablespaces: { name: string; sql: string }[];
}

export function membershipKey(role: string, member: string): string {
  return JSON.stringify([role, member]);
}

/**
 * What a target needs of the globals: the given roles, their members, and the members of those; `all`: everything.
 * `hasPasswords`: whether the dump was made with the right to read passwords.
 */
export function planGlobals(
  globals: Globals,
  needed: readonly string[] | "all",
  target: TargetRoles,
  hasPasswords: boolean,
): GlobalsPlan {
  const wanted = wantedRoles(globals, needed);
  const missing = globals.roles.filter(({ name }) => wanted.has(name) && !target.roles.has(name));
  const made = new Set(missing.map(({ name }) => name));
  const isThere = (name: string) => target.roles.has(name) || made.has(name);
  const statements = missing.map(creation);
  const extras = missing.flatMap((role) => role.extras);
  const grants = globals.parameterGrants.filter(({ role }) => made.has(role)).map(({ sql }) => sql);
  const refused: string[] = [];
  const memberships: GlobalsStatement[] = [];
  for (const one of globals.memberships) {
    const { role, member } = one;
    // Those in PostgreSQL's own roles give rights in every database.
    const isWanted = wanted.has(member) && (wanted.has(role) || role.startsWith("pg_"));
    if (!isWanted || target.memberships.has(membershipKey(role, member))) continue;
    const reason = refusalOf(one, globals, target, isThere);
    if (reason === undefined) memberships.push(granting(one, target, isThere));
    else refused.push(`${plainGrant(one, target)}; -- ${reason}`);
  }
  const optional = (sql: string): GlobalsStatement => ({ sql, shown: `${sql};`, otherwise: "skip" });
  return {
    roles: [...made],
    statements: [...statements, ...memberships, ...[...extras, ...grants].map(optional)],
    refused,
    without_password: hasPasswords
      ? []
      : missing
          .filter(({ canLogin, password }) => canLogin && password === undefined)
          .map(({ name }) => name),
    tablespaces: globals.tablespaces
      .filter(({ name }) => !target.tablespaces.has(name))
      .map(({ name, statements: [sql = ""] }) => ({ name, sql: `${sql};` })),
  };
}

function wantedRoles({ roles, memberships }: Globals, needed: readonly string[] | "all"): Set<string> {
  if (needed === "all") return new Set(roles.map(({ name }) => name));
  const members = Map.groupBy(memberships, ({ role }) => role);
  const wanted = new Set(needed);
  // A set's loop also visits what is added meanwhile.
  for (const name of wanted) for (const { member } of members.get(name) ?? []) wanted.add(member);
  return wanted;
}

function creation({ name, attributes, password }: GlobalRole): GlobalsStatement {
  const create = `CREATE ROLE ${quoteIdentifier(name)}`;
  const text = (secret: string[]) => {
    const all = [...attributes, ...secret];
    return all.length === 0 ? create : `${create} WITH ${all.join(" ")}`;
  };
  const given = password === undefined ? [] : [`PASSWORD ${password}`];
  return {
    sql: text(given),
    shown: `${text(given.map(() => "PASSWORD '…'"))};`,
    otherwise: "stop",
  };
}

/** Why a membership is not created: it would make a superuser of a role that was none, or a role is missing. */
function refusalOf(
  { role, member }: GlobalMembership,
  { roles }: Globals,
  target: TargetRoles,
  isThere: (name: string) => boolean,
): string | undefined {
  const absent = [role, member].find((name) => !isThere(name));
  if (absent !== undefined) return `the target has no role ${quoteIdentifier(absent)}`;
  const wasSuperuser = (name: string) => roles.find((one) => one.name === name)?.isSuperuser === true;
  if (target.superusers.has(role) && !wasSuperuser(role) && !wasSuperuser(member))
    return `${quoteIdentifier(role)} is a superuser in the target, but was none in the source`;
  return undefined;
}

function granting(
  membership: GlobalMembership,
  target: TargetRoles,
  isThere: (name: string) => boolean,
): GlobalsStatement {
  const { grantor } = membership;
  const plain = plainGrant(membership, target);
  // Only a superuser may name another grantor; from 16 on that one must have the right itself.
  if (grantor === undefined || !target.isSuperuser || !isThere(grantor))
    return { sql: plain, shown: `${plain};`, otherwise: "stop" };
  const sql = `${plain} GRANTED BY ${quoteIdentifier(grantor)}`;
  return { sql, shown: `${sql};`, otherwise: { sql: plain } };
}

/** Before 16 a membership has no options but ADMIN. */
function plainGrant({ role, member, options, isAdmin }: GlobalMembership, { major }: TargetRoles): string {
  const known = major >= 16 ? options : isAdmin ? "ADMIN OPTION" : "";
  const rest = known === "" ? "" : ` WITH ${known}`;
  return `GRANT ${quoteIdentifier(role)} TO ${quoteIdentifier(member)}${rest}`;
}
