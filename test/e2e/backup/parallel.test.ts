import { expect, test } from "bun:test";
import { join } from "node:path";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { fillTortureDatabase } from "../../lab/data/torture-database.ts";
import { watched } from "../../lab/machine/running.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

interface TableRows {
  name: string;
  rows: number | null;
}

const postgres = usePostgres();
const installation = useInstallation(postgres, { more: "[dump]\njobs = 3" });

test("a database with all kinds of objects is restored as it was", async () => {
  const source = await postgres.createDatabase();
  await fillTortureDatabase(postgres.connect(source));
  const [{ backup_id: id, warnings }] = (await installation().ok("backup", `main/${source}`, "--json")).json
    .backups;
  expect(warnings).toEqual([]);
  const target = `restored_${crypto.randomUUID().slice(0, 8)}`;
  postgres.dropAtEnd(target);
  await installation().ok("restore", id, "-t", `main/${target}`, "--create");
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
  const target = `restored_${crypto.randomUUID().slice(0, 8)}`;
  postgres.dropAtEnd(target);
  await installation().ok("restore", id, "-t", `main/${target}`, "--create");
  expect((await compareByName(postgres, database, target)).differences).toEqual([]);
}, 120_000);

test("a backup in several streams is a container, with the counts of one snapshot", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await fillSampleDatabase(sql, 0.05);
  await sql`create table large as select i, repeat(md5(i::text), 30) as text from generate_series(1, 20000) i`;
  const backup = await installation().ok("backup", `main/${database}`, "--json");
  const [{ backup_id: id, warnings }] = backup.json.backups;
  expect(warnings).toEqual([]);
  const [file = ""] = (await installation().files("disk")).filter(
    (name) => name.includes(database) && !name.endsWith(".json"),
  );
  const head = await Bun.file(join(installation().directory, "disk", file))
    .slice(0, 15)
    .text();
  expect(head).toBe("pg321 sealed 2\n");
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
  expect(facts.sequences.every((one: { after: unknown }) => one.after !== null)).toBe(true);
}, 60_000);
