import type { Sql } from "postgres";
import { type Comparison, compareDatabases } from "../../test/lab/data/compare-databases.ts";
import { fillSampleDatabase } from "../../test/lab/data/sample-database.ts";
import { connectTo, type PostgresAddress } from "../../test/lab/servers/postgres.ts";

export const DATABASE = "shop";
/** The role as which pg321 connects. */
export const ROLE = "pg321";

/**
 * The rights that a role needs to dump everything without being a superuser: to read every table, even if row security
 * would hide rows (pg_dump would refuse), and every large object, which pg_read_all_data does not cover.
 */
export const ROLE_STATEMENTS = [
  `CREATE ROLE ${ROLE} LOGIN BYPASSRLS PASSWORD '…';`,
  `GRANT pg_read_all_data TO ${ROLE};`,
  `ALTER ROLE ${ROLE} SET lo_compat_privileges = on;`,
] as const;

export async function makeRole(address: PostgresAddress, password: string): Promise<void> {
  await usingDatabase(address, "postgres", (sql) =>
    sql.unsafe(ROLE_STATEMENTS.join("\n").replace("…", password)).simple(),
  );
}

/** Makes the sample database. Returns its size on the server's disk. */
export async function makeDatabase(address: PostgresAddress, scale: number): Promise<number> {
  await usingDatabase(address, "postgres", (sql) =>
    sql.unsafe(`CREATE DATABASE ${DATABASE} TEMPLATE template0`),
  );
  return usingDatabase(address, DATABASE, async (sql) => {
    await fillSampleDatabase(sql, scale);
    const [row] = await sql<{ bytes: string }[]>`select pg_database_size(current_database()) as bytes`;
    return Number(row?.bytes);
  });
}

export function compareWithSource(address: PostgresAddress, restored: string): Promise<Comparison> {
  return usingDatabase(address, DATABASE, (source) =>
    usingDatabase(address, restored, (copy) => compareDatabases(source, copy)),
  );
}

async function usingDatabase<T>(
  address: PostgresAddress,
  database: string,
  use: (sql: Sql) => Promise<T>,
): Promise<T> {
  const sql = connectTo(address, database);
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
