import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A role without enough rights: the backup says what doctor says, with the statements that mend it. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const role = `Reader ${crypto.randomUUID().slice(0, 8)}`;
let installation: Installation;
let database: string;

beforeAll(async () => {
  database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await sql
    .unsafe(`create role "${role}" login password 'reads';
      create table open (i int); create table closed (i int); grant select on open to "${role}";
      create table filtered (i int); grant select on filtered to "${role}"; alter table filtered enable row level security;
      select lo_from_bytea(0, 'large')`)
    .simple();
  installation = await Installation.make({
    postgres: { ...postgres.address, user: role, password: "reads" },
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

const FOUND = [
  `"${role}" cannot read 1 of its tables and sequences: public.closed`,
  "row security hides rows of public.filtered, so pg_dump refuses to dump them",
  `"${role}" cannot read 1 large object of other roles`,
];

test("the error names every right that is missing, and its statements mend it", async () => {
  const { json } = await installation.run("doctor", "--json");
  const failed = json.findings.filter(
    ({ verdict, area }: Record<string, string>) => verdict === "failed" && area === "server",
  );
  expect(failed.map(({ message }: { message: string }) => message)).toEqual(FOUND);
  const { exitCode, json: report } = await installation.run("backup", "--json");
  expect(exitCode).toBe(10);
  const [{ error, hint }] = report.backups;
  const [{ id }] = (await installation.ok("list", "--json")).json.backups;
  expect((await installation.ok("show", id, "--json")).json).toMatchObject({
    stderr_tail: expect.stringContaining("permission denied"),
  });
  for (const message of FOUND) expect(error).toContain(message);
  await installation.configure({ more: "[dump]\njobs = 2" });
  const streams = await installation.run("backup", "--json");
  await installation.configure({ more: "" });
  expect(streams.exitCode).toBe(10);
  for (const message of FOUND) expect(streams.json.backups[0].error).toContain(message);
  const [, statements = ""] = /^run in psql as a superuser: (.*)$/.exec(hint) ?? [];
  expect(statements.split("; ")).toHaveLength(3);
  await postgres.connect(database).unsafe(statements).simple();
  expect((await installation.run("backup")).exitCode).toBe(0);
});

test("the error of one right alone is the same as doctor's", async () => {
  await postgres.connect(database).unsafe(`alter role "${role}" nobypassrls`).simple();
  const { exitCode, stdout, stderr } = await installation.run("backup");
  expect(exitCode).toBe(10);
  for (const printed of [stdout, stderr])
    expect(printed).toContain("row security hides rows of public.filtered");
  expect(stdout).toContain(`ALTER ROLE "${role}" BYPASSRLS;`);
  // PostgreSQL's own hint would switch row security off for everybody.
  expect(stdout + stderr).not.toContain("NO FORCE ROW LEVEL SECURITY");
  await postgres.connect(database).unsafe(`drop owned by "${role}"; drop role "${role}"`).simple();
  expect((await installation.run("list", "--json")).json.backups[0].error).toContain(FOUND[1] ?? "");
});
