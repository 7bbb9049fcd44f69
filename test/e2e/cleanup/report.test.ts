import { describe, expect, test } from "bun:test";
import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { processTag } from "../../../src/base/files/private-files.ts";
import { MARK } from "../../../src/jobs/temp-dir.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { leftovers, withCatalog } from "../../lab/leftovers.ts";
import type { Retained } from "../../lab/retained.ts";
import { retained } from "../../lab/retained.ts";
import { allowAll, deny, rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/**
 * Requirement 6.30 of the reference report, test by test and under its names, on real parts: PostgreSQL, a
 * directory, Ceph RGW as R2 and Swift as B2. `test/acceptance/cleanup.md` maps each line to its test.
 */

const postgres = usePostgres();
const CLOUDS = ["disk", "r2", "b2"] as const;

const clean = async ({ installation }: Retained, ...words: string[]) =>
  (await installation.ok("cleanup", "--json", ...words)).json;
const alertsOf = ({ installation }: Retained) => withCatalog(installation, (catalog) => catalog.alerts({}));

/** A file last modified this many hours ago. */
async function makeOldFile(path: string, ageHours: number): Promise<void> {
  await writeFile(path, "left over");
  const at = new Date(Date.now() - ageHours * 3_600_000);
  await utimes(path, at, at);
}

describe("the seven unit tests of the report", () => {
  test("test_cleanup_old_local_backups", async () => {
    await using at = await retained(postgres);
    const old = await at.backup(31);
    const recent = await at.backup(0);
    const { storages } = await clean(at);
    expect(storages.disk).toMatchObject({ expired: 1, deleted: 1, failed: 0 });
    expect(await at.objects("disk", old)).toEqual([]);
    expect(await at.objects("disk", recent)).toHaveLength(2);
  });

  test("test_cleanup_old_cloud_backups", async () => {
    await using at = await retained(postgres, { storages: ["r2", "b2"] });
    const old = await at.backup(366);
    const recent = await at.backup(364);
    await at.backup(0);
    const { storages } = await clean(at);
    for (const name of ["r2", "b2"]) {
      expect(storages[name]).toMatchObject({ expired: 1, deleted: 1, failed: 0 });
      expect(await at.objects(name, old)).toEqual([]);
      expect(await at.objects(name, recent)).toHaveLength(2);
    }
  });

  test("test_cleanup_orphaned_database_records", async () => {
    await using at = await retained(postgres);
    const gone = await at.backup(40);
    const kept = await at.backup(0);
    await at.lose("disk", gone);
    const { records_deleted, notes } = await clean(at);
    expect(records_deleted).toBe(1);
    expect(notes).toEqual([expect.objectContaining({ storage: "disk", note: "it was gone already" })]);
    expect(await at.record(gone)).toBeUndefined();
    expect(await at.record(kept)).toBeDefined();
    const tombstones = await withCatalog(at.installation, (catalog) => catalog.tombstones({}));
    expect(tombstones).toMatchObject([{ backup_id: gone, was_good: true, removed_by: "retention" }]);
  });

  test("test_cleanup_temp_files", async () => {
    await using at = await retained(postgres);
    // The first cleanup creates the directory, so it is pg321's own.
    await clean(at);
    const temporary = join(at.installation.directory, "state/tmp");
    for (const name of ["a.tmp", "b.temp", "test_restore_x"]) await makeOldFile(join(temporary, name), 25);
    for (const name of ["young.tmp", "test_restore_young"]) await makeOldFile(join(temporary, name), 23);
    await makeOldFile(join(temporary, "other.txt"), 99);
    expect((await clean(at)).temporary_files_deleted).toBe(3);
    expect(await readdir(temporary)).toEqual(
      expect.arrayContaining(["young.tmp", "test_restore_young", "other.txt"]),
    );
    for (const name of ["a.tmp", "b.temp", "test_restore_x"])
      expect(await readdir(temporary)).not.toContain(name);
  });

  test("test_cleanup_creates_info_alert_on_success", async () => {
    await using at = await retained(postgres);
    await at.backup(31);
    await at.backup(0);
    const { run_id, storages } = await clean(at);
    const alerts = (await alertsOf(at)).filter(({ job }) => job === "cleanup");
    expect(alerts).toMatchObject([{ level: "INFO", run_id, metadata: { storages, records_deleted: 1 } }]);
  });

  test("test_cleanup_handles_storage_deletion_failures", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    const settings = { r2: { "keep.days": 30, attempts: 1 } };
    await using at = await retained(postgres, {
      storages: ["disk", "r2"],
      buckets: { r2: bucket },
      settings,
    });
    const old = await at.backup(31);
    await at.backup(0);
    await deny(lab, bucket, "s3:DeleteObject", "s3:DeleteObjectVersion");
    const failed = await at.installation.run("cleanup", "--json");
    expect(failed.exitCode).toBe(3);
    const { storages, errors, records_deleted } = failed.json;
    expect(storages).toMatchObject({ disk: { deleted: 1, failed: 0 }, r2: { deleted: 0, failed: 1 } });
    expect(errors).toEqual([
      {
        storage: "r2",
        key: expect.stringContaining(old.slice(0, 8)),
        error: expect.stringContaining("denied"),
      },
    ]);
    // The record stays until the last deletion is confirmed, and the next run continues from there.
    expect(records_deleted).toBe(0);
    expect(await at.states(old)).toBe("disk:DELETED r2:DELETING");
    const alerts = (await alertsOf(at)).filter(({ job }) => job === "cleanup");
    expect(alerts).toMatchObject([{ level: "WARNING", metadata: { errors } }]);
    await allowAll(lab, bucket);
    expect(await clean(at)).toMatchObject({ records_deleted: 1, storages: { r2: { deleted: 1 } } });
    expect(await at.objects("r2", old)).toEqual([]);
    expect(await at.record(old)).toBeUndefined();
  });

  test("test_cleanup_returns_statistics", async () => {
    await using at = await retained(postgres, { storages: ["disk", "r2"] });
    const old = await at.backup(40);
    await at.backup(0);
    const bytes = (await at.record(old))?.object_bytes;
    const statistics = await clean(at);
    expect(statistics).toMatchObject({
      outcome: "OK",
      storages: {
        disk: { expired: 1, deleted: 1, archived: 0, hidden: 0, held: 0, failed: 0, bytes_freed: bytes },
        r2: { expired: 0, deleted: 0, archived: 0, hidden: 0, held: 0, failed: 0, bytes_freed: 0 },
      },
      records_deleted: 0,
      temporary_files_deleted: 0,
      multipart_uploads_aborted: 0,
      errors: [],
    });
    expect(statistics.duration_ms).toBeGreaterThan(0);
    const [run] = await withCatalog(at.installation, (catalog) => catalog.runs({ job: "cleanup" }));
    expect(run).toMatchObject({ id: statistics.run_id, outcome: "OK" });
    expect(run?.statistics).toMatchObject({ storages: statistics.storages });
  });
});

