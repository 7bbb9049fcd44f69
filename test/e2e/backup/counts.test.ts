import { expect, test } from "bun:test";
import { mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
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
    ...{ schema: "public", name: "top secret", rows: 7, method: "exact", why: null, bytes: 8192 },
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
  expect(without.facts).toMatchObject({ problem: "dump.counts is off", tables: [], numbers: null });
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

/** A backup whose object is complete, while the rows of the first table are still being counted. */
async function startToTheCount(more: string) {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await holdCount(sql);
  const thaw = '[[database]]\nname = "*"\npost_backup = [{ command = ["/bin/echo", "thawed"] }]';
  const installation = await installationOf(database, `${more}\n${thaw}`);
  const running = watched(installation.start("backup", "--json"));
  await running.until("it counts after the dump", async () => (await isHeld(sql)) && (await isDumped(sql)));
  await running.until("the object is recorded", async () => {
    const [backup] = (await installation.ok("list", "--json")).json.backups;
    return backup.object_sha256 !== null;
  });
  return { installation, running, sql };
}

async function expectWholeButUncounted(installation: Installation, why: string) {
  const [{ id }] = (await installation.ok("list", "--json")).json.backups;
  const shown = (await installation.ok("show", id, "--json")).json;
  expect(shown).toMatchObject({ status: "VERIFIED", error: null, copies: [{ state: "CONFIRMED" }] });
  expect(shown.facts.tables).toHaveLength(4);
  // It undoes what a pre_backup did.
  expect(shown.hooks.post_backup).toMatchObject([{ outcome: "OK", output: "thawed\n" }]);
  for (const table of shown.facts.tables)
    expect(table).toMatchObject({ method: "not_counted", why: expect.stringContaining(why) });
  expect((await installation.ok("verify", id, "--json")).json.copies).toMatchObject([{ verdict: "good" }]);
}

test("a backup that is stopped while the last tables are counted is whole", async () => {
  const { installation, running } = await startToTheCount('[dump]\ncount_grace = "1h"');
  await using _ = installation;
  running.kill("SIGTERM");
  expect((await running.ended).exitCode).toBe(143);
  await expectWholeButUncounted(installation, "the backup was stopped: ended by SIGTERM");
}, 60_000);

test("dump.run_timeout ends the counts, not the backup", async () => {
  const { installation, running } = await startToTheCount('[dump]\ncount_grace = "1h"\nrun_timeout = "15s"');
  await using _ = installation;
  const ended = await running.ended;
  expect(ended).toMatchObject({ exitCode: 0, json: { backups: [{ status: "VERIFIED" }] } });
  await expectWholeButUncounted(installation, "longer than dump.run_timeout (15 s)");
}, 60_000);

test("a slow storage does not hold the snapshot of the counts", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await sql`create table t as select md5(i::text) from generate_series(1, 12000) i`;
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [
      localStorage("slow", directory, { rate_limit: "64KiB/s", min_rate: "32KiB/s" }),
    ],
    more: '[compression]\nalgorithm = "none"',
  });
  // A quick dump can end between two polls: this lock holds it until both sessions have been seen.
  const holder = await postgres.connect(database).reserve();
  await holder.unsafe("begin; lock table t in access exclusive mode").simple();
  const running = watched(installation.start("backup", "--json"));
  const sessions = () => sql`select application_name as name from pg_stat_activity
    where application_name like 'pg321%' and datname = current_database()`;
  const names = async () => (await sessions()).map(({ name }) => name);
  await running.until("both sessions are open", async () => (await names()).length === 2);
  await holder.unsafe("rollback");
  holder.release();
  await running.until("both have ended", async () => (await names()).length === 0);
  const [unfinished] = (await installation.ok("list", "--json")).json.backups;
  expect(unfinished).toMatchObject({ status: "RUNNING", object_sha256: null });
  expect((await running.ended).json.backups).toMatchObject([{ status: "VERIFIED" }]);
}, 60_000);

test("a pg_dump that ends with an error about connections, after the first byte, leaves no backup", async () => {
  await using installation = await installationOf(await sampleDatabase());
  const directory = join(installation.directory, "bin");
  await mkdir(directory);
  for (const name of await readdir(postgres.address.bin_dir))
    if (name !== "pg_dump") await symlink(join(postgres.address.bin_dir, name), join(directory, name));
  const real = join(postgres.address.bin_dir, "pg_dump");
  const message =
    'pg_dump: error: connection to server at "127.0.0.1" failed: FATAL:  too many connections for role "app"';
  const script = `#!/bin/bash
    case "$*" in --version) exec ${real} --version;; *--snapshot*) ;; *) exec ${real} "$@";; esac
    head -c 1048576 /dev/zero; echo '${message}' >&2; exit 1`;
  await writeFile(join(directory, "pg_dump"), script, { mode: 0o755 });
  await installation.configure({ server: `bin_dir = "${directory}"` });
  const ended = await installation.run("backup", "--json");
  expect(ended.exitCode).not.toBe(0);
  expect(ended.json.backups).toMatchObject([
    { status: "FAILED", error: expect.stringContaining("too many connections") },
  ]);
  const [{ id, status }] = (await installation.ok("list", "--json")).json.backups;
  expect(status).toBe("FAILED");
  expect((await installation.ok("show", id, "--json")).json.copies).toMatchObject([{ state: "FAILED" }]);
  expect(await installation.files("disk")).toEqual([]);
}, 60_000);
