import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** The backup of globals: made with each run, listed, written to a file, checked. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const storages = (directory: string) => ["a", "b"].map((name) => localStorage(name, directory));
let source: string;
let role: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  role = `role_${source}`;
  const sql = postgres.connect();
  await sql.unsafe(`create role ${role} login password 'secret' connection limit 7`);
  await sql.unsafe(`alter role ${role} set work_mem = '7MB'`);
});

function install(more: Partial<Parameters<typeof Installation.make>[0]> = {}): Promise<Installation> {
  return Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages,
    globals: true,
    ...more,
  });
}

describe("a run", () => {
  test("backs up the globals beside the databases, and every command knows them", async () => {
    await using installation = await install();
    const { backups, globals, outcome } = (await installation.ok("backup", "--json")).json;
    expect({ outcome, backups, globals }).toMatchObject({
      outcome: "OK",
      backups: [{ server: "main", database: source, status: "VERIFIED" }],
      globals: [{ server: "main", status: "VERIFIED", error: null }],
    });
    const id = globals[0].backup_id;
    const shown = (await installation.ok("show", id, "--json")).json;
    expect(shown).toMatchObject({ kind: "globals", status: "VERIFIED", facts: { passwords: true } });
    expect(shown.object_key).toMatch(/^main\/@globals\/backup_\d{8}_\d{6}_[0-9a-f]{8}\.globals\.zst\.enc$/);
    expect((await installation.ok("list")).stdout).toContain("main (globals)");
    const file = join(installation.directory, "globals.sql");
    const { stderr } = await installation.ok("restore", id, "--output", file);
    expect(stderr).toContain("the globals of main");
    const sql = readFileSync(file, "utf8");
    expect(sql).toContain(`CREATE ROLE ${role};`);
    expect(sql).toMatch(new RegExp(`ALTER ROLE ${role} .*PASSWORD 'SCRAM-SHA-256`));
    expect(sql).toContain(`ALTER ROLE ${role} SET work_mem TO '7MB';`);
    const verified = (await installation.ok("verify", id, "--json")).json;
    expect(verified.copies).toMatchObject([
      { verdict: "good", archive_checked: true },
      { verdict: "good", archive_checked: true },
    ]);
    const status = (await installation.run("status", "--json")).json;
    expect(status.databases.map(({ database }: { database: string }) => database)).toEqual([source]);
    expect(status.globals).toMatchObject([
      { server: "main", state: "good", newest_good: { id, storages: ["a", "b"] } },
    ]);
    expect((await installation.run("status")).stdout).toContain("GLOBALS");
    const refused = await installation.run("restore", id, "-t", `main/${source}`);
    expect(refused).toMatchObject({ exitCode: 2 });
    expect(refused.stderr).toContain("holds the globals of server");
    expect(await installation.run("restore-test", id)).toMatchObject({ exitCode: 2 });
  });

  test("without the right to read pg_authid has no passwords, and without another right is PARTIAL", async () => {
    const [limited, maintenance] = [`limited_${source}`, await postgres.createDatabase()];
    const sql = postgres.connect();
    await sql.unsafe(`create role ${limited} login password 'limited'`);
    await using installation = await install({
      postgres: { ...postgres.address, user: limited, password: "limited" },
      server: `maintenance_database = "${maintenance}"`,
    });
    const first = await installation.ok("backup", "--json");
    expect(first.stderr).toContain("without the passwords of roles");
    expect(first.stderr).toContain(`GRANT SELECT ON pg_catalog.pg_authid TO "${limited}";`);
    const [{ backup_id: id }] = first.json.globals;
    expect((await installation.ok("show", id)).stdout).toContain("without passwords");
    const text = (await installation.ok("restore", id, "--output", "-")).stdout;
    expect(text).toContain(`CREATE ROLE ${role};`);
    expect(text).not.toContain("PASSWORD");

    const admin = { sql: postgres.connect(maintenance) };
    await admin.sql.unsafe("revoke select on pg_catalog.pg_db_role_setting from public");
    const second = await installation.run("backup", "--json");
    expect(second.exitCode).toBe(3);
    expect(second.json).toMatchObject({
      outcome: "PARTIAL",
      backups: [{ status: "VERIFIED" }],
      globals: [{ status: "FAILED", backup_id: null }],
    });
    const status = (await installation.run("status", "--json")).json;
    expect(status.globals).toMatchObject([{ state: "failing", newest_good: { id } }]);
    expect(status.verdict.problems.map(({ text }: { text: string }) => text)).toContain(
      "the last backup of the globals of main failed",
    );
    const [{ error, hint }] = second.json.globals;
    expect(error).toContain("permission denied");
    expect(hint).toContain(`GRANT SELECT ON pg_catalog.pg_db_role_setting TO "${limited}";`);
    expect(hint).toContain(`in database "${maintenance}"`);
    const alertsOf = async () => {
      const { alerts } = (await installation.ok("alerts", "--json")).json;
      return alerts.filter(({ resolved_at }: { resolved_at: unknown }) => resolved_at === null);
    };
    expect(await alertsOf()).toMatchObject([
      { key: "backup main (globals)", level: "CRITICAL", server: "main" },
    ]);

    await admin.sql.unsafe("grant select on pg_catalog.pg_db_role_setting to public");
    await installation.ok("backup");
    expect(await alertsOf()).toEqual([]);

    await admin.sql.unsafe(`grant select on pg_catalog.pg_authid to ${limited}`);
    await installation.ok("backup");
    await admin.sql.unsafe(`revoke select on pg_catalog.pg_authid from ${limited}`);
    await installation.ok("backup");
    expect(await alertsOf()).toMatchObject([{ key: "passwords main", level: "WARNING", database: null }]);
    expect((await installation.run("status")).stdout).toContain("without passwords, which earlier ones have");
    expect((await installation.run("status", "--json")).json.globals).toMatchObject([
      { state: "good", has_lost_passwords: true },
    ]);
    await admin.sql.unsafe(`grant select on pg_catalog.pg_authid to ${limited}`);
    await installation.ok("backup");
    expect(await alertsOf()).toEqual([]);
  });

  test("is none of a server with globals = false", async () => {
    await using installation = await install({ globals: false });
    expect((await installation.ok("backup", "--json")).json).toMatchObject({ outcome: "OK", globals: [] });
  });
});

