import type { Sql } from "postgres";
import { quoteIdentifier } from "../../../src/postgres/archive/sql-text.ts";

/** Rows of each table, as `NUMBER MD5`, by `schema.table`. It must stay as it is: fixtures of releases hold its result. */
export async function tableDigests(sql: Sql): Promise<Record<string, string>> {
  const tables = await sql<{ schema: string; name: string }[]>`
    select schemaname as schema, tablename as name from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema') order by 1, 2`;
  const digests: Record<string, string> = {};
  for (const { schema, name } of tables) {
    const [row] = await sql.unsafe<{ digest: string }[]>(
      `select count(*) || ' ' || md5(coalesce(string_agg(t::text, E'\\n' order by t::text collate "C"), '')) as digest
      from only ${quoteIdentifier(schema)}.${quoteIdentifier(name)} t`,
    );
    digests[`${schema}.${name}`] = row?.digest ?? "";
  }
  return digests;
}
