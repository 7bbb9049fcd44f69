import type { Sql } from "postgres";

/** What PostgreSQL learned in each major version, as far as a dump shows it: statements for a database of the sample. */
const LEARNED: readonly { since: number; statements: string }[] = [
  { since: 14, statements: "alter table shop.customer alter column name set compression pglz" },
  {
    since: 15,
    statements: `
      create table shop.only_one_null (i int, unique nulls not distinct (i));
      create view shop.as_caller with (security_invoker = true) as select id from shop.customer;
      create publication some_rows for table shop.customer (id) where (id > 10)`,
  },
  { since: 16, statements: "create table shop.external (t text storage external)" },
  {
    since: 17,
    statements: `
      grant maintain on shop.order_item to "Sample Reader";
      create table shop.numbered (id int generated always as identity, part int) partition by range (part);
      create table shop.numbered_1 partition of shop.numbered for values from (1) to (2);
      insert into shop.numbered (part) values (1)`,
  },
  {
    since: 18,
    statements: `
      create table shop.eighteen (i int constraint "i; is there" not null, twice int generated always as (i * 2) virtual,
        constraint hardly check (i > 100) not enforced, room int4range, at int4range,
        primary key (room, at without overlaps));
      insert into shop.eighteen (i, room, at) values (1, '[1,2)', '[1,2)'), (1, '[1,2)', '[2,3)');
      create table shop.old (i int); insert into shop.old values (null);
      alter table shop.old add constraint from_now not null i not valid;
      alter table shop.order_item add constraint perhaps foreign key (line) references shop."Order" not enforced`,
  },
];

/** Adds what this server's version knows and older ones do not, and statistics. */
export async function addLearned(sql: Sql, major: number): Promise<void> {
  for (const { since, statements } of LEARNED) if (major >= since) await sql.unsafe(statements).simple();
  await sql.unsafe("analyze");
}

/** Roles as this server's version knows them; their names begin with `prefix`. */
export async function addRoles(sql: Sql, prefix: string, major: number): Promise<void> {
  const run = (text: string) => sql.unsafe(text.replaceAll("~", prefix)).simple();
  await run(`create role "~ owner" login password 'secret'; create role "~ Member"; create role "~ other" createrole;
    alter role "~ owner" set search_path = 'a b', "$user"; comment on role "~ Member" is 'it''s'; grant "~ owner" to "~ Member"`);
  await run(`grant "~ owner" to "~ other" with admin option`);
  if (major >= 15) await run(`grant set on parameter log_min_duration_statement to "~ Member"`);
  if (major >= 16) await run(`grant "~ Member" to "~ other" with inherit false, set false, admin true`);
  if (major >= 17)
    await run(`alter role "~ owner" set transaction_timeout = '1h'; grant pg_maintain to "~ Member"`);
}