describe("the seven integration tests of the report", () => {
  test("test_cleanup_deletes_real_local_files", async () => {
    await using at = await retained(postgres);
    const old = await at.backup(35);
    await at.backup(0);
    expect(await at.objects("disk", old)).toHaveLength(2);
    await clean(at);
    expect(await at.objects("disk", old)).toEqual([]);
  });

  const deletesFrom = async (name: "r2" | "b2") => {
    await using at = await retained(postgres, { storages: [name] });
    const old = await at.backup(400);
    await at.backup(0);
    expect(await at.objects(name, old)).toHaveLength(2);
    await clean(at);
    expect(await at.objects(name, old)).toEqual([]);
    expect(await at.record(old)).toBeUndefined();
  };
  test("test_cleanup_deletes_real_r2_files", () => deletesFrom("r2"));
  test("test_cleanup_deletes_real_b2_files", () => deletesFrom("b2"));

  test("test_cleanup_all_three_storage_locations", async () => {
    await using at = await retained(postgres, { storages: CLOUDS });
    const old = await at.backup(400);
    await at.backup(0);
    const { storages, records_deleted } = await clean(at);
    for (const name of CLOUDS) {
      expect(storages[name]).toMatchObject({ deleted: 1, failed: 0 });
      expect(await at.objects(name, old)).toEqual([]);
    }
    expect(records_deleted).toBe(1);
    expect(await leftovers(at.installation, [...at.places.values()])).toEqual([]);
  });

  test("test_cleanup_preserves_recent_backups", async () => {
    await using at = await retained(postgres, { storages: CLOUDS });
    const ids = [await at.backup(29), await at.backup(1)];
    const { storages } = await clean(at);
    for (const name of CLOUDS) {
      expect(storages[name]).toMatchObject({ expired: 0, deleted: 0, failed: 0 });
      for (const id of ids) expect(await at.objects(name, id)).toHaveLength(2);
    }
  });

  test("test_cleanup_real_temp_files", async () => {
    const database = await postgres.createDatabase(`test_restore_${crypto.randomUUID().slice(0, 6)}.tmp`);
    await using at = await retained(postgres, { databases: [database] });
    const temporary = join(at.installation.directory, "state/tmp");
    const disk = join(at.installation.directory, "disk");
    const id = await at.backup(0);
    const outside = join(at.installation.directory, "outside");
    await mkdir(outside);
    await makeOldFile(join(outside, "precious.tmp"), 99);
    await symlink(join(outside, "precious.tmp"), join(temporary, "link.tmp"));
    await symlink(outside, join(temporary, "test_restore_link"));
    await mkdir(join(temporary, "directory.tmp"));
    await makeOldFile(join(temporary, "directory.tmp/inside.tmp"), 99);
    await makeOldFile(join(temporary, "dump.tmp"), 99);
    // In a storage, only files with exactly its own pattern of temporary names are temporary.
    await makeOldFile(join(disk, ".pg321-0123456789abcdef.tmp"), 99);
    await makeOldFile(join(disk, "theirs.tmp"), 99);
    await makeOldFile(join(disk, "test_restore_theirs"), 99);
    const { temporary_files_deleted, orphans } = await clean(at);
    expect(temporary_files_deleted).toBe(2);
    expect((await readdir(temporary)).toSorted()).toEqual([
      MARK,
      "directory.tmp",
      "link.tmp",
      "test_restore_link",
    ]);
    expect(await readdir(outside)).toEqual(["precious.tmp"]);
    expect(await readdir(join(temporary, "directory.tmp"))).toEqual(["inside.tmp"]);
    expect(await readdir(disk)).toEqual(expect.arrayContaining(["theirs.tmp", "test_restore_theirs"]));
    expect(await at.objects("disk", id)).toHaveLength(2);
    expect(orphans).toEqual([{ storage: "disk", objects: 2, bytes: 18 }]);
  });

  test("in a shared directory only pg321's own temporary files are removed", async () => {
    await using at = await retained(postgres);
    const shared = join(at.installation.directory, "anybodys");
    await mkdir(shared, { mode: 0o700 });
    for (const name of ["a.tmp", "b.temp", "test_restore_x"]) await makeOldFile(join(shared, name), 99);
    const config = await readFile(at.installation.configFile, "utf8");
    await writeFile(at.installation.configFile, `temp_dir = ${JSON.stringify(shared)}\n${config}`);
    const child = Bun.spawnSync(["sh", "-c", "echo $$"]);
    const tag = processTag().split("-").with(3, child.stdout.toString().trim()).join("-");
    await mkdir(join(shared, `pg321-spool-${tag}-aB3dE6`), { mode: 0o700 });
    expect((await clean(at)).temporary_files_deleted).toBe(0);
    expect((await readdir(shared)).toSorted()).toEqual(["a.tmp", "b.temp", "test_restore_x"]);
  });

  test("test_cleanup_respects_retention_policies", async () => {
    await using at = await retained(postgres, { storages: CLOUDS });
    const days = { now: 0, day29: 29, day31: 31, day35: 35, day364: 364, day366: 366, day400: 400 };
    const ids = new Map<number, string>();
    for (const age of Object.values(days).toReversed()) ids.set(age, await at.backup(age));
    const { plan_hash, storages } = (await at.installation.run("cleanup", "--json")).json;
    // More than half of a database's copies in a storage, and at least five, wait for a confirmation.
    expect(storages.disk).toMatchObject({ deleted: 0, held: 5 });
    await at.installation.ok("cleanup", "--confirm", plan_hash);
    for (const [age, id] of ids) {
      expect(await at.objects("disk", id)).toHaveLength(age > 30 ? 0 : 2);
      for (const cloud of ["r2", "b2"]) expect(await at.objects(cloud, id)).toHaveLength(age > 365 ? 0 : 2);
      expect((await at.record(id)) === undefined).toBe(age > 365);
    }
  });
});

