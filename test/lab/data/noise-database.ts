import type { Sql } from "postgres";

/** Rows that hardly compress: a megabyte of the dump is about half a megabyte of the object. */
export async function fillNoiseDatabase(sql: Sql, megabytes = 6): Promise<void> {
  await sql
    .unsafe(`
    create table noise (id int primary key, bytes bytea not null);
    insert into noise select i, (select string_agg(sha512((i * 100 + j)::text::bytea), ''::bytea) from generate_series(1, 64) j)
      from generate_series(1, ${megabytes * 256}) i;
    create table small (id int primary key, note text);
    insert into small select i, 'note ' || i from generate_series(1, 100) i;
    create view notes as select note from small;
  `)
    .simple();
}
