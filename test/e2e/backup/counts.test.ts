import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { holdCount, isDumped, isHeld } from "../../lab/data/held-count.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

async function installationOf(database: string, more = "", encryption: "age" | "none" = "age") {
  return Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
    encryption,
    more,
  });
}

async function sampleDatabase(): Promise<string> {
  const database = await postgres.createDatabase();
  await fillSampleDatabase(postgres.connect(database), 0.05);
  await postgres.connect(database)`create table "top secret" as select generate_series(1, 7) as i`;
  return database;
}

test("the counts are shown, sealed in the manifest, and come back with the catalog", async () => {
  await using installation = await installationOf(await sampleDatabase());
  const [{ backup_id: id }] = (await installation.ok("backup", "--json")).json.backups;
  const { facts, manifest } = (await installation.ok("show", id, "--json")).json;
  expect(facts.tables).toContainEqual({
    ...{ schema: "public", name: "top secret", rows: 7, method: "exact", why: null },
  });
  expect(facts).toMatchObject({ problem: null, numbers: { extensions: 2 } });
  expect((await installation.ok("show", id)).stdout).toMatch(
    /^rows {10} +[\d,]+ rows in \d+ tables: every row counted$/m,
  );
  expect(JSON.stringify(manifest)).not.toContain("secret");
  const opened = Bun.spawnSync(["age", "-d", "-i", installation.identityFile], {
    stdin: Buffer.from(manifest.details),
  });
  expect(JSON.parse(opened.stdout.toString())).toEqual({ facts });
  // Neither lists nor storages have names of tables.
  for (const file of await installation.files("disk"))
    expect(await Bun.file(join(installation.directory, "disk", file)).text()).not.toContain("secret");
  expect((await installation.ok("list", "--json")).stdout).not.toContain("secret");

  await rm(join(installation.directory, "state"), { recursive: true });
  await installation.ok("cleanup", "--adopt");
  expect((await installation.ok("show", id, "--json")).json.facts).toEqual(facts);
}, 60_000);

test("an unencrypted backup keeps its counts in the catalog only, and counts can be turned off", async () => {
  const database = await sampleDatabase();
  await using installation = await installationOf(database, "", "none");
  const [{ backup_id: id }] = (await installation.ok("backup", "--json")).json.backups;
  const shown = (await installation.ok("show", id, "--json")).json;
  expect(shown.facts.tables).toContainEqual(expect.objectContaining({ name: "top secret", rows: 7 }));
  expect(shown.manifest).not.toHaveProperty("details");
  await installation.configure({ encryption: "age", more: "[dump]\ncounts = false" });
  const [{ backup_id: other }] = (await installation.ok("backup", "--json")).json.backups;
  const without = (await installation.ok("show", other, "--json")).json;
  expect(without.facts).toBeNull();
  expect(without.manifest).not.toHaveProperty("details");
}, 60_000);

test("kill -9 while the last tables are counted costs the counts, not the backup", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await holdCount(sql);
  await using installation = await installationOf(database);
  const running = watched(installation.start("backup"));
  await running.until("it counts after the dump", async () => (await isHeld(sql)) && (await isDumped(sql)));
  let id = "";
  await running.until("the object is recorded", async () => {
    const [backup] = (await installation.ok("list", "--json")).json.backups;
    id = backup.id;
    return backup.object_sha256 !== null;
  });
  running.kill("SIGKILL");
  await running.ended;
  await installation.ok("repair");
  const shown = (await installation.ok("show", id, "--json")).json;
  expect(shown).toMatchObject({ status: "VERIFIED", facts: null, copies: [{ state: "CONFIRMED" }] });
  expect((await installation.ok("verify", id, "--json")).json.copies).toMatchObject([{ verdict: "good" }]);
}, 60_000);
