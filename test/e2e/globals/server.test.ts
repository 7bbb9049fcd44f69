import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { DATABASES, dumpAll, fillWholeServer, ROLES, rolesOf } from "../../lab/data/whole-server.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { connectTo, disposable, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";

/** The drill: a server with 5 databases and 12 roles, restored onto a bare one. */

setDefaultTimeout(180_000);
let source: LabPostgres;
let target: LabPostgres;
let installation: Installation;

beforeAll(async () => {
  [source, target] = await Promise.all([startPostgres(), startPostgres()]);
  await fillWholeServer(source.address);
  installation = await Installation.make({
    postgres: source.address,
    databases: ["*"],
    storages: (directory) => [localStorage("disk", directory)],
    globals: true,
  });
  await installation.ok("backup");
});
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]();
  await Promise.all([source, target].map((server) => server?.[Symbol.asyncDispose]()));
});

function words(...more: string[]): string[] {
  const { user, password, port } = target.address;
  const url = `postgres://${user}:${password}@127.0.0.1:${port}/postgres`;
  return ["restore", "--server", "main", "--at", "latest", "--target", url, ...more];
}

async function names(): Promise<string[]> {
  await using admin = disposable(connectTo(target.address, "postgres"));
  const rows = await admin.sql`select datname from pg_database where not datistemplate order by datname`;
  return rows.map(({ datname }) => datname);
}

async function onTarget(...statements: string[]): Promise<void> {
  await using admin = disposable(connectTo(target.address, "postgres"));
  for (const statement of statements) await admin.sql.unsafe(statement);
}

/** The name that the database of this backup had while it was restored. */
function attemptAt(id: string): string {
  using catalog = new Database(join(installation.directory, "state/catalog.db"), { readonly: true });
  const found = catalog
    .query<{ name: string }, [string]>(
      `SELECT statistics ->> 'target_database' AS name FROM runs
       WHERE job = 'restore' AND statistics ->> 'backup_id' = ?`,
    )
    .get(id);
  return found?.name ?? "";
}

const outcomes = (databases: { database: string; outcome: string }[]) =>
  Object.fromEntries(databases.map(({ database, outcome }) => [database, outcome]));

test("a whole server comes back, past a failure, and goes on where it was cut off", async () => {
  const dry = await installation.ok(...words("--dry-run"));
  for (const role of ["app_owner", "admin", "nobody"]) expect(dry.stdout).toContain(`CREATE ROLE "${role}"`);
  expect(dry.stdout).not.toContain("SCRAM");
  expect(await names()).toEqual(["postgres"]);

  // A database that somebody else has made is refused before anything is changed.
  await onTarget("create database app");
  {
    await using app = disposable(connectTo(target.address, "app"));
    await app.sql.unsafe("create table mine ()");
  }
  const refused = await installation.run(...words());
  expect(refused).toMatchObject({ exitCode: 10 });
  expect(refused.stderr).toContain('database "app" already exists and is not empty');
  expect(refused.stderr).not.toContain("--resume");
  const wouldBe = await installation.run(...words("--dry-run"));
  expect(wouldBe).toMatchObject({ exitCode: 10 });
  expect(wouldBe.stdout).toMatch(/would change nothing: the target has 1 database in the way$/m);
  expect(wouldBe.stderr).not.toContain("could not be restored");
  // Also with --resume: no restore to this server was begun.
  const elsewhere = await installation.run(...words("--resume"));
  expect(elsewhere).toMatchObject({ exitCode: 10 });
  expect(elsewhere.stderr).toContain("there is nothing to resume");
  expect(await names()).toEqual(["app", "postgres"]);
  expect(await rolesOf(target.address)).toEqual(["postgres"]);

  // Once one was begun it fails alone with --resume, and the others are restored.
  const planned = (await installation.run(...words("--dry-run", "--json"))).json.databases;
  const begun = planned.find(({ database }: { database: string }) => database === "@globals").backup_id;
  await onTarget(`create database "pg321 restoring ${begun.slice(0, 8)} 00000000"`);
  const first = await installation.run(...words("--resume", "--databases-at-once", "2", "--json"));
  expect(first.exitCode).toBe(3);
  expect(outcomes(first.json.databases)).toEqual({
    ...Object.fromEntries(DATABASES.map((name) => [name, "restored"])),
    ...{ app: "failed", postgres: "restored" },
  });
  expect(first.json.globals.roles.toSorted()).toEqual([...ROLES].toSorted());

  // As if it had been cut off: one is unfinished, one is missing.
  const { backup_id: id } = first.json.databases.find(
    ({ database }: { database: string }) => database === "globals",
  );
  await onTarget("drop database app", `alter database "globals" rename to "${attemptAt(id)}"`);
  const second = await installation.ok(...words("--resume", "--json"));
  const came = second.json.databases.find(({ database }: { database: string }) => database === "globals");
  expect(came).toMatchObject({ tables: null });
  expect(outcomes(second.json.databases)).toEqual({
    ...Object.fromEntries(DATABASES.map((name) => [name, "skipped"])),
    ...{ app: "restored", globals: "restored", postgres: "skipped" },
  });
  expect(await names()).toEqual([...DATABASES, "postgres"].toSorted());

  const wanted = await dumpAll(source.address, "--schema-only", "--no-role-passwords");
  expect(await dumpAll(target.address, "--schema-only", "--no-role-passwords")).toBe(wanted);
  expect(await dumpAll(target.address, "--data-only")).toBe(await dumpAll(source.address, "--data-only"));
  const passwords = (text: string) =>
    text.split("\n").filter((line) => line.includes("PASSWORD") && !line.includes("ROLE postgres "));
  const [mine, theirs] = [
    await dumpAll(target.address, "--roles-only"),
    await dumpAll(source.address, "--roles-only"),
  ];
  expect(passwords(mine)).toEqual(passwords(theirs));
  const third = await installation.ok(...words("--resume"));
  expect(third.stdout).toContain("6 databases of main are there");

  // Another database of the same name is not the one that was restored.
  const ofApp = ({ json }: { json: { databases: { database: string }[] } }) =>
    json.databases.find(({ database }) => database === "app");
  await onTarget("drop database app", "create database app");
  const filled = await installation.ok(...words("--resume", "--json"));
  expect(ofApp(filled)).toMatchObject({ outcome: "restored", rows: 100 });
  await onTarget("drop database app", "create database app");
  {
    await using app = disposable(connectTo(target.address, "app"));
    await app.sql.unsafe("create table mine ()");
  }
  const foreign = await installation.run(...words("--resume", "--json"));
  expect(foreign.exitCode).toBe(3);
  expect(ofApp(foreign)).toMatchObject({ outcome: "failed", hint: expect.stringContaining("very database") });
});

test("options that make no sense with a whole server are refused", async () => {
  for (const [more, text] of [
    [["--create"], "--create cannot be used with --server"],
    [["abcd"], "the argument abcd cannot be used with --server"],
    [["--databases-at-once", "0"], "--databases-at-once"],
  ] as const) {
    const ended = await installation.run(...words(...more));
    expect(ended).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(text) });
  }
  const early = await installation.run(...words().map((word) => (word === "latest" ? "2020-01-01" : word)));
  expect(early).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("no good backup") });
  const alone = await installation.run("restore", "--resume", "abcd");
  expect(alone).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--resume needs --server") });
});
