import { expect, test } from "bun:test";
import { join } from "node:path";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

const postgres = usePostgres();
const installation = useInstallation(postgres, { more: "[dump]\njobs = 3" });

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
  const { facts } = (await installation().ok("show", id, "--json")).json;
  expect(facts.tables).toContainEqual(
    expect.objectContaining({ name: "large", rows: 20_000, method: "exact" }),
  );
  expect(facts.sequences.every((one: { after: unknown }) => one.after !== null)).toBe(true);
}, 60_000);
