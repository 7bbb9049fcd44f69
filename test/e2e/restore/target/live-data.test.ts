import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Installation, localStorage } from "../../../lab/installation.ts";
import { usePostgres } from "../../../lab/servers/use-postgres.ts";

/** Restores into databases that hold rows, large objects and sequences already. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let streamed: string;
let backup: string;
let streams: string;
let oid: number;

beforeAll(async () => {
  [source, streamed] = [await postgres.createDatabase(), await postgres.createDatabase()];
  for (const database of [source, streamed])
    await postgres
      .connect(database)
      .unsafe(
        "create table item as select i from generate_series(1, 3) i; create sequence position; create sequence fresh",
      )
      .simple();
  const sql = postgres.connect(source);
  await sql`select setval('position', 5)`;
  const [made] = await sql<{ oid: number }[]>`select lo_from_bytea(0, 'from the backup')::int as oid`;
  oid = made?.oid ?? 0;
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source, streamed],
    storages: (directory) => [localStorage("disk", directory)],
    more: `[[database]]\nserver = "main"\nname = "${streamed}"\njobs = 3`,
  });
  const { backups } = (await installation.ok("backup", "--json")).json;
  const idOf = (name: string) =>
    backups.find(({ database }: { database: string }) => database === name).backup_id;
  [backup, streams] = [idOf(source), idOf(streamed)];
});
afterAll(() => installation[Symbol.asyncDispose]());

const run = (target: string, ...words: string[]) =>
  installation.run("restore", target === streamed ? streams : backup, "-t", `main/${target}`, ...words);

async function created(id: string, ...words: string[]): Promise<string> {
  const target = postgres.newName();
  await installation.ok("restore", id, "-t", `main/${target}`, "--create", ...words);
  return target;
}

const rowsOf = async (database: string) =>
  (await postgres.connect(database)<{ i: number }[]>`select i from item order by i`).map(({ i }) => i);

test("a live large object is never written over, also with --keep-going", async () => {
  const target = await created(backup, "--schema-only");
  const sql = postgres.connect(target);
  await sql`select lo_from_bytea(${oid}::oid, 'live')`;
  for (const words of [
    ["--into-existing", "--keep-going"],
    ["--data-only", "--keep-going"],
    ["--data-only", "--keep-going", "--jobs", "2"],
  ]) {
    const { exitCode, stderr } = await run(target, ...words);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
    expect(stderr).toContain(`large object ${oid} already exists; nothing was changed`);
  }
  expect(await sql`select convert_from(lo_get(${oid}::oid), 'UTF8') as text`).toMatchObject([
    { text: "live" },
  ]);
  expect(await rowsOf(target)).toEqual([]);
  // Another one is in nobody's way.
  await sql`select lo_unlink(${oid}::oid), lo_create(${oid + 1}::oid)`;
  expect((await run(target, "--data-only", "--keep-going")).exitCode).toBe(0);
  expect(await sql`select convert_from(lo_get(${oid}::oid), 'UTF8') as text`).toMatchObject([
    { text: "from the backup" },
  ]);
});

test("--data-only into the source itself needs --into-source", async () => {
  const words = ["--data-only", "--table", "item", "--into-existing"];
  const { exitCode, stderr } = await run(source, ...words);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
  expect(stderr).toContain("rows would be added a second time; nothing was changed");
  expect(await rowsOf(source)).toEqual([1, 2, 3]);
});

test("the source is recognized after an adoption that left the facts in the manifest", async () => {
  const catalog = new Database(join(installation.directory, "state/catalog.db"));
  const facts = catalog.query("select id, facts from backups").all() as { id: string; facts: string }[];
  catalog.run("update backups set facts = null");
  const { user, password, port } = postgres.address;
  // By another address than that of the config.
  const url = `postgres://${user}:${password}@localhost:${port}/${source}`;
  try {
    const { json } = await installation.run("restore", backup, "-t", url, "--clean", "--dry-run", "--json");
    expect(json).toMatchObject({ is_source: true, obstacles: [{ kind: "source" }] });
  } finally {
    for (const one of facts) catalog.run("update backups set facts = ? where id = ?", [one.facts, one.id]);
    catalog.close();
  }
});

test("a sequence that a trigger advances during the restore is not set back", async () => {
  const target = await created(backup, "--schema-only");
  const sql = postgres.connect(target);
  await sql
    .unsafe(`create function advance() returns trigger language plpgsql
        as 'begin perform setval(''public.position'', 500); return new; end';
      create trigger advance before insert on item for each row execute function advance()`)
    .simple();
  await sql`select nextval('fresh')`;
  expect((await run(target, "--data-only", "--table", "*")).stderr).toBe("");
  expect(await sql`select nextval('position')::int as next`).toMatchObject([{ next: 501 }]);
  // It was not used yet when the backup was made, at the same position.
  expect(await sql`select nextval('fresh')::int as next`).toMatchObject([{ next: 2 }]);
});

test("a sequence that was restarted further ahead, and not used since, is not set back", async () => {
  const target = await created(backup, "--schema-only");
  const sql = postgres.connect(target);
  await sql.unsafe("alter sequence position restart 100000; alter sequence fresh restart 70").simple();
  const dry = await run(target, "--data-only", "--table", "*", "--dry-run", "--json");
  expect(dry.json.notes).toContainEqual(expect.stringMatching(/keep their position: .*public\.position/));
  expect((await run(target, "--data-only", "--table", "*")).stderr).toBe("");
  expect(await sql`select nextval('position')::int as next`).toMatchObject([{ next: 100000 }]);
  expect(await sql`select nextval('fresh')::int as next`).toMatchObject([{ next: 70 }]);
});

test("--into-existing --keep-going sets no live sequence back, and sets one that it creates", async () => {
  const [one, several] = [await created(backup), await created(streams)];
  await postgres.connect(one)`drop sequence position`;
  await postgres.connect(one)`alter sequence fresh restart 70`;
  await postgres.connect(several)`select setval('position', 900)`;
  for (const [id, target] of [
    [backup, one],
    [streams, several],
  ] as const) {
    const words = ["--table", "*", "--into-existing", "--keep-going"];
    const { exitCode, stderr } = await installation.run("restore", id, "-t", `main/${target}`, ...words);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3 });
    expect(stderr).not.toContain("SEQUENCE SET");
  }
  const next = (target: string, sequence: string) =>
    postgres.connect(target)`select nextval(${sequence})::int as next`;
  expect(await next(one, "position")).toMatchObject([{ next: 6 }]);
  expect(await next(one, "fresh")).toMatchObject([{ next: 70 }]);
  expect(await next(several, "position")).toMatchObject([{ next: 901 }]);
});

test("rows of several streams are added to others in one transaction, unless several sessions are asked for", async () => {
  const target = await created(streams);
  const words = [
    "restore",
    streams,
    "-t",
    `main/${target}`,
    "--data-only",
    "--table",
    "item",
    "--into-existing",
  ];
  const sql = postgres.connect(target);
  await sql`alter table item add check (i < 3) not valid`;
  const failed = await installation.run(...words);
  expect({ exitCode: failed.exitCode, stderr: failed.stderr }).toMatchObject({ exitCode: 10 });
  expect(failed.stderr).toContain(`nothing of database "${target}" was changed`);
  expect(await rowsOf(target)).toEqual([1, 2, 3]);
  await sql`alter table item drop constraint item_i_check`;
  await installation.ok(...words);
  expect(await rowsOf(target)).toEqual([1, 1, 2, 2, 3, 3]);
  await installation.ok(...words, "--jobs", "2");
  expect(await rowsOf(target)).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
  const empty = await created(streams, "--schema-only");
  await installation.ok("restore", streams, "-t", `main/${empty}`, "--data-only", "--into-existing");
  expect(await rowsOf(empty)).toEqual([1, 2, 3]);
});

test("--output with a slash at the end writes a directory, and refuses a backup that is one file", async () => {
  const directory = join(installation.directory, "out");
  const { stderr } = await installation.ok("restore", streams, "--output", `${directory}//`);
  expect(stderr).toContain(`${directory}/schema.dump`);
  expect(await readdir(directory)).toContain("schema.dump");
  const file = await installation.run(
    "restore",
    backup,
    "--output",
    `${join(installation.directory, "file")}/`,
  );
  expect({ exitCode: file.exitCode, stderr: file.stderr }).toMatchObject({ exitCode: 2 });
  expect(file.stderr).toContain("the dump is one file");
});
