import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Installation, localStorage } from "../../lab/installation.ts";
import { mountTmpfs } from "../../lab/machine/mounts.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** What a scratch owner without a superuser's rights cannot make by itself, and a disk that is too small. */

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

// Only root can mount a file system.
test.skipIf(process.geteuid?.() !== 0)(
  "a disk without the space is found before anything is restored: exit 13",
  async () => {
    const database = await postgres.createDatabase();
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: [database],
      storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
    });
    await installation.ok("backup");
    const small = mkdtempSync(join(tmpdir(), "pg321-small-"));
    try {
      await using _ = await mountTmpfs(small, 64);
      // PostgreSQL runs as another user than root.
      chmodSync(small, 0o711);
      const config = readFileSync(installation.configFile, "utf8");
      writeFileSync(installation.configFile, `temp_dir = ${JSON.stringify(small)}\n${config}`);
      const { exitCode, json, stderr } = await installation.run("restore-test", "--json");
      expect(exitCode).toBe(13);
      expect(json.tests).toMatchObject([{ outcome: "ERROR", restore_ms: null }]);
      expect(json.tests[0].error).toMatch(/not enough space .*pg321-small-.* needed, .* free/);
      expect(stderr).toContain("free some space");
      expect(readdirSync(small).filter((name) => name.startsWith("pg321-"))).toEqual([]);
    } finally {
      rmSync(small, { recursive: true, force: true });
    }
  },
);
