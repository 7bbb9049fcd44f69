import { expect, test } from "bun:test";
import { outsideText, Pg321Error } from "../../base/errors.ts";
import { errorsIn } from "./errors.ts";
import { explain, withExplanation } from "./known-errors.ts";

/** Errors of PostgreSQL and of extensions, as pg_restore prints them. */
const OUTPUTS: readonly [kind: string, output: string, advice: RegExp][] = [
  [
    "search_path",
    `pg_restore: error: could not execute query: ERROR:  function plus(integer) does not exist
LINE 1: select plus($1)
               ^
HINT:  No function matches the given name and argument types. You might need to add explicit type casts.
QUERY:  select plus($1)
CONTEXT:  SQL function "outer1" during inlining
Command was: CREATE INDEX idx_i ON public.idx USING btree (public.outer1(i));`,
    /^function outer1 uses plus\(integer\) without naming its schema.*SET search_path/,
  ],
  [
    "search_path",
    `pg_restore: error: COPY failed for table "chk2": ERROR:  function plus(integer) does not exist
LINE 1: plus($1)
        ^
HINT:  No function matches the given name and argument types. You might need to add explicit type casts.
QUERY:  plus($1)
CONTEXT:  PL/pgSQL function public.inplpg(integer) line 1 at RETURN
COPY chk2, line 1: "1"`,
    /^function public\.inplpg\(integer\) uses plus\(integer\)/,
  ],
  [
    "search_path",
    `pg_restore: error: could not execute query: ERROR:  relation "rates" does not exist
LINE 1: select max(r) from rates
                           ^
QUERY:  select max(r) from rates
CONTEXT:  PL/pgSQL function public.top_rate() line 1 at RETURN
Command was: REFRESH MATERIALIZED VIEW public.mv;`,
    /^function public\.top_rate\(\) uses rates/,
  ],
  [
    "foreign-server",
    `pg_restore: error: could not execute query: ERROR:  could not connect to server "far"
DETAIL:  connection to server at "127.0.0.1", port 1 failed: Connection refused
	Is the server running on that host and accepting TCP/IP connections?
Command was: REFRESH MATERIALIZED VIEW public.mf;`,
    /REFRESH MATERIALIZED VIEW later/,
  ],
  [
    "foreign-key",
    `pg_restore: error: could not execute query: ERROR:  insert or update on table "c" violates foreign key constraint "c_i_fkey"
DETAIL:  Key (i)=(99) is not present in table "p".
Command was: ALTER TABLE ONLY public.c
    ADD CONSTRAINT c_i_fkey FOREIGN KEY (i) REFERENCES public.p(i);`,
    /violate c_i_fkey in the source already.*NOT VALID/,
  ],
  [
    "unique",
    `pg_restore: error: could not execute query: ERROR:  could not create unique index "d_pkey"
DETAIL:  Key (t)=(a) is duplicated.
Command was: ALTER TABLE ONLY public.d
    ADD CONSTRAINT d_pkey PRIMARY KEY (t);`,
    /violate d_pkey in the source already.*REINDEX/,
  ],
  [
    "extension-preload",
    `pg_restore: error: could not execute query: ERROR:  pg_stat_statements must be loaded via shared_preload_libraries
Command was: REFRESH MATERIALIZED VIEW public.mss;`,
    /shared_preload_libraries of the target and restart it/,
  ],
  [
    "extension-preload",
    `pg_restore: error: could not execute query: FATAL:  extension "timescaledb" must be preloaded
HINT:  Please preload the timescaledb library via shared_preload_libraries.
Command was: CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public;`,
    /--skip-extension/,
  ],
  [
    "extension-one-database",
    `pg_restore: error: could not execute query: ERROR:  can only create extension in database postgres
DETAIL:  Jobs must be scheduled from the database configured in cron.database_name, since the pg_cron background worker reads job descriptions from this database.
HINT:  Add cron.database_name = 'app' in postgresql.conf to use the current database.
CONTEXT:  PL/pgSQL function inline_code_block line 4 at RAISE
Command was: CREATE EXTENSION IF NOT EXISTS pg_cron WITH SCHEMA pg_catalog;`,
    /database postgres only \(cron\.database_name/,
  ],
  [
    "extension-missing",
    `pg_restore: error: could not execute query: ERROR:  extension "postgis" is not available
DETAIL:  Could not open extension control file "/usr/share/postgresql/15/extension/postgis.control": No such file or directory.
HINT:  The extension must first be installed on the system where PostgreSQL is running.
Command was: CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;`,
    /package of extension postgis/,
  ],
  [
    "extension-missing",
    `pg_restore: error: could not execute query: ERROR:  extension "citext" has no installation script nor update path for version "99"
Command was: ALTER EXTENSION citext UPDATE;`,
    /package of extension citext.*version of the source/,
  ],
  [
    "library-missing",
    `pg_restore: error: could not execute query: ERROR:  could not access file "$libdir/pg_cron": No such file or directory
Command was: CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE c
    AS '$libdir/pg_cron', 'x';`,
    /package with \$libdir\/pg_cron/,
  ],
  [
    "extension-permission",
    `pg_restore: error: could not execute query: ERROR:  permission denied to create extension "postgres_fdw"
HINT:  Must be superuser to create this extension.
Command was: CREATE EXTENSION IF NOT EXISTS postgres_fdw WITH SCHEMA public;`,
    /administrator create extension postgres_fdw.*--skip-extension postgres_fdw/,
  ],
  [
    "extension-permission",
    `pg_restore: error: could not execute query: ERROR:  must be owner of extension plpgsql
Command was: COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';`,
    /--skip-extension plpgsql/,
  ],
  [
    "locale",
    `pg_restore: error: could not execute query: ERROR:  could not create locale "de_XX.utf8": No such file or directory
DETAIL:  The operating system could not find any locale data for the locale name "de_XX.utf8".
Command was: CREATE COLLATION public.x (provider = libc, locale = 'de_XX.utf8');`,
    /locale-gen/,
  ],
  [
    "locale",
    `pg_restore: error: could not execute query: ERROR:  collation "pg_catalog.de_DE" for encoding "UTF8" does not exist
LINE 2:     t text COLLATE pg_catalog."de_DE"
                   ^
Command was: CREATE TABLE public.t (
    t text COLLATE pg_catalog."de_DE"
);`,
    /locale-gen/,
  ],
  [
    "encoding",
    `pg_restore: error: COPY failed for table "e": ERROR:  character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "LATIN1"
CONTEXT:  COPY e, line 1`,
    /another encoding.*--create/,
  ],
  [
    "set-role",
    `pg_restore: error: could not execute query: ERROR:  must be member of role "k_owner"
Command was: ALTER SCHEMA ks OWNER TO k_owner;`,
    /member of k_owner.*--no-owner/,
  ],
  [
    "set-role",
    `pg_restore: error: could not execute query: ERROR:  must be able to SET ROLE "k_owner"
Command was: ALTER SCHEMA ks OWNER TO k_owner;`,
    /member of k_owner/,
  ],
  ...[
    "must be superuser to create FOR ALL TABLES publication",
    "must be superuser to create a base type",
    "only superuser can define a leakproof function",
    'permission denied to create event trigger "evt"',
    "permission denied for language c",
  ].map((message): [string, string, RegExp] => [
    "superuser",
    `pg_restore: error: could not execute query: ERROR:  ${message}\nCommand was: CREATE …`,
    /a superuser must create this/,
  ]),
  [
    "role-missing",
    `pg_restore: error: could not execute query: ERROR:  role "app" does not exist
Command was: ALTER TABLE public.t OWNER TO app;`,
    /--create-roles/,
  ],
  [
    "setting",
    `pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;`,
    /setting transaction_timeout/,
  ],
  [
    "permission",
    `pg_restore: error: could not execute query: ERROR:  permission denied for schema public
LINE 1: CREATE TABLE public.t (
                     ^
Command was: CREATE TABLE public.t (
    i integer
);`,
    /--role NAME/,
  ],
  [
    "duplicate",
    `pg_restore: error: COPY failed for table "t": ERROR:  duplicate key value violates unique constraint "t_pkey"
DETAIL:  Key (i)=(1) already exists.
CONTEXT:  COPY t, line 1`,
    /same t_pkey already/,
  ],
  [
    "exists",
    `pg_restore: error: could not execute query: ERROR:  relation "t" already exists
Command was: CREATE TABLE public.t (`,
    /--clean/,
  ],
  [
    "locks",
    `pg_restore: error: could not execute query: ERROR:  out of shared memory
HINT:  You might need to increase max_locks_per_transaction.
Command was: CREATE TABLE public.t (`,
    /max_locks_per_transaction/,
  ],
  [
    "disk-full",
    `pg_restore: error: COPY failed for table "t": ERROR:  could not extend file "base/5/16384": No space left on device
HINT:  Check free disk space.
CONTEXT:  COPY t, line 9`,
    /make room/,
  ],
  [
    "consequence",
    `pg_restore: error: could not execute query: ERROR:  relation "public.gen" does not exist
Command was: ALTER TABLE public.gen OWNER TO postgres;`,
    /first error about that object/,
  ],
];

test.each(OUTPUTS)("%s (%#)", (kind, output, advice) => {
  const [error, ...more] = errorsIn(output);
  if (!error) throw new Error("no error found");
  expect(more).toEqual([]);
  const found = explain(error);
  expect(found?.kind).toBe(kind as never);
  expect(found?.advice).toMatch(advice);
});

test("the error that ends pg_restore gets its statement and advice, and keeps what may leave this host", () => {
  const [, output = ""] = OUTPUTS.find(([kind]) => kind === "foreign-key") ?? [];
  const before = { hint: "look", outside: "it failed", retryable: true };
  const error = withExplanation(new Pg321Error("database", "it failed: Key (i)=(99)", before), output);
  const statement =
    "ALTER TABLE ONLY public.c ADD CONSTRAINT c_i_fkey FOREIGN KEY (i) REFERENCES public.p(i);";
  expect(error).toMatchObject({
    message: `it failed: Key (i)=(99); statement: ${statement}`,
    hint: expect.stringMatching(/^look; the rows violate c_i_fkey in the source already/),
    retryable: true,
  });
  expect(outsideText(error)).toBe(`it failed; statement: ${statement}`);
});

test("nothing is said of an error of another kind", () => {
  const [error] = errorsIn("pg_restore: error: could not execute query: ERROR:  no keys today\n");
  expect(error && explain(error)).toBeUndefined();
});
