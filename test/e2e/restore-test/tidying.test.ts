import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Sql } from "postgres";
import { makePrivateDirectory } from "../../../src/base/files/private-files.ts";
import { ended, Installation, localStorage } from "../../lab/installation.ts";
import { mountTmpfs } from "../../lab/machine/mounts.ts";
import { watched } from "../../lab/machine/running.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A test that hangs ends at the server, and what cannot be tidied after a test changes nothing in its result. */

setDefaultTimeout(120_000);

const postgres = usePostgres();
const ROLE = "tidier";

let sql: Sql;
let installation: Installation;

/** A check of the source's own function: it answers once a session of this name is in the database. */
const WAITS = `create function awaits(who text) returns int language plpgsql as $$
  begin
    loop
      perform from pg_stat_activity where datname = current_database() and application_name = who;
      exit when found;
      perform pg_sleep(0.01), pg_stat_clear_snapshot();
    end loop;
    return 1;
  end $$;
  create table kept (id int primary key); insert into kept select generate_series(1, 5)`;

beforeAll(async () => {
  sql = postgres.connect();
  await sql.unsafe(`drop role if exists ${ROLE}`);
  await sql.unsafe(`create role ${ROLE} login createdb password 'secret'`);
  const source = await postgres.createDatabase();
  await postgres.connect(source).unsafe(WAITS).simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("a", directory)],
  });
  await installation.ok("backup");
});
afterAll(() => installation[Symbol.asyncDispose]());

const scratches = async () => {
  const rows = await sql`select datname from pg_database where starts_with(datname::text, 'test_restore_')`;
  return rows.map(({ datname }) => datname as string);
};

async function configure(server: string, check: string, more = ""): Promise<void> {
  const one = `[[restore_test.check]]\nname = "held"\nsql = "${check}"\nexpect = 1\ntimeout = "1h"`;
  await installation.configure({
    more: `[restore_test]\nserver = "${server}"\nmax_bytes = "1GiB"\n${more}\n${one}`,
  });
}

const serverOf = (role: string) => `postgres://${role}:secret@127.0.0.1:${postgres.address.port}/postgres`;
const sessionsAsking = async (question: string) =>
  (await sql`select from pg_stat_activity where query like ${`%${question}%`} and pid <> pg_backend_pid()`)
    .length;

describe("a check that never answers", () => {
  test("ends at the server when the time of the test is up, and the error names it and the limit", async () => {
    const question = "select awaits('nobody-1')";
    await configure(postgres.url("postgres"), question, 'timeout = "12s"');
    const running = watched(installation.start("restore-test", "--json"));
    await running.until("the check runs", async () => (await sessionsAsking("nobody-1")) > 0);
    const { exitCode, json, stderr } = await running.ended;
    expect(exitCode).toBe(10);
    expect(json.tests[0]).toMatchObject({ outcome: "ERROR" });
    expect(json.tests[0].error).toMatch(/(cannot .*: )?the restore test took longer than 12 s$/);
    expect(stderr).toContain("raise restore_test.timeout");
    expect(await sessionsAsking("nobody-1")).toBe(0);
    expect(await scratches()).toEqual([]);
  });

  test("ends at the server when a person stops the test", async () => {
    await configure(postgres.url("postgres"), "select awaits('nobody-2')");
    const child = installation.start("restore-test");
    const end = ended(child);
    while (child.exitCode === null && (await sessionsAsking("nobody-2")) === 0) await Bun.sleep(5);
    child.kill("SIGINT");
    expect((await end).exitCode).toBe(130);
    expect(await sessionsAsking("nobody-2")).toBe(0);
    expect(await scratches()).toEqual([]);
  });

  test("fails the test if only its own time is up", async () => {
    await configure(postgres.url("postgres"), "select awaits('nobody-3')");
    const config = readFileSync(installation.configFile, "utf8");
    await Bun.write(installation.configFile, config.replace('timeout = "1h"', 'timeout = "100ms"'));
    const { exitCode, json } = await installation.run("restore-test", "--json");
    expect(exitCode).toBe(14);
    expect(json.tests[0].checks.at(-1)).toMatchObject({
      ...{ name: "check held", is_ok: false, found: null },
      detail: "no answer within 0.1 s, the timeout of this check",
    });
  });
});