test("globals are forgotten by their name in lists, once no dump of their server is left", async () => {
  await using installation = await install();
  const [{ backup_id: id }] = (await installation.ok("backup", "--json")).json.globals;
  const forget = () => installation.run("forget", "main (globals)", "--yes", "main (globals)");
  const refused = await forget();
  expect(refused).toMatchObject({ exitCode: 2 });
  expect(refused.stderr).toContain("the globals of main belong to its dumps");
  await installation.ok("forget", `main/${source}`, "--yes", `main/${source}`);
  expect((await installation.ok("list", "--json")).json.backups).toMatchObject([{ id, kind: "globals" }]);
  const ended = await forget();
  expect(ended, ended.stderr).toMatchObject({ exitCode: 0 });
  expect((await installation.ok("list", "--json")).json.backups).toEqual([]);
  for (const name of ["a", "b"])
    expect((await installation.files(name)).filter((file) => file.includes("@globals"))).toEqual([]);
  expect(await forget()).toMatchObject({ exitCode: 2 });
});

test("globals are adopted into a lost catalog, repaired, and not counted as a database", async () => {
  await using installation = await install();
  const [{ backup_id: id }] = (await installation.ok("backup", "--json")).json.globals;
  const before = (await installation.ok("show", id, "--json")).json;
  expect(existsSync(join(installation.directory, "state/catalog.db"))).toBe(true);
  for (const suffix of ["", "-wal", "-shm"])
    await rm(join(installation.directory, `state/catalog.db${suffix}`), { force: true });
  await installation.ok("cleanup", "--adopt");
  const adopted = (await installation.ok("show", id, "--json")).json;
  expect(adopted).toMatchObject({ kind: "globals", server: "main", status: "VERIFIED" });
  expect(adopted.run_id).not.toBe(before.run_id);
  const key = adopted.object_key as string;
  await rm(join(installation.directory, "a", key));
  await installation.run("verify", id);
  await installation.ok("repair");
  expect(await installation.files("a")).toContain(key);
  const list = (await installation.ok("list", "--json")).json.backups;
  expect(list.map(({ kind }: { kind: string }) => kind).toSorted()).toEqual(["dump", "globals"]);
});
