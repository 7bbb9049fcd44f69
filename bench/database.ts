import type { Sql } from "postgres";

/** The number of rows for about 1 GB of dump. */
const ROWS_PER_GB = 4_300_000;

/** A table of realistic rows: names, numbers, times, text that compresses to about a third. Made on the server. */
export async function fillBenchDatabase(sql: Sql, sizeGb: number): Promise<void> {
  const rows = Math.round(ROWS_PER_GB * sizeGb);
  await sql
    .unsafe(`
    create table entry (id bigint, customer int, email text, at timestamptz, amount numeric(12, 2), note text);
    insert into entry
      select i, (i * 7919) % 100000, 'user' || (i * 7919) % 100000 || '@example.org',
        timestamptz '2020-01-01' + i * interval '11 seconds', (i % 9999991) / 7.0,
        'order ' || i || ' delivered to the customer in good condition, reference ' || md5(i::text) || ', ' ||
        (array['paid by invoice', 'paid by card', 'reminder was sent to the customer', 'returned and refunded'])[1 + i % 4] ||
        ', handled by clerk ' || i % 371 || ', token ' || md5((i * 31)::text)
      from generate_series(1::bigint, ${rows}) i;
    alter table entry add primary key (id);
  `)
    .simple();
}
