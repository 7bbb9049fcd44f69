import { expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** What a scratch owner without a superuser's rights cannot make by itself. */

setDefaultTimeout(120_000);

const postgres = usePostgres();

test("extensions that need a superuser, policies for roles and event triggers do not fail a test", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await sql
    .unsafe(
      `create schema ext; create extension pageinspect schema ext; create extension hstore;
       create role test_policy_reader;
       create table note (id int primary key, tags hstore);
       insert into note select i, 'a=>1' from generate_series(1, 7) i;
       alter table note enable row level security; alter table note force row level security;
       create policy readers on note to test_policy_reader using (id > 3);
       create function noticed() returns event_trigger language plpgsql as 'begin end';
       create event trigger seen on ddl_command_end execute function noticed()`,
    )
    .simple();
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("a", directory)],
  });
  await installation.ok("backup");
  const { json, stdout } = await installation.run("restore-test", "--json");
  const [result] = json.tests;
  expect(result.outcome, stdout).toBe("PASSED");
  const [restored, rows] = result.checks;
  expect(restored.detail).toBe("not restored: event trigger seen (only a superuser may create it)");
  expect(rows).toMatchObject({ name: "rows", expected: "7 rows in 1 table", found: "7 rows in 1 table" });
  await sql.unsafe("drop owned by test_policy_reader; drop role test_policy_reader").simple();
});