describe("the three end-to-end tests of the report", () => {
  test("test_full_backup_and_cleanup_workflow", async () => {
    const database = await postgres.createDatabase();
    await fillSampleDatabase(postgres.connect(database), 0.2);
    await using at = await retained(postgres, { storages: CLOUDS, databases: [database] });
    const id = await at.backup(0);
    expect(await at.record(id)).toMatchObject({ status: "VERIFIED", kind: "dump", encryption: "age" });
    for (const name of CLOUDS) expect(await at.objects(name, id)).toHaveLength(2);
    await at.age(id, 35);
    const { storages, records_deleted, temporary_files_deleted, outcome } = await clean(at);
    expect(outcome).toBe("OK");
    expect(storages).toMatchObject({ disk: { deleted: 1 }, r2: { deleted: 0 }, b2: { deleted: 0 } });
    expect({ records_deleted, temporary_files_deleted }).toEqual({
      records_deleted: 0,
      temporary_files_deleted: 0,
    });
    expect(await at.objects("disk", id)).toEqual([]);
    for (const cloud of ["r2", "b2"]) expect(await at.objects(cloud, id)).toHaveLength(2);
    expect(await at.states(id)).toBe("b2:CONFIRMED disk:DELETED r2:CONFIRMED");
    expect(await at.record(id)).toMatchObject({ status: "VERIFIED" });
    // Repair does not restore copies that retention has removed.
    expect((await at.installation.ok("repair", "--json")).json.copies).toEqual([]);
    expect(await at.objects("disk", id)).toEqual([]);
    const verdicts = (await at.installation.ok("show", id, "--json")).json;
    expect(verdicts.status).toBe("VERIFIED");
  });

  test("test_cleanup_preserves_recent_real_backups", async () => {
    const database = await postgres.createDatabase();
    await fillSampleDatabase(postgres.connect(database), 0.1);
    await using at = await retained(postgres, { storages: CLOUDS, databases: [database] });
    const id = await at.backup(0);
    await clean(at);
    expect(await at.states(id)).toBe("b2:CONFIRMED disk:CONFIRMED r2:CONFIRMED");
    const verdicts = (await at.installation.ok("verify", "--all", "--json")).json.copies;
    expect(verdicts.map(({ verdict }: { verdict: string }) => verdict)).toEqual(["good", "good", "good"]);
  });

  test("test_cleanup_with_cloud_storage", async () => {
    await using at = await retained(postgres, { storages: CLOUDS });
    const old = await at.backup(400);
    const newer = await at.backup(0);
    await clean(at);
    for (const name of CLOUDS) expect(await at.objects(name, old)).toEqual([]);
    for (const name of CLOUDS) expect(await at.objects(name, newer)).toHaveLength(2);
    // The other database, which has no newer backup, keeps its last copy and raises an alert.
    await at.age(newer, 400);
    const { storages, decisions } = await clean(at);
    expect(storages.r2.deleted + storages.b2.deleted + storages.disk.deleted).toBe(2);
    const held = decisions.filter(({ guard }: { guard: string | null }) => guard === "newest-good");
    expect(held).toMatchObject([{ backup_id: newer, action: "keep" }]);
    expect(held[0].reason).toContain("the newest good backup");
    expect(await at.objects(held[0].storage, newer)).toHaveLength(2);
    expect(await at.record(newer)).toBeDefined();
    const warnings = (await alertsOf(at)).filter(({ level }) => level === "WARNING");
    // It has also lost the mark "3 copies": a backup of 400 days ago is no copy of the data any more.
    const [[ruled], alerts] = [true, false].map((isRule) =>
      warnings.filter(({ key }) => key.startsWith("rule ") === isRule),
    ) as [typeof warnings, typeof warnings];
    expect(ruled?.message).toContain("is older than");
    expect(alerts).toMatchObject([{ job: "cleanup", message: expect.stringContaining("newest good") }]);
  });
});

describe("upload, download, exists and delete on each storage", () => {
  test.each(["disk", "r2", "b2"] as const)("%s", async (name) => {
    await using at = await retained(postgres, { storages: [name] });
    const { installation } = at;
    const id = await at.backup(0);
    expect(await at.objects(name, id)).toHaveLength(2);
    const [verdict] = (await installation.ok("verify", "--all", "--json")).json.copies;
    expect(verdict).toMatchObject({ storage: name, verdict: "good" });
    const dump = join(installation.directory, "dump");
    await installation.ok("restore", id, "--output", dump);
    expect((await stat(dump)).size).toBe((await at.record(id))?.dump_bytes ?? -1);
    const { copies, records_deleted } = (await installation.ok("delete", id, "--force", "--json")).json;
    expect(copies).toMatchObject([{ storage: name, outcome: "deleted" }]);
    expect(records_deleted).toBe(1);
    expect(await at.objects(name, id)).toEqual([]);
    expect(await at.record(id)).toBeUndefined();
  });
});
