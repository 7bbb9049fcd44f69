import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmdirSync } from "node:fs";
import { rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from "@aws-sdk/client-s3";
import { $ } from "bun";
import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { loadConfig } from "../../src/config/load.ts";
import { runCleanup } from "../../src/jobs/cleanup.ts";
import type { JobContext } from "../../src/jobs/context.ts";
import { openContext } from "../../src/jobs/context.ts";
import { silentProgress } from "../../src/jobs/progress.ts";
import { startHttpProxy } from "../lab/http-proxy.ts";
import { keysIn, leftovers, withCatalog } from "../lab/leftovers.ts";
import type { Retained, RetainedOptions } from "../lab/retained.ts";
import { retained } from "../lab/retained.ts";
import { pgDumpOf, watched } from "../lab/running.ts";
import { allowAll, deny, freePort, rgw } from "../lab/s3.ts";
import { usePostgres } from "../lab/use-postgres.ts";

const postgres = usePostgres();

/** A day is all that these storages keep, and one try all that they make. */
const BRIEFLY = { disk: { "keep.days": 1 }, r2: { "keep.days": 1, attempts: 1 } };
const brieflyKept = (options: RetainedOptions = {}) =>
  retained(postgres, { storages: ["disk", "r2"], settings: BRIEFLY, ...options });

async function cleanup({ installation }: Retained, ...words: string[]) {
  const { exitCode, json } = await installation.run("cleanup", "--json", ...words);
  return { exitCode, ...json };
}

function canMount(): boolean {
  const where = mkdtempSync(join(tmpdir(), "pg321-mount-"));
  const { exitCode } = Bun.spawnSync(["sh", "-c", `mount -t tmpfs tmpfs ${where} && umount ${where}`]);
  rmdirSync(where);
  return exitCode === 0;
}

const openAlerts = ({ installation }: Retained) =>
  withCatalog(installation, (catalog) => catalog.alerts({ open: true }));

/** A context whose clock is so many hours ahead of everybody else's. */
async function contextAhead({ installation }: Retained, hours: number): Promise<JobContext> {
  const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + hours * 3_600_000) };
  const source = { env: {}, credentialsDirectory: undefined };
  return openContext({
    config: await loadConfig(installation.configFile, source),
    log: silentLog,
    clock,
    signal: new AbortController().signal,
    progress: silentProgress,
  });
}

