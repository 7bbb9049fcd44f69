import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
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
    const refused = await installation.run("restore", id, "-t", `main/${source}`);
    expect(refused).toMatchObject({ exitCode: 2 });
    expect(refused.stderr).toContain("holds the globals of server");
    expect(await installation.run("restore-test", id)).toMatchObject({ exitCode: 2 });
  });
});
