import type { Sql } from "postgres";
import { COUNTS_APPLICATION } from "../../../src/postgres/counts/session.ts";

/** In SQL, the sessions that count the connected database. */
export const COUNTING = `application_name = '${COUNTS_APPLICATION}' and datname = current_database()`;

/**
 * Makes the count of the table "a held" wait, but not the dump, until a session of the application "go" exists: the table
 * belongs to an extension, whose condition calls a function that waits.
 */
export async function holdCount(sql: Sql): Promise<void> {
  await sql
    .unsafe(`
    create extension hstore;
    create table "a held" as select 1 as i;
    create function held() returns bool language plpgsql as $$ begin
      while current_setting('application_name') = '${COUNTS_APPLICATION}'
        and not exists (select from pg_stat_activity where application_name = 'go' and datname = current_database())
      loop perform pg_sleep(0.005), pg_stat_clear_snapshot(); end loop;
      return true; end $$;
    create table later as select generate_series(1, 100) as i;
    create table rewritten as select generate_series(1, 50) as i;
    create table truncated as select generate_series(1, 50) as i;
    alter extension hstore add table "a held";
    update pg_extension set extconfig = array['"a held"'::regclass::oid], extcondition = array['where public.held()']
      where extname = 'hstore';
  `)
    .simple();
}

/** Whether the count waits. */
export const isHeld = async (sql: Sql) =>
  (
    await sql.unsafe(
      `select from pg_stat_activity where ${COUNTING} and query like '%a held%' and state = 'active'`,
    )
  ).length > 0;
/** Whether pg_dump has ended. */
export const isDumped = async (sql: Sql) =>
  (
    await sql.unsafe(
      `select from pg_stat_activity where application_name = 'pg321' and datname = current_database()`,
    )
  ).length === 0;