describe("deleting for real", () => {
  test("where versions may not be deleted the copy is hidden and still billed, until they may", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket({ versioned: true });
    await using at = await brieflyKept({ buckets: { r2: bucket } });
    const old = await at.backup(2);
    await at.backup(0);
    await deny(lab, bucket, "s3:DeleteObjectVersion");
    for (let time = 0; time < 2; time++) {
      const { exitCode, storages, notes, records_deleted } = await cleanup(at);
      expect(exitCode).toBe(3);
      expect(storages.r2).toMatchObject({ hidden: 1, deleted: 0, failed: 0, bytes_freed: 0 });
      expect(notes).toEqual([
        expect.objectContaining({ storage: "r2", note: expect.stringContaining("s3:DeleteObjectVersion") }),
      ]);
      expect(records_deleted).toBe(0);
      expect(await at.states(old)).toBe("disk:DELETED r2:HIDDEN");
      expect(await at.objects("r2", old)).toEqual([]);
    }
    const [alert] = await openAlerts(at);
    expect(alert).toMatchObject({
      level: "WARNING",
      count: 2,
      message: expect.stringContaining("still billed"),
    });
    await allowAll(lab, bucket);
    expect(await cleanup(at)).toMatchObject({
      exitCode: 0,
      records_deleted: 1,
      storages: { r2: { deleted: 1 } },
    });
    const { Versions = [], DeleteMarkers = [] } = await lab.client.send(
      new ListObjectVersionsCommand({ Bucket: bucket }),
    );
    // What is left is the newer backup: its object and its manifest.
    expect([Versions.length, DeleteMarkers.length]).toEqual([2, 0]);
    expect(await openAlerts(at)).toEqual([]);
  });

  test("a locked copy is held until its date, and is no failure", async () => {
    const lab = await rgw();
    const bucket = `locks-${crypto.randomUUID()}`;
    await lab.client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
    await using at = await brieflyKept({ buckets: { r2: bucket } });
    const old = await at.backup(2);
    await at.backup(0);
    const RetainUntilDate = new Date(Date.UTC(new Date().getUTCFullYear() + 2, 0, 1));
    for (const key of await at.objects("r2", old)) {
      const Retention = { Mode: "GOVERNANCE", RetainUntilDate } as const;
      await lab.client.send(
        new PutObjectRetentionCommand({ Bucket: bucket, Key: `pg321/${key}`, Retention }),
      );
    }
    const first = await cleanup(at);
    expect(first).toMatchObject({ exitCode: 0, outcome: "OK", storages: { r2: { held: 1, failed: 0 } } });
    expect(first.notes[0].note).toContain(RetainUntilDate.toISOString());
    expect(await at.states(old)).toBe("disk:DELETED r2:CONFIRMED");
    expect(await at.objects("r2", old)).toHaveLength(2);
    const { decisions } = await cleanup(at, "--dry-run");
    const decision = decisions.find((one: { backup_id: string }) => one.backup_id === old);
    expect(decision).toMatchObject({ storage: "r2", action: "keep", guard: "locked" });
    const deleted = await at.installation.run("delete", old, "--json");
    expect(deleted).toMatchObject({
      exitCode: 3,
      json: { copies: [{ outcome: "locked" }], records_deleted: 0 },
    });
  });

  test("a copy that is gone is missing when nothing had asked for that, and nothing relies on it", async () => {
    await using at = await retained(postgres, { storages: ["disk", "r2"] });
    const id = await at.backup(40);
    await at.lose("r2", id);
    const { exitCode, storages, missing, errors } = await cleanup(at);
    expect(exitCode).toBe(3);
    expect(storages.disk).toMatchObject({ expired: 1, deleted: 0, held: 1 });
    expect(missing).toBe(1);
    expect(errors).toEqual([
      { storage: "r2", key: expect.any(String), error: expect.stringContaining("gone") },
    ]);
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:MISSING");
    expect(await at.objects("disk", id)).toHaveLength(2);
    // The plan knows it now: the copy on disk is the last one.
    expect((await cleanup(at)).storages.disk).toMatchObject({ expired: 0, held: 1 });
  });

  test("an archive gets the copy as it is, confirms it, and only then it leaves", async () => {
    const settings = { disk: { "expire.archive_to": "r2" } };
    await using at = await retained(postgres, { storages: ["disk", "r2"], settings });
    const old = await at.backup(0);
    const { started_at = "", object_bytes } = (await at.record(old)) ?? {};
    // What only takes from others gets no backup of its own, and repair fills nothing in.
    expect(await at.states(old)).toBe("disk:CONFIRMED");
    expect((await at.installation.ok("repair", "--json")).json.copies).toEqual([]);
    await at.age(old, 31);
    await at.backup(0);
    const { exitCode, storages, records_deleted } = await cleanup(at);
    expect(exitCode).toBe(0);
    expect(storages.disk).toMatchObject({ expired: 1, archived: 1, deleted: 0, bytes_freed: object_bytes });
    expect(records_deleted).toBe(0);
    expect(await at.states(old)).toBe("disk:DELETED r2:CONFIRMED");
    expect(await at.objects("disk", old)).toEqual([]);
    expect((await at.installation.ok("repair", "--json")).json.copies).toEqual([]);
    await withCatalog(at.installation, (catalog) => catalog.updateBackup(old, { started_at }));
    const [verdict] = (await at.installation.ok("verify", old, "--json")).json.copies;
    expect(verdict).toMatchObject({ storage: "r2", verdict: "good", segments_checked: true });
  });

  test("an archive that does not answer leaves the copy where it is", async () => {
    const settings = { disk: { "expire.archive_to": "r2" }, r2: { attempts: 1 } };
    await using at = await retained(postgres, { storages: ["disk", "r2"], settings });
    const old = await at.backup(31);
    await at.backup(0);
    const lab = await rgw();
    const place = at.places.get("r2");
    await deny(lab, place && "bucket" in place ? place.bucket : "", "s3:PutObject");
    const { exitCode, storages, errors } = await cleanup(at);
    expect(exitCode).toBe(13);
    expect(storages.disk).toMatchObject({ archived: 0, failed: 1 });
    expect(errors[0].error).toContain("denied");
    expect(await at.objects("disk", old)).toHaveLength(2);
    expect(await at.states(old)).toStartWith("disk:CONFIRMED");
  });

  test("what a provider's rule removes is left to it, and its record follows", async () => {
    const settings = { r2: { "keep.days": 10, expire: "provider-lifecycle" } };
    await using at = await retained(postgres, { storages: ["r2"], settings });
    const [gone, late] = [await at.backup(12), await at.backup(20)];
    await at.backup(0);
    await at.lose("r2", gone);
    const first = await cleanup(at);
    expect(first.storages.r2).toMatchObject({ expired: 0, deleted: 1, overdue: 1, failed: 0 });
    expect(await at.record(gone)).toBeUndefined();
    expect(await at.objects("r2", late)).toHaveLength(2);
    expect((await openAlerts(at))[0]).toMatchObject({
      level: "WARNING",
      message: expect.stringContaining("provider"),
    });
    await at.age(late, 12);
    expect(await cleanup(at)).toMatchObject({ exitCode: 0, storages: { r2: { overdue: 0 } } });
  });
});