test("a statement of a restore that waits for a lock ends at the server when a person stops it", async () => {
  const target = await postgres.createDatabase();
  const holder = await postgres.connect(target).reserve();
  await holder.unsafe("begin; lock table pg_extension in access exclusive mode").simple();
  const waiting = async () =>
    (await sql`select from pg_stat_activity where datname = ${target} and wait_event_type = 'Lock'`).length;
  const [id] = (await installation.ok("list", "--json")).json.backups.map((one: { id: string }) => one.id);
  const child = installation.start("restore", id, "--target", `main/${target}`);
  const end = ended(child);
  while (child.exitCode === null && (await waiting()) === 0) await Bun.sleep(5);
  child.kill("SIGINT");
  expect((await end).exitCode).toBe(130);
  expect(await waiting()).toBe(0);
  await holder.unsafe("rollback");
  holder.release();
});

test("a scratch database that cannot be dropped changes nothing in a passed test; the next run drops it", async () => {
  // Only a superuser may end the session of a superuser.
  await configure(serverOf(ROLE), "select awaits('guest')");
  const child = installation.start("restore-test", "--json");
  const end = ended(child);
  while (child.exitCode === null && (await scratches()).length === 0) await Bun.sleep(5);
  const [name = ""] = await scratches();
  const own = `test_restore_own_${crypto.randomUUID().slice(0, 8)}`;
  await sql.unsafe(`create database ${own}`);
  try {
    let guest: Sql | undefined;
    while (!guest && child.exitCode === null) {
      const one = postgres.connect(name);
      guest = await one`select set_config('application_name', 'guest', false)`.then(
        () => one,
        () => undefined,
      );
    }
    const { exitCode, stdout, stderr } = await end;
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(stdout).tests).toMatchObject([{ outcome: "PASSED", error: null }]);
    expect(stderr).toContain("the database of a restore test could not be dropped");
    expect(stderr).toContain(name);
    expect((await scratches()).sort()).toEqual([name, own].sort());
    await configure(serverOf(ROLE), "select 1");
    const busy = await installation.ok("restore-test", "--json");
    expect(busy.json.tests[0].outcome).toBe("PASSED");
    expect(busy.stderr).toContain("could not be dropped; pg321 tries again later");
    expect((await scratches()).sort()).toEqual([name, own].sort());
    await guest?.end({ timeout: 1 });
    await installation.ok("restore-test");
    expect(await scratches()).toEqual([own]);
  } finally {
    await sql.unsafe(`drop database ${own} with (force)`);
  }
});

// Only root can mount a file system.
test.skipIf(process.geteuid?.() !== 0)(
  "a cluster that cannot be removed changes nothing in a passed test; the next run removes it",
  async () => {
    await configure("throwaway", "select 1");
    const parent = mkdtempSync(join(tmpdir(), "pg321-stuck-"));
    Bun.spawnSync(["chmod", "711", parent]);
    const config = readFileSync(installation.configFile, "utf8");
    await Bun.write(installation.configFile, `temp_dir = ${JSON.stringify(parent)}\n${config}`);
    const clusters = () => readdirSync(parent).filter((name) => name.startsWith("pg321-cluster-"));
    // That of another process that lives: this one.
    await using other = await makePrivateDirectory(parent, "cluster");
    const foreign = basename(other.path);
    const own = () => clusters().filter((name) => name !== foreign);
    try {
      const child = installation.start("restore-test", "--json");
      const end = ended(child);
      const isUp = () => existsSync(join(parent, own()[0] ?? "none", "data/postmaster.pid"));
      while (child.exitCode === null && !isUp()) await Bun.sleep(2);
      const [cluster = ""] = own();
      const busy = join(parent, cluster, "data/busy");
      mkdirSync(busy);
      {
        await using _ = await mountTmpfs(busy, 1);
        const { exitCode, stdout, stderr } = await end;
        expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
        expect(JSON.parse(stdout).tests).toMatchObject([{ outcome: "PASSED", error: null }]);
        expect(stderr).toContain("what a restore test made could not be removed");
        expect(clusters().sort()).toEqual([cluster, foreign].sort());
      }
      expect((await installation.ok("restore-test", "--json")).json.tests[0].outcome).toBe("PASSED");
      expect(clusters()).toEqual([foreign]);
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  },
);
