import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../../lab/installation.ts";
import type { LabPostgres } from "../../../lab/servers/postgres.ts";
import { connectTo, PRIMARY_SETTINGS, startPostgres } from "../../../lab/servers/postgres.ts";

/** A restore into a standby, into the source itself, and into a database that does not exist. */

setDefaultTimeout(120_000);
let primary: LabPostgres;
let standby: LabPostgres;
let installation: Installation;
let backup: string;

beforeAll(async () => {
  primary = await startPostgres({ settings: PRIMARY_SETTINGS });
  await run(primary, "postgres", "create database app");
  await run(primary, "app", "create table t (i int); insert into t values (1)");
  installation = await Installation.make({
    postgres: primary.address,
    databases: ["app"],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backup = await installation.backUp();
  await run(primary, "app", "insert into t values (2)");
  standby = await startPostgres({ standbyOf: primary.address });
});
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  await standby[Symbol.asyncDispose]();
  await primary[Symbol.asyncDispose]();
});

async function run(server: LabPostgres, database: string, statements: string): Promise<unknown[]> {
  const sql = connectTo(server.address, database);
  try {
    return await sql.unsafe(statements).simple();
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function url({ address: { user, password, port } }: LabPostgres, database = "app"): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
}

const restore = (...words: string[]) => installation.run("restore", backup, ...words);
const rows = (server: LabPostgres) => run(server, "app", "select i from t order by i");

test("a real standby is told in the dry run, and refused", async () => {
  for (const words of [
    ["--clean", "--into-source"],
    ["--into-existing"],
    ["--clean", "--role", "postgres"],
  ]) {
    const dry = await restore("-t", url(standby), ...words, "--dry-run", "--json");
    expect(dry.exitCode).toBe(10);
    expect(dry.json.obstacle).toBe("target: it is a standby, which is read-only; nothing was changed");
    const { exitCode, stderr } = await restore("-t", url(standby), ...words);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
    expect(stderr).toContain("hint: restore into its primary");
  }
});

test("--clean of the source itself needs --into-source", async () => {
  for (const target of ["main/app", url(primary)]) {
    const dry = await restore("-t", target, "--clean", "--dry-run", "--json");
    expect(dry.exitCode).toBe(10);
    expect(dry.json).toMatchObject({ is_source: true, obstacles: [{ kind: "source" }] });
    const { exitCode, stderr } = await restore("-t", target, "--clean");
    expect(exitCode).toBe(10);
    expect(stderr).toContain(
      'database "app" is the one that was backed up, and what it holds now would be replaced',
    );
    expect(stderr).toContain("add --into-source");
  }
  const again = await restore("-t", "main/app", "--into-existing", "--keep-going");
  expect(again.stderr).toContain("rows would be added a second time");
  expect(await rows(primary)).toMatchObject([{ i: 1 }, { i: 2 }]);
});

test("what was dropped comes back into the source without that option, and the dry run tells", async () => {
  await run(primary, "app", "alter table t rename to newer");
  const words = ["-t", "main/app", "--table", "t", "--into-existing"];
  const dry = await restore(...words, "--dry-run");
  expect(dry.exitCode).toBe(0);
  expect(dry.stdout).toContain("the target is the database that was backed up");
  expect((await restore(...words)).exitCode).toBe(0);
  await run(primary, "app", "drop table t; alter table newer rename to t");
});

test("another database of that server is not the source", async () => {
  await run(primary, "postgres", "create database other");
  const { json, exitCode } = await restore("-t", "main/other", "--clean", "--json");
  expect(exitCode).toBe(0);
  expect(json.is_source).toBe(false);
});

test("a promoted standby is the source as well, and --into-source replaces it", async () => {
  await run(standby, "postgres", "select pg_promote()");
  const refused = await restore("-t", url(standby), "--clean");
  expect(refused.stderr).toContain("add --into-source");
  expect((await restore("-t", url(standby), "--clean", "--into-source")).exitCode).toBe(0);
  expect(await rows(standby)).toMatchObject([{ i: 1 }]);
  expect(await rows(primary)).toMatchObject([{ i: 1 }, { i: 2 }]);
});

test("a database that does not exist is told in the dry run, and refused", async () => {
  for (const words of [["--dry-run"], []]) {
    const { exitCode, stderr } = await restore("-t", url(primary, "nowhere"), ...words);
    expect(exitCode).toBe(10);
    expect(stderr).toContain('database "nowhere" does not exist');
    expect(stderr).toContain("add --create; nothing was changed");
  }
  const none = await restore("-t", url(primary, ""), "--dry-run");
  expect(none.exitCode).toBe(2);
  expect(none.stderr).toContain("the URL names no database");
});
