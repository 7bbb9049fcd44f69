import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { addLargeTable, fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { extended, flipped, flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let backupId: string;
let copies: LocalCopies;

beforeAll(async () => {
  source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  await fillSampleDatabase(sql, 0.2);
  // Larger than the groups of small tables, so that there are several streams.
  await addLargeTable(sql);
  await sql
    .unsafe(
      `create table public.numbered (id int generated always as identity primary key, code serial unique);
       insert into public.numbered select from generate_series(1, 30)`,
    )
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
    more: '[dump]\njobs = 3\nlock_wait_timeout = "20s"\n[restore_test]\nserver = "throwaway"',
  });
  backupId = await installation.backUp();
  copies = new LocalCopies(installation, backupId);
});
afterAll(() => installation[Symbol.asyncDispose]());

async function restored(...words: string[]): Promise<string> {
  const name = postgres.newName(source);
  await installation.ok("restore", backupId, "--target", `main/${name}`, "--create", ...words);
  return name;
}

async function expectEqual(name: string): Promise<void> {
  const { differences, summary } = await compareByName(postgres, source, name);
  expect(differences).toEqual([]);
  expect(summary.rows).toBeGreaterThan(1_000);
}

test("a backup of several streams becomes the same database, also for pg_dump", async () => {
  const name = postgres.newName(source);
  const target = ["--target", `main/${name}`, "--create"];
  const dry = await installation.ok("restore", backupId, ...target, "--dry-run", "--json");
  const { json } = await installation.ok("restore", backupId, ...target, "--json");
  expect(json).toMatchObject({ outcome: "OK", errors: [], unfilled: [], empty_tables: [] });
  expect(json.tables).toBe(dry.json.tables);
  const { facts } = (await installation.ok("show", backupId, "--json")).json;
  expect(json.rows).toBe(facts.tables.reduce((sum: number, { rows }: { rows: number }) => sum + rows, 0));
  await expectEqual(name);
  const [one, other] = await Promise.all([source, name].map(textDump));
  expect(other).toBe(one as string);
  expect(await installation.temporaryFiles()).toEqual([]);
});

