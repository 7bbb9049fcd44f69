import { quoteIdentifier } from "../archive/sql-text.ts";
import { maskedSetting, valuesOfSetting } from "./masked-setting.ts";
import type { GlobalMembership, GlobalRole, Globals } from "./parse.ts";

/** The roles of a target, as they are before anything is created. */
export interface TargetRoles {
  major: number;
  /** Whether the session's role is a superuser. */
  isSuperuser: boolean;
  /** Superusers, and members of superusers, also through other roles. */
  superusers: ReadonlySet<string>;
  /** Only those that have the attribute SUPERUSER themselves. */
  ownSuperusers: ReadonlySet<string>;
  roles: ReadonlySet<string>;
  /** `membershipKey` of each. */
  memberships: ReadonlySet<string>;
  tablespaces: ReadonlySet<string>;
}

export interface GlobalsStatement {
  sql: string;
  /** For people: without a password and the values of settings. */
  shown: string;
  /** Values that PostgreSQL's error could quote and that nobody may see. */
  hidden: readonly string[];
  /** If it fails: `stop` all, `skip` this one, or run another statement instead. */
  otherwise: "stop" | "skip" | { sql: string };
}

/** What is created of the globals; nothing that exists is changed. */
export interface GlobalsPlan {
  /** Roles that the target lacks, in the order of their creation. */
  roles: string[];
  statements: GlobalsStatement[];
  /**
   * Memberships and superusers that are not created, each as a statement with the reason. If everything is wanted, also
   * the first words of the statements that this version does not understand.
   */
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
 * Of a superuser that is only a member nothing is created, because a restore of one database would bring its password.
 * `hasPasswords`: whether the dump was made with the right to read passwords.
 */
export function planGlobals(
  globals: Globals,
  needed: readonly string[] | "all",
  target: TargetRoles,
  hasPasswords: boolean,
): GlobalsPlan {
  const wereSuperusers = superusersOf(globals);
  const { wanted, superusers } = wantedRoles(globals, needed, wereSuperusers);
  const missing = globals.roles.filter(({ name }) => wanted.has(name) && !target.roles.has(name));
  const made = new Set(missing.map(({ name }) => name));
  const isThere = (name: string) => target.roles.has(name) || made.has(name);
  const statements = missing.map(creation);
  const extras = missing.flatMap((role) => role.extras);
  const grants = globals.parameterGrants.filter(({ role }) => made.has(role)).map(({ sql }) => sql);
  const refused = globals.roles
    .filter(({ name }) => superusers.has(name) && !target.roles.has(name))
    .map((role) =>
      refusal(creation(role).shown, `${quoteIdentifier(role.name)} was a superuser in the source`),
    );
  const memberships: GlobalsStatement[] = [];
  for (const one of globals.memberships) {
    const { role, member } = one;
    // Those in PostgreSQL's own roles give rights in every database.
    const isMember = wanted.has(member) || superusers.has(member);
    const isWanted = isMember && (wanted.has(role) || (role.startsWith("pg_") && wanted.has(member)));
    if (!isWanted || target.memberships.has(membershipKey(role, member))) continue;
    // It has every right already.
    if (target.ownSuperusers.has(member)) continue;
    const reason = refusalOf(one, wereSuperusers, target, isThere);
    if (reason === undefined) memberships.push(granting(one, target, isThere));
    else refused.push(refusal(`${plainGrant(one, target)};`, reason));
  }
  if (needed === "all")
    refused.push(...globals.unknown.map((words) => refusal(`${words};`, "not understood")));
  const optional = (sql: string): GlobalsStatement => ({
    ...{ sql, shown: `${maskedSetting(sql)};`, hidden: valuesOfSetting(sql), otherwise: "skip" },
  });
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

/** The superusers of the source, and their members, also through other roles. */
function superusersOf({ roles, memberships }: Globals): Set<string> {
  const members = Map.groupBy(memberships, ({ role }) => role);
  const found = new Set(roles.flatMap(({ name, isSuperuser }) => (isSuperuser ? [name] : [])));
  // A set's loop also visits what is added meanwhile.
  for (const name of found) for (const { member } of members.get(name) ?? []) found.add(member);
  return found;
}

/** The roles to create, and beside them the superusers that are only members of these. */
function wantedRoles(
  { roles, memberships }: Globals,
  needed: readonly string[] | "all",
  wereSuperusers: ReadonlySet<string>,
): { wanted: Set<string>; superusers: Set<string> } {
  const superusers = new Set<string>();
  if (needed === "all") return { wanted: new Set(roles.map(({ name }) => name)), superusers };
  const members = Map.groupBy(memberships, ({ role }) => role);
  const wanted = new Set(needed);
  for (const name of wanted)
    for (const { member } of members.get(name) ?? []) {
      if (wanted.has(member)) continue;
      if (wereSuperusers.has(member)) superusers.add(member);
      else wanted.add(member);
    }
  return { wanted, superusers };
}

/** The statement with its reason as a comment, which a line break in a name must not end. */
function refusal(statement: string, reason: string): string {
  return `${statement} -- ${reason.replaceAll(/[\r\n]+/g, " ")}`;
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
    hidden: [],
    otherwise: "stop",
  };
}

/** Why a membership is not created: it would change a role that exists or make a superuser, or a role is missing. */
function refusalOf(
  { role, member }: GlobalMembership,
  wereSuperusers: ReadonlySet<string>,
  target: TargetRoles,
  isThere: (name: string) => boolean,
): string | undefined {
  const absent = [role, member].find((name) => !isThere(name));
  if (absent !== undefined) return `the target has no role ${quoteIdentifier(absent)}`;
  // A member that exists may be another one of the same name: what it was in the source says nothing about it.
  const isSuperuser = !target.roles.has(member) && wereSuperusers.has(member);
  if (target.superusers.has(role) && !wereSuperusers.has(role) && !isSuperuser)
    return `${quoteIdentifier(role)} is a superuser in the target, but was none in the source`;
  if (target.roles.has(member)) return `${quoteIdentifier(member)} exists in the target already`;
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
    return { sql: plain, shown: `${plain};`, hidden: [], otherwise: "stop" };
  const sql = `${plain} GRANTED BY ${quoteIdentifier(grantor)}`;
  return { sql, shown: `${sql};`, hidden: [], otherwise: { sql: plain } };
}

/** Before 16 a membership has no options but ADMIN. */
function plainGrant({ role, member, options, isAdmin }: GlobalMembership, { major }: TargetRoles): string {
  const known = major >= 16 ? options : isAdmin ? "ADMIN OPTION" : "";
  const rest = known === "" ? "" : ` WITH ${known}`;
  return `GRANT ${quoteIdentifier(role)} TO ${quoteIdentifier(member)}${rest}`;
}