describe("trouble on the way", () => {
  test("a storage that does not answer: what relies on it is held, the others go on", async () => {
    await using at = await brieflyKept();
    const [old, newest] = [await at.backup(3), await at.backup(2)];
    const lab = await rgw();
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const lines = (await Bun.file(at.installation.configFile).text()).replaceAll(lab.endpoint, endpoint);
    await Bun.write(at.installation.configFile, lines);
    const { exitCode, storages } = await cleanup(at);
    expect(exitCode).toBe(3);
    expect(storages).toMatchObject({ disk: { deleted: 0, held: 2 }, r2: { deleted: 0 } });
    expect(await at.objects("disk", newest)).toHaveLength(2);
    expect(await at.objects("disk", old)).toHaveLength(2);
    await Bun.write(at.installation.configFile, lines.replaceAll(endpoint, lab.endpoint));
    expect((await cleanup(at)).storages.disk.deleted).toBeGreaterThan(0);
  });

  test("a local directory that has vanished: told, and the bucket is cleaned up all the same", async () => {
    await using at = await brieflyKept();
    const old = await at.backup(2);
    await at.backup(0);
    const disk = join(at.installation.directory, "disk");
    await rename(disk, `${disk}.away`);
    const { exitCode, storages, errors } = await cleanup(at);
    expect(exitCode).toBe(3);
    expect(storages).toMatchObject({ disk: { failed: 1, deleted: 0 }, r2: { deleted: 1, failed: 0 } });
    expect(errors[0]).toMatchObject({ storage: "disk", error: expect.stringContaining("does not exist") });
    expect(await at.states(old)).toBe("disk:CONFIRMED r2:DELETED");
    await rename(`${disk}.away`, disk);
    expect(await cleanup(at)).toMatchObject({ exitCode: 0, records_deleted: 1 });
  });

  // Root writes wherever a mode forbids it, so it takes a mount; a container may not let root do that.
  test.if(canMount())("a disk that has turned read-only: told, and ended by a later run", async () => {
    await using at = await retained(postgres, { settings: BRIEFLY });
    const disk = join(at.installation.directory, "disk");
    await $`mount -t tmpfs -o size=64m,mode=700 tmpfs ${disk}`.quiet();
    try {
      const old = await at.backup(2);
      await at.backup(0);
      await $`mount -o remount,ro ${disk}`.quiet();
      const { exitCode, errors } = await cleanup(at);
      expect(exitCode).toBe(13);
      expect(errors[0].error).toContain("read-only");
      expect(await at.states(old)).toBe("disk:DELETING");
      expect(await openAlerts(at)).toMatchObject([
        { job: "cleanup", level: "CRITICAL", metadata: { errors } },
      ]);
      await $`mount -o remount,rw ${disk}`.quiet();
      expect(await cleanup(at)).toMatchObject({ exitCode: 0, records_deleted: 1 });
    } finally {
      await $`umount ${disk}`.quiet();
    }
  });

  test("a run killed between deletion and record is ended by the next; a second one at once is refused", async () => {
    const lab = await rgw();
    await using proxy = startHttpProxy(lab.endpoint);
    await using at = await brieflyKept();
    const old = await at.backup(2);
    await at.backup(0);
    const file = at.installation.configFile;
    const direct = await Bun.file(file).text();
    await Bun.write(file, direct.replaceAll(lab.endpoint, proxy.endpoint));
    let isDeleted = false;
    proxy.answer = async ({ method, target, forward }) => {
      if (isDeleted) return new Promise<Response>(() => {});
      const answer = await forward();
      if (method === "DELETE" && !target.includes(".json")) isDeleted = true;
      return answer;
    };
    const running = watched(at.installation.start("cleanup"));
    await running.until("the object is deleted", () => isDeleted);
    await Bun.write(file, direct);
    const second = await at.installation.run("cleanup");
    expect(second.exitCode).toBe(11);
    expect(second.stderr).toContain("held by run");
    running.kill("SIGKILL");
    await running.ended;
    expect(await at.states(old)).toBe("disk:DELETED r2:DELETING");
    expect(await at.objects("r2", old)).toEqual([]);
    const { exitCode, storages, records_deleted } = await cleanup(at);
    expect({ exitCode, records_deleted }).toEqual({ exitCode: 0, records_deleted: 1 });
    expect(storages.r2).toMatchObject({ deleted: 1, failed: 0 });
    expect(await leftovers(at.installation, [...at.places.values()])).toEqual([]);
  });

  test("a removal that was begun is not ended when it would take what has become the last copy", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    await using at = await brieflyKept({ buckets: { r2: bucket } });
    const [old, newest] = [await at.backup(2), await at.backup(0)];
    await deny(lab, bucket, "s3:DeleteObject", "s3:DeleteObjectVersion");
    expect((await cleanup(at)).storages.r2).toMatchObject({ failed: 1 });
    expect(await at.states(old)).toBe("disk:DELETED r2:DELETING");
    await allowAll(lab, bucket);
    for (const storage of ["disk", "r2"]) await at.lose(storage, newest);
    const { exitCode, storages } = await cleanup(at);
    expect(exitCode).toBe(3);
    expect(storages.r2).toMatchObject({ deleted: 0, held: 1 });
    expect(await at.objects("r2", old)).toHaveLength(2);
    const third = await at.backup(0);
    expect(await cleanup(at)).toMatchObject({ storages: { r2: { deleted: 1 } } });
    expect(await at.objects("r2", third)).toHaveLength(2);
  });

  test("a database that is being backed up is left for the next run", async () => {
    const database = await postgres.createDatabase();
    await using at = await retained(postgres, { databases: [database], settings: BRIEFLY });
    const sql = postgres.connect(database);
    await sql`create table busy (id int)`;
    const old = await at.backup(2);
    await at.backup(0);
    const release = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const lock = sql.begin(async (transaction) => {
      await transaction`lock table busy in access exclusive mode`;
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const running = watched(at.installation.start("backup"));
    await running.until("pg_dump waits for the lock", () => pgDumpOf(running.pid) !== undefined);
    const { exitCode, storages, notes } = await cleanup(at);
    expect(exitCode).toBe(0);
    expect(storages.disk).toMatchObject({ expired: 1, deleted: 0, held: 1, failed: 0 });
    expect(notes[0].note).toContain("held by run");
    expect(await at.objects("disk", old)).toHaveLength(2);
    release.resolve();
    await lock;
    expect((await running.ended).exitCode).toBe(0);
    expect((await cleanup(at)).storages.disk).toMatchObject({ deleted: 1 });
  });

  test("a clock that differs from the storage's by more than an hour lets nothing go", async () => {
    await using at = await brieflyKept();
    const old = await at.backup(2);
    await at.backup(0);
    await using context = await contextAhead(at, 2);
    const { run, statistics } = await runCleanup(context, {});
    expect(run?.outcome).toBe("PARTIAL");
    expect(statistics).toMatchObject({ clock_suspected: true, storages: { disk: { deleted: 0, held: 1 } } });
    expect(statistics.suspended[0]).toContain("clock");
    expect(await at.states(old)).toBe("disk:CONFIRMED r2:CONFIRMED");
  });
});

describe("what no record knows", () => {
  test("is told and never deleted; a backup of ours with a good manifest is adopted", async () => {
    await using at = await brieflyKept();
    const id = await at.backup(0);
    const place = at.places.get("r2");
    if (!place || !("bucket" in place)) throw new Error("no bucket");
    await place.lab.client.send(
      new PutObjectCommand({ Bucket: place.bucket, Key: "pg321/main/stray.txt", Body: "hello" }),
    );
    await withCatalog(at.installation, async (catalog) => {
      const backup = await catalog.backup(id);
      if (!backup) throw new Error("no record");
      const { server, database, kind, started_at, dump_bytes, object_bytes } = backup;
      await catalog.removeBackup({
        backup_id: id,
        server,
        database,
        kind,
        started_at,
        dump_bytes,
        object_bytes,
        was_good: true,
        removed_at: started_at,
        removed_by: "delete",
      });
    });
    const before = await keysIn(place);
    const told = await cleanup(at);
    expect(told.exitCode).toBe(0);
    expect(told.orphans).toEqual([
      { storage: "disk", objects: 2, bytes: expect.any(Number) },
      { storage: "r2", objects: 3, bytes: expect.any(Number) },
    ]);
    expect(told.orphan_objects).toContainEqual({ storage: "r2", key: "main/stray.txt", size_bytes: 5 });
    expect(await keysIn(place)).toEqual(before);
    expect(await at.record(id)).toBeUndefined();

    // A true manifest beside something else makes no backup of it.
    const [object = "", manifest = ""] = (await at.objects("r2", id)).toSorted();
    const { Body } = await place.lab.client.send(
      new GetObjectCommand({ Bucket: place.bucket, Key: `pg321/${manifest}` }),
    );
    const text = await Body?.transformToString();
    for (const [key, Body] of [
      [`${object}.copy`, "something else"],
      [`${object}.copy.json`, text],
    ] as const)
      await place.lab.client.send(new PutObjectCommand({ Bucket: place.bucket, Key: `pg321/${key}`, Body }));
    const adopting = await cleanup(at, "--adopt");
    expect(adopting).toMatchObject({
      exitCode: 0,
      adopted: 2,
      orphans: [{ storage: "r2", objects: 3, bytes: expect.any(Number) }],
    });
    expect(await at.record(id)).toMatchObject({ status: "VERIFIED" });
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:CONFIRMED");
    const verdicts = (await at.installation.ok("verify", "--json")).json.copies;
    expect(verdicts.map(({ verdict }: { verdict: string }) => verdict)).toEqual(["good", "good"]);
  });

  test("multipart uploads under the prefix go when they are old, and no others", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket();
    await using at = await retained(postgres, { storages: ["r2"], buckets: { r2: bucket } });
    for (const Key of ["pg321/main/left", "other/theirs"])
      await lab.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    expect(await cleanup(at)).toMatchObject({ exitCode: 0, multipart_uploads_aborted: 0 });
    // Eight days later: the clock is not trusted, so it takes a confirmation, too.
    await using context = await contextAhead(at, 8 * 24);
    const doubted = await runCleanup(context, {});
    expect(doubted.statistics).toMatchObject({ clock_suspected: true, multipart_uploads_aborted: 0 });
    const { statistics } = await runCleanup(context, { confirm: doubted.statistics.plan_hash ?? "" });
    expect(statistics.multipart_uploads_aborted).toBe(1);
    const { Uploads = [] } = await lab.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(Uploads.map(({ Key }) => Key)).toEqual(["other/theirs"]);
  });
});

