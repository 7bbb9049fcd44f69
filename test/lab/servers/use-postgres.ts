import { afterAll, beforeAll } from "bun:test";
import type { Sql } from "postgres";
import { quoteIdentifier } from "../../../src/postgres/archive/sql-text.ts";
import type { Comparison } from "../data/compare-databases.ts";
import { compareDatabases } from "../data/compare-databases.ts";
import type { LabPostgres, PostgresAddress } from "./postgres.ts";
import { connectTo, disposable, startPostgres } from "./postgres.ts";

/** A test file's access to the PostgreSQL of the runner; a file that runs alone has its own. */
export interface PostgresForTests {
  readonly address: PostgresAddress;
  /** Connects as superuser; the connection is closed after the file's last test. */
  connect(database?: string): Sql;
  /** Makes an empty database that is dropped after the file's last test. Returns its name. */
  createDatabase(name?: string): Promise<string>;
  /** A name for a database that another program creates; it is dropped after the file's last test. */
  newName(prefix?: string): string;
  /** The same for a name that is given. */
  dropAtEnd(name: string): void;
  /** For `--target` and `url` settings, over TCP. */
  url(database: string): string;
}

export function usePostgres(): PostgresForTests {
  let own: LabPostgres | undefined;
  let address: PostgresAddress | undefined;
  const connections: Sql[] = [];
  const databases: string[] = [];

  beforeAll(async () => {
    const given = process.env["PG321_TEST_POSTGRES"];
    if (!given) own = await startPostgres();
    address = own?.address ?? (JSON.parse(given as string) as PostgresAddress);
  });
  afterAll(async () => {
    for (const sql of connections) await sql.end({ timeout: 1 });
    if (own) return own[Symbol.asyncDispose]();
    await using admin = disposable(connectTo(started(address), "postgres"));
    for (const name of databases)
      await admin.sql.unsafe(`drop database if exists ${quoteIdentifier(name)} with (force)`);
  });

  const use: PostgresForTests = {
    get address() {
      return started(address);
    },
    connect(database = "postgres") {
      const sql = connectTo(use.address, database);
      connections.push(sql);
      return sql;
    },
    async createDatabase(name = `test_${crypto.randomUUID().slice(0, 8)}`) {
      await using admin = disposable(connectTo(use.address, "postgres"));
      await admin.sql.unsafe(`create database ${quoteIdentifier(name)} template template0`);
      databases.push(name);
      return name;
    },
    newName(prefix = "restored") {
      const name = `${prefix}_${crypto.randomUUID().slice(0, 8)}`;
      databases.push(name);
      return name;
    },
    dropAtEnd: (name) => void databases.push(name),
    url: (database) => {
      const { user, password, port } = use.address;
      return `postgres://${user}:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
    },
  };
  return use;
}

/** `compareDatabases` by name. Leaves no connection open, because a file may make many comparisons. */
export async function compareByName(
  postgres: PostgresForTests,
  source: string,
  restored: string,
): Promise<Comparison> {
  await using one = disposable(connectTo(postgres.address, source));
  await using other = disposable(connectTo(postgres.address, restored));
  return await compareDatabases(one.sql, other.sql);
}

/** The current databases. */
export async function databaseNames(postgres: PostgresForTests): Promise<string[]> {
  await using admin = disposable(connectTo(postgres.address, "postgres"));
  const rows = await admin.sql<{ datname: string }[]>`select datname from pg_database`;
  return rows.map(({ datname }) => datname);
}

function started(address: PostgresAddress | undefined): PostgresAddress {
  if (!address) throw new Error("use it inside a test: PostgreSQL is not started yet");
  return address;
}
