import type { Sql } from "postgres";

/**
 * A realistic database with every kind of object that a dump must contain. The roles of its owners and grantees belong
 * to the cluster and are created once.
 */
const SAMPLE_ROLES = ["sample_owner", "Sample Reader"] as const;

const ROWS = { customers: 20_000, orders: 100_000, events: 150_000, documents: 2_000, large_objects: 12 };

/**
 * `scale` 1 is about 270,000 rows and 60 MB. Everything is made on the server, the same each time. Extensions that the
 * server or one of `others` does not have are left out, with what needs them.
 */
export async function fillSampleDatabase(sql: Sql, scale = 1, others: readonly Sql[] = []): Promise<void> {
  for (const role of SAMPLE_ROLES) {
    await sql.unsafe(`do $$ begin create role "${role}"; exception when duplicate_object then null; end $$`);
  }
  const rows = (name: keyof typeof ROWS) => Math.max(1, Math.round(ROWS[name] * scale));
  await sql.unsafe(await schemaFor([sql, ...others])).simple();
  await sql
    .unsafe(`
    insert into shop.customer (email, name, tags, profile, joined)
      select 'user' || i || '@example.org', 'Kundin Ünïcode ' || i, array['t' || i % 7, 'größe ' || i % 3, null],
        jsonb_build_object('level', i % 10, 'nested', jsonb_build_object('a', array[i, i + 1]), 'note', E'line\\n"quoted"'),
        timestamptz '2024-01-01 00:00+00' + i * interval '17 minutes'
      from generate_series(1, ${rows("customers")}) i;
    insert into shop."Order" (customer_id, "placed At", status, total, "select")
      select 1 + (i * 7919) % ${rows("customers")}, date '2024-01-01' + i % 700, (array['new', 'paid', 'sent'])[1 + i % 3]::shop.status,
        round((i % 99991) / 7.0, 2), md5(i::text)::uuid
      from generate_series(1, ${rows("orders")}) i;
    insert into shop.order_item (order_id, line, product, quantity)
      select id, 1, 'product ' || id % 500, 1 + id % 5 from shop."Order" where id % 2 = 0;
    insert into log.event (at, kind, payload, measure)
      select timestamptz '2025-01-01 00:00+00' + i * interval '3 minutes', 'kind ' || i % 11,
        decode(repeat(md5(i::text), 3), 'hex'), case when i % 97 = 0 then 'NaN' else i / 3.0 end::float8
      from generate_series(1, ${rows("events")}) i;
    insert into "Mixed Case"."Odd.Table ""x""" ("Ключ", body, dims)
      select i, (select string_agg(md5((i * j)::text), E'\\t') from generate_series(1, 40) j), array[[i, 1], [2, i]]
      from generate_series(1, ${rows("documents")}) i;
    select lo_from_bytea(700000 + i, decode(repeat(md5('lo' || i), 3000 * i), 'hex'))
      from generate_series(1, ${rows("large_objects")}) i;
    alter large object 700001 owner to sample_owner;
    comment on large object 700001 is 'the first large object';
    select setval('shop.ticket', 4711), nextval('shop.ticket'), setval('shop.never_used', 5, false);
    refresh materialized view shop.revenue_by_day;
  `)
    .simple();
}

/** Adds `public.large`: more than a dump in several streams buffers of one, and than a group of small tables has. */
export async function addLargeTable(sql: Sql): Promise<void> {
  await sql`create table public.large as select i, repeat(md5(i::text), 30) as text from generate_series(1, 25000) i`;
}

async function schemaFor(servers: readonly Sql[]): Promise<string> {
  const available = await Promise.all(
    servers.map(async (sql) => {
      const rows = await sql<{ name: string }[]>`select name from pg_available_extensions`;
      return new Set(rows.map(({ name }) => name));
    }),
  );
  const lacking = EXTENSIONS.filter(({ extension }) => !available.every((names) => names.has(extension)));
  return SCHEMA.split("\n")
    .filter((line) => !lacking.some(({ word }) => line.includes(word)))
    .join("\n");
}

