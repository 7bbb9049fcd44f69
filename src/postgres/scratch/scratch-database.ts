import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { databaseStatements } from "../archive/archive.ts";
import type { ArchiveContents } from "../archive/format.ts";
import { quoteIdentifier, quoteLiteral } from "../archive/sql-text.ts";
import type { Connection } from "../connection.ts";
import { scratchOptions } from "../restore/create-database.ts";

/** What proves that a database is the one that a restore test of this installation has made. */
export interface ScratchIdentity {
  name: string;
  /** Undefined before the server has chosen it. */
  oid: number | null;
  /** Names installation and run. */
  comment: string;
  /** The role made for it, with the same comment; null: it belongs to the role that pg321 connects as. */
  role: string | null;
}

/** PostgreSQL cuts longer names. */
const NAME_BYTES_MAX = 63;
const PREFIX = "test_restore_";
/** The major version that lets CREATE DATABASE name the OID, so that it can be recorded beforehand. */
const OID_MAJOR = 15;
const FORCE_MAJOR = 13;

/**
 * Sessions of the scratch owner: a pg_restore for each stream of the backup, as many that have just ended and that the
 * server has not noticed yet, the watcher of their locks, and the checks.
 */
export function scratchSessions(streams: number): number {
  return 2 * streams + 3;
}

/** `test_restore_app_1f0c9a7be2d34a55`: never longer than a name may be, and never one that exists by chance. */
export function scratchName(database: string, id: string): string {
  const room = NAME_BYTES_MAX - PREFIX.length - 1 - id.length;
  let cut = "";
  for (const character of database) {
    if (Buffer.byteLength(cut + character) > room) break;
    cut += character;
  }
  return `${PREFIX}${cut}_${id}`;
}

/** The OID to ask for, which is recorded before the database exists; null if this server chooses it. */
export function plannedOid(major: number): number | null {
  if (major < OID_MAJOR) return null;
  return 2 ** 30 + (randomBytes(4).readUInt32BE() % 2 ** 30);
}

/** A role without any right, in one transaction with its comment. */
export async function makeScratchRole(
  admin: Connection,
  { role, comment }: { role: string; comment: string },
  password: string,
): Promise<void> {
  const name = quoteIdentifier(role);
  await execute(admin, `create role "${role}"`, [
    `CREATE ROLE ${name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD ${quoteLiteral(scramVerifier(password))}; ` +
      `COMMENT ON ROLE ${name} IS ${quoteLiteral(comment)}`,
  ]);
}

/**
 * Creates the database with the encoding and, if the server has it, the locale of the archived one. Nobody can connect
 * until it has its comment and is closed to others. `streams`: of the backup. Returns its OID, and the reason if it has another locale.
 */
export async function makeScratchDatabase(
  admin: Connection,
  contents: ArchiveContents,
  { major, streams }: { major: number; streams: number },
  identity: ScratchIdentity,
): Promise<{ oid: number; otherLocale: string | null }> {
  const { name, comment, role } = identity;
  const quoted = quoteIdentifier(name);
  const [create = ""] = databaseStatements(contents, name, major).before;
  const options = scratchOptions(create);
  const own = [
    "ALLOW_CONNECTIONS = false",
    `CONNECTION LIMIT = ${scratchSessions(streams)}`,
    ...(identity.oid === null ? [] : [`OID = ${identity.oid}`]),
    ...(role === null ? [] : [`OWNER = ${quoteIdentifier(role)}`]),
  ];
  const statement = (more: readonly string[]) =>
    `CREATE DATABASE ${quoted} TEMPLATE = template0 ${[...more, ...own].join(" ")}`;
  let otherLocale: string | null = null;
  try {
    await execute(admin, `create database "${name}"`, [statement(options.all)]);
  } catch (error) {
    if (!/locale|collat|encoding/i.test(String(error))) throw error;
    otherLocale = String((error as Error).message);
    await execute(admin, `create database "${name}"`, [
      statement([...options.encoding, "LC_COLLATE = 'C'", "LC_CTYPE = 'C'"]),
    ]);
  }
  await execute(admin, `close database "${name}" to others`, [
    `COMMENT ON DATABASE ${quoted} IS ${quoteLiteral(comment)}`,
    `REVOKE ALL ON DATABASE ${quoted} FROM PUBLIC`,
  ]);
  const found = await findScratch(admin, { name });
  if (!found) throw new Error(`database "${name}" has vanished`);
  return { oid: found.oid, otherLocale };
}

