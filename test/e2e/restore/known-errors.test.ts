import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { RestoreFault } from "../../../src/jobs/load/faults.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** What PostgreSQL refuses of a dump that it made itself: every error of a known kind says what to do. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let backup: string;

/** Objects that a server keeps although it would not create them again, or not in a restore. */
const SOURCE = `
  create table plain (i int); insert into plain values (1), (2);
  create function plus(int) returns int language sql immutable as 'select $1 + 1';
  create function unqualified(int) returns int language sql immutable as 'select plus($1)';
  create table generated (i int, g int generated always as (unqualified(i)) stored);
  insert into generated values (1);
  create table indexed (i int); create index by_unqualified on indexed (unqualified(i));
  insert into indexed values (1);
  create table checked (i int check (unqualified(i) > 0)); insert into checked values (1);
  create table checked_empty (i int check (unqualified(i) > 0));
  create materialized view gathered as select unqualified(i) from indexed;

  create table parent (i int primary key); create table child (i int references parent);
  set session_replication_role = replica; insert into child values (99); reset session_replication_role;
  create table doubled (i int); create unique index only_once on doubled (i);
  update pg_index set indisready = false, indisvalid = false where indexrelid = 'only_once'::regclass;
  insert into doubled values (7), (7);
  update pg_index set indisready = true, indisvalid = true where indexrelid = 'only_once'::regclass;

  create extension postgres_fdw; create extension pg_stat_statements;
  create server far foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1');
  create user mapping for public server far options (user 'u', password 'hunter2');
  create foreign table remote (i int) server far;
  create materialized view from_remote as select * from remote with no data;
  create materialized view statements as select query from pg_stat_statements with no data;
  update pg_class set relispopulated = true where relname in ('from_remote', 'statements');

  create function of_library() returns bool language c as '$libdir/citext', 'citext_eq';
  update pg_proc set probin = '$libdir/no_such_library' where proname = 'of_library';
  create collation strange (provider = libc, locale = 'C');
  update pg_collation set collcollate = 'xx_XX.utf8', collctype = 'xx_XX.utf8' where collname = 'strange';
  create table euro (t text); insert into euro values ('€');`;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres.connect(source).unsafe(SOURCE).simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backup = await installation.backUp();
});
afterAll(() => installation[Symbol.asyncDispose]());

const KINDS = [
  ["TABLE public.generated", "search_path", "unqualified uses plus(integer) without naming its schema"],
  ["INDEX public.by_unqualified", "search_path", "CREATE INDEX by_unqualified ON public.indexed"],
  ["TABLE DATA public.checked", "search_path", "SET search_path"],
  ["MATERIALIZED VIEW DATA public.gathered", "search_path", "REFRESH MATERIALIZED VIEW public.gathered;"],
  ["TABLE DATA public.generated", "consequence", "COPY public.generated (i) FROM stdin;"],
  ["FK CONSTRAINT public.child child_i_fkey", "foreign-key", "violate child_i_fkey in the source already"],
  ["INDEX public.only_once", "unique", "REINDEX it there"],
  ["MATERIALIZED VIEW DATA public.from_remote", "foreign-server", "Connection refused"],
  ["MATERIALIZED VIEW DATA public.statements", "extension-preload", "shared_preload_libraries"],
  ["FUNCTION public.of_library()", "library-missing", "install the package with $libdir/no_such_library"],
  ["COLLATION public.strange", "locale", "CREATE COLLATION public.strange (provider = libc, locale = '…');"],
  ["TABLE DATA public.euro", "encoding", "--create makes one"],
] as const;

describe("with --keep-going", () => {
  let errors: RestoreFault[];
  let ended: Awaited<ReturnType<Installation["run"]>>;

  beforeAll(async () => {
    const target = `test_${crypto.randomUUID().slice(0, 8)}`;
    await postgres
      .connect()
      .unsafe(`create database ${target} encoding latin1 locale 'C' template template0`);
    postgres.dropAtEnd(target);
    ended = await installation.run("restore", backup, "-t", `main/${target}`, "--keep-going", "--json");
    ({ errors } = ended.json);
  });

  test.each(KINDS)("%s: %s", (entry, kind, text) => {
    const found = errors.find((error) => error.entry === entry && error.kind === kind);
    expect(Object.values(found ?? errors).join("\n")).toContain(text);
  });

  test("every error has an entry and a kind, and no password", () => {
    expect(ended.exitCode).toBe(3);
    expect(errors.filter(({ entry, kind }) => entry === null || kind === null)).toEqual([]);
    expect(ended.stdout + ended.stderr).not.toContain("hunter2");
  });

  test("tables and views without their rows are named, but not those that had none", () => {
    const names = ["checked", "euro", "from_remote", "gathered", "generated", "statements"];
    expect(ended.json.unfilled.toSorted()).toEqual(names.map((name) => `public.${name}`));
  });

  test("the alert has no value of a row", async () => {
    const { alerts } = (await installation.ok("alerts", "--json")).json;
    const alert = alerts.find(({ run_id }: { run_id: string }) => run_id === ended.json.run_id);
    const texts = JSON.stringify(alert);
    expect(texts).toContain("without rows: public.");
    expect(texts).toContain("Key (i)=(…)");
    expect(texts).not.toContain("(99)");
    expect(alert.metadata.errors).toHaveLength(errors.length);
  });
});

test("the text gives each advice once, and the restore that stops names statement and advice", async () => {
  const going = await installation.run(
    ...["restore", backup, "-t", `main/${await postgres.createDatabase()}`, "--keep-going"],
  );
  expect(going.stdout).toContain("statement: CREATE INDEX by_unqualified ON public.indexed");
  expect(going.stdout).toContain("without its rows public.checked");
  expect(going.stdout.match(/function unqualified uses/g)).toHaveLength(1);
  expect(going.stdout).toContain("No function matches the given name");

  const stopped = await installation.run("restore", backup, "-t", `main/${await postgres.createDatabase()}`);
  expect(stopped.exitCode).toBe(10);
  expect(stopped.stderr).toMatch(/could not create locale.*statement: CREATE COLLATION public\.strange/);
  expect(stopped.stderr).toMatch(/hint: .*install this locale on the target's host/);
});