/** A line that has the word needs the extension. */
const EXTENSIONS = [
  { extension: "pg_trgm", word: "trgm" },
  { extension: "hstore", word: "hstore" },
];

const SCHEMA = `
create extension pg_trgm with schema public;
create extension hstore with schema public;
create schema shop authorization sample_owner;
create schema log;
create schema "Mixed Case";
comment on schema shop is 'it''s the shop';
create type shop.status as enum ('new', 'paid', 'sent');
create domain shop.email as text check (value like '%@%');
create type shop.address as (street text, "ZIP code" text);
create sequence shop.ticket increment 3 owned by none;
create sequence shop.never_used;

create table shop.customer (
  id bigint generated always as identity primary key,
  email shop.email not null unique,
  name text not null,
  tags text[] not null default '{}',
  profile jsonb not null,
  attributes hstore default 'a=>1',
  home shop.address default row('Straße 1', '01067'),
  joined timestamptz not null,
  name_upper text generated always as (upper(name)) stored
);
comment on table shop.customer is 'people; "quoted" and ünïcode';
comment on column shop.customer.profile is 'free form';
create index customer_name_trgm on shop.customer using gin (name gin_trgm_ops);
create index on shop.customer ((profile ->> 'level')) where id > 10;

create table shop."Order" (
  id serial primary key,
  customer_id bigint not null references shop.customer on delete cascade,
  "placed At" date not null,
  status shop.status not null default 'new',
  total numeric(12, 2) not null check (total >= 0),
  "select" uuid not null
);
create table shop.order_item (
  order_id int references shop."Order",
  line int,
  product text not null,
  quantity int not null,
  primary key (order_id, line)
);
create unlogged table shop.session (id uuid primary key, data json);
insert into shop.session values ('00000000-0000-0000-0000-000000000001', '{"b": 1,  "a": [true, null]}');
create table shop.empty_table ();

create table log.event (at timestamptz not null, kind text not null, payload bytea, measure float8, unique (at, kind))
  partition by range (at);
create table log.event_2025h1 partition of log.event for values from ('2025-01-01') to ('2025-07-01');
create table log.event_2025h2 partition of log.event for values from ('2025-07-01') to ('2026-01-01');
create table log.event_rest partition of log.event default;
create index on log.event using brin (at);

create table "Mixed Case"."Odd.Table ""x""" ("Ключ" int primary key, body text, dims int[][]);
create table shop.audit (id bigserial primary key, "table" name, action text, at_row bigint);

create function shop.note_change() returns trigger language plpgsql as $body$
begin
  insert into shop.audit ("table", action, at_row) values (tg_table_name, tg_op, new.id);
  return new;
end $body$;
create trigger order_audit after insert on shop."Order"
  for each row when (new.id % 1000 = 0) execute function shop.note_change();
create procedure shop.tidy() language sql as 'delete from shop.audit where false';
create aggregate shop.longest(text) (sfunc = textcat, stype = text);

create view shop.open_order as
  select o.id, c.name, o.total from shop."Order" o join shop.customer c on c.id = o.customer_id where o.status = 'new';
create materialized view shop.revenue_by_day as
  select "placed At" as day, sum(total) as revenue, count(*) as orders from shop."Order" group by 1;
create unique index on shop.revenue_by_day (day);
create rule no_delete as on delete to shop.audit do instead nothing;

alter table shop.customer enable row level security;
create policy own_rows on shop.customer for select to "Sample Reader" using (email = current_user);
alter table shop.customer owner to sample_owner;
grant usage on schema shop to "Sample Reader";
grant select (id, name) on shop.customer to "Sample Reader";
grant select on shop.open_order to "Sample Reader" with grant option;
alter default privileges for role sample_owner in schema shop grant select on tables to "Sample Reader";
create publication changes for table shop."Order";
create statistics shop.order_statistics on customer_id, status from shop."Order";
`;
