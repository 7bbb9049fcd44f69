import type { Sql } from "postgres";
import { KIB } from "../../../src/base/limits.ts";

const ROW_BYTES = KIB;

/**
 * Fills a database so that its dump has about this many MiB that hardly compress. A backup or restore can then be
 * stopped in its middle, because it does not fit into the program's buffers.
 */
export async function fillBulk(sql: Sql, dumpMib: number): Promise<void> {
  // pg_dump writes bytea in hexadecimal: two bytes for one.
  const rows = Math.round((dumpMib * KIB * KIB) / (2 * ROW_BYTES));
  await sql
    .unsafe(`
    create extension if not exists pgcrypto;
    create table bulk (id int not null, bytes bytea not null);
    alter table bulk alter bytes set storage external;
    insert into bulk select i, gen_random_bytes(${ROW_BYTES}) from generate_series(1, ${rows}) i;
  `)
    .simple();
}