/** The text of a whole dump, without what differs in each run of pg_dump. */
async function textDump(database: string): Promise<string> {
  const { port, user, password } = postgres.address;
  const child = Bun.spawn(["pg_dump", "-h", "127.0.0.1", "-p", `${port}`, "-U", user, database], {
    env: { PATH: process.env["PATH"] ?? "", PGPASSWORD: password },
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return text.replace(/^\\(un)?restrict .*$/gm, "");
}

describe("a part of it", () => {
  test("--table brings the table with its rows, keys and sequences", async () => {
    const name = await restored(
      "--table",
      "shop.Order",
      "--table",
      "shop.customer",
      "--schema",
      "shop",
    ).catch(String);
    // The types of the schema are not tables.
    expect(name).toContain("lacks");
    const target = await postgres.createDatabase();
    const { json } = await installation.ok(
      "restore",
      backupId,
      "-t",
      `main/${target}`,
      "--table",
      "public.large",
      "--json",
    );
    expect(json).toMatchObject({ outcome: "OK", tables: 1, rows: 25_000 });
    const numbered = ["--table", "public.numbered", "-t", `main/${target}`, "--into-existing", "--json"];
    const keyed = (await installation.ok("restore", backupId, ...numbered)).json;
    expect(keyed).toMatchObject({ outcome: "OK", tables: 1, rows: 30 });
    const into = postgres.connect(target);
    const keys = await into`select contype::text || ' ' || pg_get_constraintdef(oid) as key from pg_constraint
      where conrelid = 'public.numbered'::regclass order by 1`;
    expect(keys.map(({ key }) => key)).toEqual(["p PRIMARY KEY (id)", "u UNIQUE (code)"]);
    expect([...(await into`insert into public.numbered default values returning id, code`)]).toEqual([
      { id: 31, code: 31 },
    ]);
    const partitions = await postgres.createDatabase();
    const events = ["--table", "log.event", "-t", `main/${partitions}`, "--json"];
    const sql = postgres.connect(partitions);
    await sql`create schema log`;
    const came = (await installation.ok("restore", backupId, ...events, "--into-existing")).json;
    const [{ count = 0 } = {}] = await postgres.connect(source)<
      { count: number }[]
    >`select count(*)::int from log.event`;
    expect(came).toMatchObject({ outcome: "OK", rows: count });
    expect(await sql`select count(*)::int from log.event`).toEqual([{ count }] as never);
  });

  test("--schema-only reads no rows, and --data-only fills what exists", async () => {
    const name = await restored("--schema-only");
    const sql = postgres.connect(name);
    expect(await sql`select count(*)::int from public.large`).toEqual([{ count: 0 }] as never);
    const into = [
      "-t",
      `main/${name}`,
      "--data-only",
      "--table",
      "public.large",
      "--into-existing",
      "--json",
    ];
    expect((await installation.ok("restore", backupId, ...into)).json).toMatchObject({
      outcome: "OK",
      rows: 25_000,
    });
  });

  test("--exclude-table-data leaves a table empty", async () => {
    const name = await restored("--exclude-table-data", "public.large");
    const sql = postgres.connect(name);
    expect(await sql`select count(*)::int from public.large`).toEqual([{ count: 0 }] as never);
    expect(await sql`select count(*) > 0 as is_there from log.event`).toEqual([{ is_there: true }] as never);
  });
});

describe("over what exists", () => {
  test("--clean replaces everything in one transaction; if it fails, nothing is changed", async () => {
    const name = await restored();
    const sql = postgres.connect(name);
    await sql`delete from public.large where i > 10`;
    await sql`alter table shop.customer add column more int`;
    await sql`refresh materialized view shop.revenue_by_day`;
    // When all rows are there.
    await sql.unsafe(`create function public.refuse() returns event_trigger language plpgsql as
      $$ begin raise exception 'no index today'; end $$;
      create event trigger refuse on ddl_command_end when tag in ('CREATE INDEX') execute function public.refuse()`);
    const over = ["restore", backupId, "--target", `main/${name}`, "--clean"];
    const dry = await installation.ok(...over, "--dry-run", "--json");
    expect(dry.json).toMatchObject({ obstacle: null, notes: [expect.stringContaining("one transaction")] });
    const failed = await installation.run(...over);
    expect(failed.exitCode, failed.stderr).toBe(10);
    expect(failed.stderr).toContain("no index today");
    expect(await sql`select count(*)::int from public.large`).toEqual([{ count: 10 }] as never);
    expect(await sql`select count(more)::int from shop.customer`).toEqual([{ count: 0 }] as never);
    expect(await installation.temporaryFiles()).toEqual([]);
    await sql`drop event trigger refuse`;
    await sql`drop function public.refuse()`;
    const { json } = await installation.ok(...over, "--json");
    const { facts } = (await installation.ok("show", backupId, "--json")).json;
    expect(json.rows).toBe(facts.tables.reduce((sum: number, { rows }: { rows: number }) => sum + rows, 0));
    await expectEqual(name);
    await sql`alter table shop.customer add column more int`;
    await installation.ok(...over, "--jobs", "2");
    await expectEqual(name);
    expect(await installation.temporaryFiles()).toEqual([]);
  });

  test("of a selection with --clean only the streams that have its tables need room", async () => {
    const name = await restored();
    const [numbered] = await postgres.connect(name)`select 'public.numbered'::regclass::oid::int as oid`;
    const words = ["--table", "public.numbered", "--clean"];
    const sizes: number[] = [];
    let restore: ReturnType<Installation["start"]> | undefined;
    await postgres.connect(name).begin(async (sql) => {
      await sql`lock table public.numbered`;
      restore = installation.start("restore", backupId, "--target", `main/${name}`, ...words);
      const waits = () =>
        postgres.connect(source)`select from pg_locks where not granted and relation = ${numbered?.["oid"]}`;
      while (restore.exitCode === null && (await waits()).length === 0) await Bun.sleep(50);
      for (const file of await installation.temporaryFiles())
        if (file.endsWith("/spool"))
          sizes.push(Bun.file(join(installation.directory, "state/tmp", file)).size);
    });
    expect(await restore?.exited).toBe(0);
    const { dump_bytes } = (await installation.ok("show", backupId, "--json")).json;
    expect(sizes).toHaveLength(1);
    expect(sizes[0]).toBeLessThan(dump_bytes / 2);
  });

  test("an error ends the restore and all its sessions; with --keep-going the other tables come", async () => {
    const name = await restored("--schema-only");
    const sql = postgres.connect(name);
    await sql`alter table public.large add check (i < 100)`;
    const tables = ["public.large", "log.event"].flatMap((table) => ["--table", table]);
    const rows = ["restore", backupId, "-t", `main/${name}`, "--data-only", "--into-existing", ...tables];
    const failed = await installation.run(...rows);
    expect(failed.exitCode).toBe(10);
    expect(failed.stderr).toContain("large_i_check");
    expect(await sessions()).toBe(0);
    await sql`truncate log.event`;
    const { exitCode, json } = await installation.run(...rows, "--keep-going", "--json");
    expect(exitCode).toBe(3);
    expect(json.errors.map(({ entry }: { entry: string }) => entry)).toEqual(["TABLE DATA public.large"]);
    expect(json.unfilled).toEqual(["public.large"]);
    expect(await sql`select count(*) > 0 as is_there from log.event`).toEqual([{ is_there: true }] as never);
  });
});

async function sessions(): Promise<number> {
  const [{ count = 0 } = {}] = await postgres.connect()<{ count: number }[]>`
    select count(*)::int from pg_stat_activity where application_name like 'pg321 restore %'`;
  return count;
}

describe("one copy is damaged: the restore continues from the other", () => {
  test.each([
    ["its metadata", flipped(40)],
    ["a middle segment", flippedInTheMiddle],
    ["its last segment", flipped(-1)],
    ["cut in half", (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
    ["extended by a byte", extended],
  ])("%s", async (_, damage) => {
    copies.damage("a", damage);
    const { name, stderr } = await anyRestored();
    copies.heal();
    expect(stderr).toMatch(/a copy (cannot be opened|failed while it was read).*storage=a/);
    await expectEqual(name);
    await installation.ok("verify", backupId);
  });
});

async function anyRestored(): Promise<{ name: string; stderr: string }> {
  const name = postgres.newName(source);
  const { stderr } = await installation.ok("restore", backupId, "--target", `main/${name}`, "--create");
  return { name, stderr };
}

test("if all copies are damaged in the middle, the restore fails with 14 and ends its sessions", async () => {
  for (const storage of ["a", "b"]) copies.damage(storage, flippedInTheMiddle);
  const name = postgres.newName(source);
  const { exitCode, stderr } = await installation.run(
    "restore",
    backupId,
    "--target",
    `main/${name}`,
    "--create",
  );
  const live = await postgres.createDatabase();
  const sql = postgres.connect(live);
  await sql`create table public.large as select 1 as live`;
  const over = await installation.run("restore", backupId, "--target", `main/${live}`, "--clean");
  copies.heal();
  expect({ exitCode, stderr }).toEqual({ exitCode: 14, stderr: expect.stringContaining("is damaged") });
  expect(over).toMatchObject({ exitCode: 14, stderr: expect.stringContaining("is damaged") });
  expect(await sql`select live from public.large`).toEqual([{ live: 1 }] as never);
  expect(await installation.temporaryFiles()).toEqual([]);
  expect(await sessions()).toBe(0);
  await installation.ok("verify", backupId);
});

test("verify lets pg_restore read every stream, and a restore test counts the rows", async () => {
  const { json } = await installation.ok("verify", backupId, "--json");
  expect(json.copies).toEqual([
    expect.objectContaining({ storage: "a", archive_checked: true, archive_note: null }),
    expect.objectContaining({ storage: "b", archive_checked: true, archive_note: null }),
  ]);
  const tested = await installation.ok("restore-test", backupId, "--json");
  const [test, ...others] = tested.json.tests;
  expect([test.outcome, test.error, others]).toEqual(["PASSED", null, []]);
  const rows = test.checks.find(({ name }: { name: string }) => name === "rows");
  expect(rows).toMatchObject({ is_ok: true, found: expect.stringMatching(/^[\d,]+ rows in \d+ tables$/) });
});

test("--output writes the archives, from which stock tools make the same database", async () => {
  const directory = join(installation.directory, "archives");
  const { stderr } = await installation.ok("restore", backupId, "--output", directory);
  const files = (await readdir(directory)).sort();
  expect(files[files.length - 1]).toBe("schema.dump");
  expect(files.length).toBeGreaterThan(2);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  expect((await stat(join(directory, "schema.dump"))).mode & 0o777).toBe(0o600);
  const again = await installation.run("restore", backupId, "--output", directory);
  expect({ exitCode: again.exitCode, stderr: again.stderr }).toEqual({
    exitCode: 2,
    stderr: expect.stringContaining("exists already"),
  });
  const name = await postgres.createDatabase();
  const commands = stderr.split("\n").filter((line) => line.startsWith("  "));
  await shell(commands.join("\n").replaceAll("-d NAME", `-d ${name}`));
  await expectEqual(name);
  const unsealed = join(installation.directory, "unsealed");
  await installation.ok("unseal", copies.object("a"), "-i", installation.identityFile, "-o", unsealed);
  expect((await readdir(unsealed)).sort()).toEqual(files);
  for (const file of files) {
    const [one, other] = await Promise.all([unsealed, directory].map((path) => readFile(join(path, file))));
    expect(one?.length).toBeGreaterThan(0);
    expect({ file, isEqual: one?.equals(other as Buffer) }).toEqual({ file, isEqual: true });
  }
});

test("without pg321: unseal.py and stock pg_restore make the same database", async () => {
  const page = await Bun.file(join(import.meta.dir, "../../../docs/format.md")).text();
  const commands = /\n(contrib\/unseal\.py -i identity\.txt --members[^`]+)```/.exec(page)?.[1] ?? "";
  const name = await postgres.createDatabase();
  const directory = join(installation.directory, "app.archives");
  const script = commands
    .replace("contrib/unseal.py", join(import.meta.dir, "../../../contrib/unseal.py"))
    .replace("identity.txt", installation.identityFile)
    .replace(/backup_app_\S+/, copies.object("a"))
    .replaceAll("app.archives", directory)
    .replaceAll("-d app", `-d ${name}`);
  await shell(`exec 2>${directory}.log; ${script}`);
  await expectEqual(name);
});

async function shell(script: string): Promise<void> {
  const { port, user, password } = postgres.address;
  const child = Bun.spawn(["sh", "-ec", script], {
    env: {
      PATH: process.env["PATH"] ?? "",
      PGHOST: "127.0.0.1",
      PGPORT: `${port}`,
      PGUSER: user,
      PGPASSWORD: password,
    },
    stderr: "pipe",
  });
  const said = await new Response(child.stderr).text();
  expect({ exitCode: await child.exited, said }).toEqual({ exitCode: 0, said: "" });
}
