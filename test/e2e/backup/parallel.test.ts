import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { fillTortureDatabase } from "../../lab/data/torture-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

interface TableRows {
  name: string;
  rows: number | null;
}

const postgres = usePostgres();
const installation = useInstallation(postgres, { more: "[dump]\njobs = 3" });

/** Of the one object of a database. */
async function firstLineOf(made: Installation, database: string): Promise<string> {
  const files = await made.files("disk");
  const objects = files.filter((name) => name.includes(database) && !name.endsWith(".json"));
  expect(objects).toHaveLength(1);
  return await Bun.file(join(made.directory, "disk", objects[0] ?? ""))
    .slice(0, 15)
    .text();
}

test("a database with all kinds of objects is restored as it was", async () => {
  const source = await postgres.createDatabase();
  await fillTortureDatabase(postgres.connect(source));
  const [{ backup_id: id, warnings }] = (await installation().ok("backup", `main/${source}`, "--json")).json
    .backups;
  expect(warnings).toEqual([]);
  const target = postgres.newName();
  await installation().ok("restore", id, "-t", `main/${target}`, "--create");
  expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  // As one archive, in one transaction.
  await installation().ok("restore", id, "-t", `main/${target}`, "--clean");
  expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  await installation().ok("verify", "--json");
}, 120_000);

test("a dump that a waiting session disturbs is repeated, and the session gets its lock", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  // One more than there are streams: the smallest table is dumped when a stream has ended.
  const counts = { a: 60_000, b: 60_000, c: 40_000, d: 60_000 };
  for (const [name, rows] of Object.entries(counts))
    await sql.unsafe(
      `create table ${name} as select i, repeat(md5(i::text), 30) as text from generate_series(1, ${rows}) i`,
    );
  const backup = watched(installation().start("backup", `main/${database}`, "--json"));
  const locks = () => sql`select from pg_stat_activity where application_name = 'pg321 locks'
    and datname = current_database() and query like '%pg_table_size%'`;
  await backup.until("every table is locked", async () => (await locks()).length > 0);
  // It waits before the stream of this table begins, so the first dump gives way.
  await postgres.connect(database)`truncate c`;
  const { exitCode, stdout, stderr } = await backup.ended;
  expect(exitCode, stderr).toBe(0);
  expect(stderr).toContain("the dump is repeated");
  const [{ backup_id: id }] = JSON.parse(stdout).backups;
  const { facts } = (await installation().ok("show", id, "--json")).json;
  const rows = Object.fromEntries(facts.tables.map(({ name, rows }: TableRows) => [name, rows]));
  expect(rows).toEqual({ ...counts, c: 0 });
  const target = postgres.newName();
  await installation().ok("restore", id, "-t", `main/${target}`, "--create");
  expect((await compareByName(postgres, database, target)).differences).toEqual([]);
}, 120_000);

test("a backup in several streams is a container, with the counts of its tables and sequences", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await fillSampleDatabase(sql, 0.05);
  await sql`create table large as select i, repeat(md5(i::text), 30) as text from generate_series(1, 20000) i`;
  const backup = await installation().ok("backup", `main/${database}`, "--json");
  const [{ backup_id: id, warnings }] = backup.json.backups;
  expect(warnings).toEqual([]);
  expect(await firstLineOf(installation(), database)).toBe("pg321 sealed 2\n");
  const { facts, streams } = (await installation().ok("show", id, "--json")).json;
  expect(facts.streams).toEqual(streams);
  expect(streams).toEqual({ jobs: 3, data_archives: 2, at_once: 2, why_one: null });
  const listed = (await installation().ok("list", "-d", database, "--json")).json.backups;
  expect(listed).toMatchObject([{ id, streams }]);
  const { stdout } = await installation().ok("show", id);
  expect(stdout).toContain("2 archives of rows and one of the schema, 2 streams at once (dump.jobs 3)");
  expect(facts.tables).toContainEqual(
    expect.objectContaining({ name: "large", rows: 20_000, method: "exact" }),
  );
  expect(facts.sequences.length).toBeGreaterThan(0);
  expect(facts.sequences.every((one: { after: unknown }) => one.after !== null)).toBe(true);
}, 60_000);

describe("a database that cannot be dumped in several streams is dumped in one, with a warning", () => {
  const newName = (word: string) => `${word}_${crypto.randomUUID().slice(0, 8)}`;

  /** Returns the backup as `show` prints it. */
  async function expectOneStream(made: Installation, [source, target]: string[], why: string) {
    const backup = await made.ok("backup", `main/${source}`, "--json");
    expect(backup.stderr).toContain("the database is dumped in one stream, not in dump.jobs streams");
    expect(backup.stderr).toContain(why);
    expect(await firstLineOf(made, `${source}`)).toBe("pg321 sealed 1\n");
    const [{ backup_id: id }] = backup.json.backups;
    await made.ok("restore", id, "--target", postgres.url(`${target}`));
    const { differences, summary } = await compareByName(postgres, `${source}`, `${target}`);
    expect(differences).toEqual([]);
    expect(summary.rows).toBeGreaterThan(8);
    const shown = (await made.ok("show", id, "--json")).json;
    expect(shown.streams).toMatchObject({ jobs: 3, why_one: expect.stringContaining(why) });
    return shown;
  }

  test("because an argument cannot express its names", async () => {
    const names = ["latin", "restored"].map(newName);
    for (const name of names) {
      postgres.dropAtEnd(name);
      await postgres
        .connect()
        .unsafe(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
    }
    await postgres.connect(names[0]).unsafe('create table "größe" as select generate_series(1, 9) as i');
    const why = "the database's encoding is LATIN1, not UTF8";
    const { facts } = await expectOneStream(installation(), names, why);
    expect(facts.tables).toMatchObject([{ name: "größe", rows: 9, method: "exact" }]);
  }, 60_000);

  test.each([
    [1, { problem: expect.stringContaining("no snapshot was shared with pg_dump") }],
    [2, { problem: null, tables: [{ name: "t", rows: 9, method: "exact" }] }],
  ])(
    "because its role may have %d sessions",
    async (sessions, counted) => {
      const names = await Promise.all(
        ["few", "restored"].map((word) => postgres.createDatabase(newName(word))),
      );
      const [role = ""] = names;
      const sql = postgres.connect(names[0]);
      await sql
        .unsafe(
          `create table t as select generate_series(1, 9) as i;
         create role ${role} login password 'x' connection limit ${sessions}; grant pg_read_all_data to ${role}`,
        )
        .simple();
      await using made = await Installation.make({
        postgres: { ...postgres.address, user: role, password: "x" },
        databases: [role],
        storages: (directory) => [localStorage("disk", directory)],
        more: "[dump]\njobs = 3",
      });
      const shown = expectOneStream(made, names, "too many connections for role");
      const { facts } = await shown.finally(() => sql.unsafe(`drop role ${role}`));
      expect(facts).toMatchObject(counted);
    },
    60_000,
  );
});
