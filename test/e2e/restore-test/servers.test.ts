import { Database } from "bun:sqlite";
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Sql } from "postgres";
import type { Installation } from "../../lab/installation.ts";
import { ended, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

/** Restore tests on servers that others use too: nobody else's database is ever touched. */

setDefaultTimeout(120_000);

const postgres = usePostgres();
const installations = useInstallations(postgres);
const ROLE = "tester";

let sql: Sql;
beforeAll(async () => {
  sql = postgres.connect();
  await sql.unsafe(`drop role if exists ${ROLE}`);
  await sql.unsafe(`create role ${ROLE} login createdb password 'secret'`);
});

const scratches = async () => {
  const rows = await sql`select datname from pg_database where starts_with(datname::text, 'test_restore_')`;
  return rows.map(({ datname }) => datname as string);
};
const scratchRoles = async () => {
  const rows = await sql`select rolname from pg_roles where starts_with(rolname::text, 'test_restore_')`;
  return rows.map(({ rolname }) => rolname);
};

async function install(server: string, more = 'max_bytes = "1GiB"'): Promise<Installation> {
  const installation = await installations.install((directory) => [localStorage("a", directory)]);
  await installation.configure({ more: `[restore_test]\nserver = "${server}"\n${more}` });
  await installation.ok("backup");
  return installation;
}

const url = () => postgres.url("postgres");
const urlOf = (role: string) => `postgres://${role}:secret@127.0.0.1:${postgres.address.port}/postgres`;

/** What the catalog remembers of scratch databases. */
function remembered(installation: Installation): { name: string; oid: number | null; comment: string }[] {
  using catalog = new Database(join(installation.directory, "state/catalog.db"));
  return catalog.query("SELECT name, oid, comment FROM scratch_databases").all() as never;
}

describe("on a server by its URL", () => {
  test("a superuser makes a role without rights for the test, and drops both", async () => {
    const installation = await install(url());
    const { json } = await installation.ok("restore-test", "--json");
    const [result] = json.tests;
    expect(result).toMatchObject({ outcome: "PASSED", target: `127.0.0.1:${postgres.address.port}` });
    expect(result.checks.length).toBeGreaterThan(1);
    expect(result.checks.every(({ is_ok }: { is_ok: boolean }) => is_ok)).toBe(true);
    expect(await scratches()).toEqual([]);
    expect(await scratchRoles()).toEqual([]);
    expect(remembered(installation)).toEqual([]);
  });

  test("a role with CREATEDB is enough", async () => {
    const installation = await install(urlOf(ROLE));
    const { json } = await installation.run("restore-test", "--json");
    expect(json.tests[0]).toMatchObject({ outcome: "PASSED" });
    expect(await scratches()).toEqual([]);
  });

  test("without CREATEDB the test is an error, with the statement that helps: exit 10, and a WARNING", async () => {
    await sql.unsafe("drop role if exists helpless; create role helpless login password 'secret'").simple();
    const installation = await install(urlOf("helpless"));
    const { exitCode, json, stderr } = await installation.run("restore-test", "--json");
    expect(exitCode).toBe(10);
    expect(json.tests[0]).toMatchObject({ outcome: "ERROR" });
    expect(json.tests[0].error).toContain('role "helpless" may not create databases');
    expect(stderr).toContain('ALTER ROLE "helpless" CREATEDB');
    const { alerts } = (await installation.ok("alerts", "--json")).json;
    expect(alerts).toContainEqual(
      expect.objectContaining({
        key: `restore_test error main/${installations.source}`,
        level: "WARNING",
        resolved_at: null,
      }),
    );
    await sql.unsafe("drop role helpless");
  });

  test("asks for max_bytes if it cannot see the free space, and keeps to it", async () => {
    const installation = await install(url(), "");
    const unknown = await installation.run("restore-test", "--json");
    expect(unknown.exitCode).toBe(10);
    expect(unknown.stderr).toContain("set restore_test.max_bytes");
    await installation.configure({ more: `[restore_test]\nserver = "${url()}"\nmax_bytes = "1KiB"` });
    const { json } = await installation.run("restore-test", "--json");
    expect(json.tests[0].error).toContain("more than restore_test.max_bytes (1.0 KiB)");
    expect(await scratches()).toEqual([]);
  });
});

test("on the source, if it is written out", async () => {
  const installation = await install("source");
  const { json } = await installation.ok("restore-test", "--json");
  expect(json.tests[0]).toMatchObject({ outcome: "PASSED", target: "source" });
  expect(await scratches()).toEqual([]);
});

describe("after kill -9", () => {
  /** Kills a test as soon as its scratch database is seen, or one of its later states. */
  async function killedTest(installation: Installation, isTime: () => Promise<boolean>): Promise<void> {
    const child = installation.start("restore-test");
    const end = ended(child);
    while (child.exitCode === null && !(await isTime())) await Bun.sleep(1);
    child.kill("SIGKILL");
    await end;
  }
  const oneSeen = async () => (await scratches()).length > 0;
  const tableSeen = async () => {
    const [name] = await scratches();
    if (name === undefined) return false;
    const rows = await sql`
      select from pg_stat_activity where datname = ${name} and application_name like 'pg321 restore-test%'`;
    return rows.length > 0;
  };

  test.each([
    ["right after its creation", oneSeen],
    ["during pg_restore", tableSeen],
  ])("%s: the next test drops the scratch database", async (_, isTime) => {
    const installation = await install(url());
    await killedTest(installation, isTime);
    const { json } = await installation.ok("restore-test", "--json");
    expect(json.tests[0].outcome).toBe("PASSED");
    expect(await scratches()).toEqual([]);
    expect(await scratchRoles()).toEqual([]);
    expect(remembered(installation)).toEqual([]);
  });

  test("it is no database to back up, and is reported once if the config no longer names its server", async () => {
    const installation = await install(url());
    await killedTest(installation, tableSeen);
    const [name = ""] = await scratches();
    const prefix = name.slice(0, -16);
    const own = `${prefix}mine`;
    await sql.unsafe(`create database "${own}"`);
    try {
      await installation.configure({
        databases: [`${prefix}*`],
        more: '[restore_test]\nserver = "throwaway"',
      });
      const { backups } = (await installation.ok("backup", "--json")).json;
      expect(backups.map(({ database }: { database: string }) => database)).toEqual([own]);
      for (let run = 0; run < 2; run++) await installation.ok("cleanup");
      const left = async () =>
        (await installation.ok("alerts", "--json")).json.alerts.filter(({ key }: { key: string }) =>
          key.startsWith("restore_test unreachable "),
        );
      expect(await left()).toMatchObject([{ level: "WARNING", message: expect.stringContaining(name) }]);
      expect(await scratches()).toContain(name);
      await installation.configure({ more: `[restore_test]\nserver = "${url()}"\nmax_bytes = "1GiB"` });
      await installation.ok("cleanup");
      expect(await scratches()).toEqual([own]);
      expect(
        (await left()).filter(({ resolved_at }: { resolved_at: string | null }) => !resolved_at),
      ).toEqual([]);
    } finally {
      await sql.unsafe(`drop database if exists "${own}" with (force)`);
    }
  });

  test("cleanup drops it as well", async () => {
    const installation = await install(url());
    await killedTest(installation, tableSeen);
    expect(await scratches()).toHaveLength(1);
    await installation.ok("cleanup");
    expect(await scratches()).toEqual([]);
  });

  test.each([
    [
      "a changed comment",
      async (name: string) => `comment on database "${name}" is 'mine now'`,
      "its comment was changed",
    ],
    [
      "another OID",
      async (name: string) => `drop database "${name}" with (force); create database "${name}"`,
      "another OID",
    ],
    [
      "another name",
      async (name: string) => `alter database "${name}" rename to "test_restore_kept"`,
      "it was renamed",
    ],
  ])("a database with %s is left alone, and reported", async (_, change, reason) => {
    const installation = await install(url());
    await killedTest(installation, tableSeen);
    const [name = ""] = await scratches();
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`;
    for (const statement of (await change(name)).split("; ")) await sql.unsafe(statement);
    await installation.ok("restore-test");
    const left = await scratches();
    expect(left).toHaveLength(1);
    const { alerts } = (await installation.ok("alerts", "--json")).json;
    expect(JSON.stringify(alerts)).toContain(reason);
    expect(remembered(installation)).toEqual([]);
    await sql.unsafe(`drop database "${left[0]}"`);
    for (const role of await scratchRoles()) await sql.unsafe(`drop role "${role}"`);
  });
});

test("SIGINT drops the scratch database before the program ends", async () => {
  const installation = await install(url());
  const child = installation.start("restore-test");
  const end = ended(child);
  while (child.exitCode === null && (await scratches()).length === 0) await Bun.sleep(1);
  child.kill("SIGINT");
  const { exitCode } = await end;
  expect(exitCode).toBe(130);
  expect(await scratches()).toEqual([]);
  expect(await scratchRoles()).toEqual([]);
});