/** Lets its owner, and superusers, connect. */
export async function openScratchDatabase(admin: Connection, name: string): Promise<void> {
  await execute(admin, `open database "${name}"`, [
    `ALTER DATABASE ${quoteIdentifier(name)} WITH ALLOW_CONNECTIONS true`,
  ]);
}

/** `foreign`: a database of that name or OID is there, but it is not, or no longer, the one that we made. */
export type DropResult = { result: "dropped" | "gone" } | { result: "foreign"; reason: string };

/**
 * Drops the database only if name, OID and comment are the recorded ones. `isHalfMade`: its comment may not have been
 * set before the process died; then a database of that name and OID without any comment is ours too.
 */
export async function dropScratchDatabase(
  admin: Connection,
  { name, oid, comment }: ScratchIdentity,
  major: number,
  isHalfMade = false,
): Promise<DropResult> {
  const byName = await findScratch(admin, { name });
  if (oid === null)
    return byName ? foreign(name, "its OID was not recorded before the process died") : { result: "gone" };
  const byOid = await findScratch(admin, { oid });
  if (!byOid)
    return byName ? foreign(name, "it has another OID than the one that was made") : { result: "gone" };
  if (byOid.name !== name) return foreign(byOid.name, `it was renamed from "${name}"`);
  if (byOid.comment !== comment && !(isHalfMade && byOid.comment === null))
    return foreign(name, "its comment was changed");
  const quoted = quoteIdentifier(name);
  if (major >= FORCE_MAJOR) {
    await execute(admin, `drop database "${name}"`, [`DROP DATABASE ${quoted} WITH (FORCE)`]);
    return { result: "dropped" };
  }
  await execute(admin, `drop database "${name}"`, [
    `ALTER DATABASE ${quoted} WITH ALLOW_CONNECTIONS false`,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datid = ${oid}`,
    `DROP DATABASE ${quoted}`,
  ]);
  return { result: "dropped" };
}

/** Drops the role only if it has the recorded comment. */
export async function dropScratchRole(
  admin: Connection,
  { role, comment }: Pick<ScratchIdentity, "role" | "comment">,
): Promise<void> {
  if (role === null) return;
  const rows = await admin.run(
    "look for the role of a restore test",
    (sql) => sql<{ comment: string | null }[]>`
      select shobj_description(oid, 'pg_authid') as comment from pg_roles where rolname = ${role}`,
  );
  if (rows[0]?.comment !== comment) return;
  await execute(admin, `drop role "${role}"`, [`DROP ROLE ${quoteIdentifier(role)}`]);
}

interface FoundDatabase {
  name: string;
  oid: number;
  comment: string | null;
}

async function findScratch(
  admin: Connection,
  { name = null, oid = null }: { name?: string | null; oid?: number | null },
): Promise<FoundDatabase | undefined> {
  const rows = await admin.run(
    "look for the database of a restore test",
    (sql) => sql<(Omit<FoundDatabase, "oid"> & { oid: string })[]>`
      select datname as name, oid::text as oid, shobj_description(oid, 'pg_database') as comment
      from pg_database where datname = ${name} or oid = ${oid}::oid`,
  );
  const [row] = rows;
  return row && { ...row, oid: Number(row.oid) };
}

function foreign(name: string, why: string): DropResult {
  return { result: "foreign", reason: `database "${name}": ${why}` };
}

async function execute(admin: Connection, what: string, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await admin.run(what, (sql) => sql.unsafe(statement).simple());
}

/** As PostgreSQL stores it, so that the password itself is in no log of the server. */
function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const rounds = 4096;
  const salted = pbkdf2Sync(password, salt, rounds, 32, "sha256");
  const hmac = (text: string) => createHmac("sha256", salted).update(text).digest();
  const stored = createHash("sha256").update(hmac("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${rounds}:${salt.toString("base64")}$${stored}:${hmac("Server Key").toString("base64")}`;
}
