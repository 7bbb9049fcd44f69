import { quoteIdentifier as q } from "../../../src/postgres/archive/sql-text.ts";
import { connectTo, disposable, type PostgresAddress } from "../servers/postgres.ts";

/** A server with 5 databases and 12 roles, whose names are as hard to quote as PostgreSQL allows. */
export const DATABASES = ["app", "globals", "@globals", 'odd "name"/x;', "Ünïcode datenbank"] as const;

export const ROLES = [
  "app_owner",
  "app_login",
  'evil"; DROP ROLE app_owner; --',
  "line\nbreak \\restrict x",
  "O'Reader $$ E'\\",
  "Größe",
  "admin",
  "auditor",
  "nightly",
  "grantor",
  "select",
  "nobody",
] as const;

export async function fillWholeServer(address: PostgresAddress): Promise<void> {
  await using admin = disposable(connectTo(address, "postgres"));
  const run = (text: string) => admin.sql.unsafe(text).simple();
  for (const role of ROLES) await run(`create role ${q(role)}`);
  const [owner, login, evil, line, reader, size] = ROLES.map(q);
  await run(
    `alter role ${login} login password 'sec''ret \\ x' connection limit 9 valid until '2040-02-03 04:05+00'`,
  );
  await run(`alter role ${login} set search_path = 'a b', "$user"; alter role ${login} set work_mem = '7MB'`);
  await run(
    `alter role ${evil} login password 'evil' createdb noinherit; comment on role ${evil} is E'it''s\\n; two'`,
  );
  await run(
    `alter role admin superuser createrole login password 'admin'; alter role auditor bypassrls replication`,
  );
  await run(`alter role nightly set statement_timeout = '1h'; alter role ${line} nologin`);
  await run(
    `grant ${owner} to ${login}; grant ${owner} to ${evil} with admin option; grant ${reader} to ${size}`,
  );
  await run(`grant ${size} to ${line}; grant pg_read_all_data to auditor; grant pg_monitor to ${size}`);
  await run(`grant nightly to grantor with admin option; grant nightly to ${login} granted by grantor`);
  await run(`grant set on parameter log_min_duration_statement to nightly`);
  for (const [index, name] of DATABASES.entries()) {
    await run(`create database ${q(name)} template template0 owner ${index % 2 === 0 ? owner : evil}`);
    await run(
      `grant connect on database ${q(name)} to ${reader}; revoke temporary on database ${q(name)} from public`,
    );
    await using database = disposable(connectTo(address, name));
    await database.sql
      .unsafe(`
      create schema data authorization ${owner};
      create table data.item (id int primary key, name text);
      insert into data.item select i, 'item ' || i from generate_series(1, ${(index + 1) * 100}) i;
      alter table data.item owner to ${owner};
      grant select on data.item to ${reader}, ${q("select")};
      create view data.names as select name from data.item;
      alter view data.names owner to ${evil};
      alter default privileges for role ${owner} in schema data grant select on tables to auditor`)
      .simple();
  }
  await run(`alter role ${login} in database app set lock_timeout = '5s'`);
}

/** The roles of a server, without PostgreSQL's own. */
export async function rolesOf(address: PostgresAddress): Promise<string[]> {
  await using admin = disposable(connectTo(address, "postgres"));
  const rows = await admin.sql`select rolname from pg_roles where rolname !~ '^pg_' order by rolname`;
  return rows.map(({ rolname }) => rolname);
}

/** The output of pg_dumpall without its random token and the versions. */
export async function dumpAll(address: PostgresAddress, ...words: string[]): Promise<string> {
  const child = Bun.spawn(
    [
      `${address.bin_dir}/pg_dumpall`,
      "-h",
      "127.0.0.1",
      "-p",
      `${address.port}`,
      "-U",
      address.user,
      ...words,
    ],
    {
      env: { PGPASSWORD: address.password, LC_ALL: "C.UTF-8", PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error("pg_dumpall failed");
  return text.replace(/^\\(un)?restrict .*$/gm, "");
}
