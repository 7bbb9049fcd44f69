import { Pg321Error } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { UNFINISHED, type UnfinishedCopy, unfinishedError } from "../../sqlite/migration/unfinished.ts";
import { CREATING, MIGRATING } from "../errors.ts";
import type { Transaction, Transactions } from "../transactions.ts";
import { MIGRATIONS } from "./migrations.ts";

const LOOK = `SELECT current_setting('server_encoding') AS encoding,
    to_regclass('pg321.schema_version') IS NOT NULL AS has_version,
    to_regnamespace('pg321') IS NOT NULL AS has_schema,
    EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('pg321')) AS has_tables`;
const IS_UNFINISHED = `SELECT to_regclass('pg321.${UNFINISHED}') IS NOT NULL AS is_unfinished`;
const VERSION = "SELECT version FROM pg321.schema_version";

interface Looked {
  encoding: string;
  has_version: boolean;
  has_schema: boolean;
  has_tables: boolean;
}

/** The version of the schema in the database; 0 if there is none. Throws code `usage` if it cannot be ours. */
export async function schemaVersion(transaction: Transaction, label: string): Promise<number> {
  const [looked] = await transaction.rows<Looked>(LOOK);
  if (looked?.encoding !== "UTF8")
    throw new Pg321Error("usage", `${label}: the encoding of the database is ${looked?.encoding}, not UTF8`, {
      hint: "create one with: CREATE DATABASE pg321 TEMPLATE template0 ENCODING 'UTF8'",
    });
  if (!looked.has_version && looked.has_tables)
    throw new Pg321Error("usage", `${label}: the schema "pg321" belongs to another program`, {
      hint: "name another database in catalog.url",
    });
  if (!looked.has_version) return 0;
  const [row] = await transaction.rows<{ version: number }>(VERSION);
  return row?.version ?? 0;
}

/** What an unfinished copy says about itself; undefined for a catalog. */
export async function unfinishedCopy({ rows }: Transaction): Promise<UnfinishedCopy | undefined> {
  const [found] = await rows<{ is_unfinished: boolean }>(IS_UNFINISHED);
  if (found?.is_unfinished !== true) return undefined;
  const [mark] = await rows<UnfinishedCopy>(`SELECT source, begun_at FROM pg321.${UNFINISHED}`);
  return mark;
}

/** Throws code `usage` for a schema that a newer program has made. */
export function refuseNewerSchema(version: number, label: string, known = MIGRATIONS.length): void {
  if (version <= known) return;
  throw new Pg321Error(
    "usage",
    `${label}: written by a newer pg321 (version ${version}, this program knows ${known})`,
    { hint: "run the newer pg321 on this host too, or name another database in catalog.url" },
  );
}

interface MigrateOptions {
  log?: Log | undefined;
  migrations?: readonly string[];
  /** Whether it may be an unfinished copy of another catalog. */
  isCopying?: boolean | undefined;
}

/**
 * Brings the schema to the newest version, in one transaction. Of several daemons that start at once one does it, and
 * the others wait for it. Throws code `usage` if a newer program has made the schema.
 */
export async function migrate(
  { do: transact, doSlowly, label }: Transactions,
  { log, migrations = MIGRATIONS, isCopying = false }: MigrateOptions = {},
): Promise<void> {
  const looking = "look at the schema";
  const found = await transact(looking, async (transaction) => {
    const version = await schemaVersion(transaction, label);
    const unfinished = isCopying ? undefined : await unfinishedCopy(transaction);
    if (unfinished) throw unfinishedError(label, unfinished);
    return version;
  });
  refuseNewerSchema(found, label, migrations.length);
  if (found === migrations.length) return;
  const before = await doSlowly(found === 0 ? CREATING : MIGRATING, async (transaction) => {
    await transaction.lock("pg321 schema");
    const version = await schemaVersion(transaction, label);
    refuseNewerSchema(version, label, migrations.length);
    if (version === 0) await begin(transaction);
    else if (version < migrations.length) {
      await requireOwnership(transaction);
      await stopWriters(transaction);
    }
    for (const sql of migrations.slice(version)) await transaction.script(sql);
    await transaction.run("UPDATE schema_version SET version = $version", { version: migrations.length });
    return version;
  });
  if (before > 0 && before < migrations.length)
    log?.info("the catalog was upgraded", { from: before, to: migrations.length });
}

/**
 * A role that may not change the schema is refused before it makes all hosts wait: its daemon tries again every few
 * seconds. The server says so itself, because only an owner may write a comment.
 */
async function requireOwnership({ script }: Transaction): Promise<void> {
  await script("COMMENT ON TABLE schema_version IS 'the version of the schema of pg321'");
}

/**
 * Lets the writes under way end, and others wait: tables that a migration fills from the records must not miss what is
 * committed between that and the triggers that keep them.
 */
async function stopWriters({ rows, run }: Transaction): Promise<void> {
  const tables = await rows<{ name: string }>(
    "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'pg321' ORDER BY 1",
  );
  const names = tables.map(({ name }) => name).join(", ");
  await run(`LOCK TABLE ${names} IN SHARE ROW EXCLUSIVE MODE`);
}

async function begin(transaction: Transaction): Promise<void> {
  const [looked] = await transaction.rows<Looked>(LOOK);
  // The role may own the schema without a right to create one.
  if (looked?.has_schema !== true) await transaction.run("CREATE SCHEMA pg321");
  await transaction.run(
    "CREATE TABLE schema_version (single integer PRIMARY KEY CHECK (single = 1), version integer NOT NULL)",
  );
  await transaction.run("INSERT INTO schema_version VALUES (1, 0)");
}