describe("by hand", () => {
  test("a dry run tells of each copy, and changes nothing", async () => {
    await using at = await brieflyKept();
    const old = await at.backup(2);
    await at.backup(0);
    const before = await Bun.file(join(at.installation.directory, "state/catalog.db")).bytes();
    const text = (await at.installation.ok("cleanup", "--dry-run")).stdout;
    const { decisions, run_id } = await cleanup(at, "--dry-run");
    expect(run_id).toBeNull();
    expect(decisions.map(({ action }: { action: string }) => action).toSorted()).toEqual([
      "expire",
      "expire",
      "keep",
      "keep",
    ]);
    // Without the age, which has gone on since.
    for (const { reason } of decisions) expect(text).toContain(reason.split(" (")[0]);
    expect(await at.states(old)).toBe("disk:CONFIRMED r2:CONFIRMED");
    expect(await withCatalog(at.installation, (catalog) => catalog.runs({ job: "cleanup" }))).toEqual([]);
    expect(await Bun.file(join(at.installation.directory, "state/catalog.db")).bytes()).toEqual(before);
  });

  test("a hold keeps a backup from cleanup and from delete, until it is over", async () => {
    await using at = await retained(postgres, { settings: BRIEFLY });
    const old = await at.backup(2);
    await at.backup(0);
    const { installation } = at;
    expect((await installation.run("hold", old, "--until", "2001-01-01")).exitCode).toBe(2);
    await installation.ok("hold", old, "--until", "2099-12-31");
    const { storages, decisions } = await cleanup(at);
    expect(storages.disk).toMatchObject({ expired: 0, deleted: 0, held: 1 });
    expect(decisions.find((one: { backup_id: string }) => one.backup_id === old)).toMatchObject({
      guard: "held",
    });
    const refused = await installation.run("delete", old);
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("unhold") });
    await installation.ok("unhold", old);
    await installation.ok("delete", old);
    expect(await at.objects("disk", old)).toEqual([]);
    expect((await installation.ok("list", "--removed", "--json")).json.removed).toMatchObject([
      { backup_id: old, removed_by: "delete", was_good: true },
    ]);
  });

  test("delete refuses the newest good backup without --force", async () => {
    await using at = await retained(postgres);
    const id = await at.backup(0);
    const refused = await at.installation.run("delete", id);
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--force") });
    expect(await at.objects("disk", id)).toHaveLength(2);
    await at.installation.ok("delete", id, "--force");
    expect(await keysIn({ name: "disk", directory: join(at.installation.directory, "disk") })).toEqual([]);
  });

  test("forget deletes one database and no other, once its name is given again", async () => {
    const databases = [await postgres.createDatabase(), await postgres.createDatabase()] as const;
    await using at = await retained(postgres, { databases });
    await at.installation.ok("backup");
    await at.installation.ok("backup");
    const { installation } = at;
    const all = await installation.files("disk");
    for (const words of [
      [databases[0]],
      [databases[0], "--yes", databases[1]],
      ["nowhere", "--yes", "nowhere"],
    ])
      expect((await installation.run("forget", ...words)).exitCode).toBe(2);
    expect(await installation.files("disk")).toEqual(all);
    const { json, stderr } = await installation.ok("forget", databases[0], "--yes", databases[0], "--json");
    expect(stderr).toContain(`main/${databases[0]}: 2 backups`);
    expect(json.records_deleted).toBe(2);
    const left = await installation.files("disk");
    expect(left).toHaveLength(4);
    for (const file of left) expect(file).toStartWith(`main/${databases[1]}/`);
    const backups = (await installation.ok("list", "--json")).json.backups;
    expect(backups.map(({ database }: { database: string }) => database)).toEqual([
      databases[1],
      databases[1],
    ]);
  });
});
