import { describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectRetentionCommand,
} from "@aws-sdk/client-s3";
import { DAY_MS } from "../../../src/base/limits.ts";
import { runCleanup } from "../../../src/jobs/cleanup/cleanup.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { copyIn, LOCK, lockDays, locked, lockingBucket } from "../../lab/locking.ts";
import { contextAhead, retained } from "../../lab/retained.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { allowAll, deny, rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

describe("a backup to a bucket with Object Lock", () => {
  test("is locked with its manifest, and our own key cannot delete it", async () => {
    const { at, bucket } = await locked(postgres);
    await using _ = at;
    const id = await at.backup(0);
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
    const copy = await copyIn(at, "r2", id);
    expect(copy).toMatchObject({ state: "CONFIRMED", lock_mode: "governance", lock_error: null });
    expect((Date.parse(copy?.locked_until ?? "") - Date.now()) / DAY_MS).toBeCloseTo(3, 1);
    expect(copy?.locked_checked_at).not.toBeNull();
    expect(await at.openAlerts()).toEqual([]);
    const { client } = await rgw();
    const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    const own = Versions.filter(({ Key = "" }) => Key.includes("/backup_"));
    expect(own).toHaveLength(2);
    for (const { Key, VersionId } of own)
      await expect(
        client.send(new DeleteObjectCommand({ Bucket: bucket, Key, VersionId })),
      ).rejects.toMatchObject({ name: "AccessDenied" });
    const deleted = await at.installation.run("delete", id, "--force", "--json");
    expect(deleted).toMatchObject({ exitCode: 3, json: { records_deleted: 0 } });
    expect(deleted.json.copies.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      "deleted",
      "locked",
    ]);
    expect(await at.objects("r2", id)).toHaveLength(2);
    await at.installation.ok("verify", id);
  });

  test("in parts is locked too", async () => {
    const database = await postgres.createDatabase();
    await fillNoiseDatabase(postgres.connect(database), 14);
    const { at, bucket } = await locked(postgres, { databases: [database] });
    await using _ = at;
    const id = await at.backup(0);
    expect((await at.record(id))?.object_bytes).toBeGreaterThan(5 * 1024 * 1024);
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
    expect(await copyIn(at, "r2", id)).toMatchObject({ lock_mode: "governance", lock_error: null });
    await at.installation.ok("restore", id, "--output", join(at.installation.directory, "dump"));
  });

  test("whose object alone was hidden is made again by repair, beside its locked manifest", async () => {
    const { at, bucket } = await locked(postgres);
    await using _ = at;
    const id = await at.backup(0);
    const [object = ""] = await at.objects("r2", id);
    const { client } = await rgw();
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `pg321/${object}` }));
    await at.installation.run("verify", id);
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:MISSING");
    await at.installation.ok("repair");
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:CONFIRMED");
    await at.installation.ok("verify", id);
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
  });

  test.each([
    ["made by repair is locked", 0, "", 3],
    [
      "made by repair is locked no longer than its [[database]] table keeps it",
      2,
      '[[database]]\nname = "*"\nkeep = { days = 4 }',
      2,
    ],
  ])("%s", async (_title, age, more, days) => {
    const { at, bucket } = await locked(postgres, { more });
    await using _ = at;
    const id = await at.backup(0);
    const [object = "", manifest = ""] = await at.objects("r2", id);
    const { client } = await rgw();
    // Hidden behind a delete marker, which is all that our own key can do.
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `pg321/${object}` }));
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `pg321/${manifest}` }));
    await at.installation.run("verify", id);
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:MISSING");
    await at.age(id, age);
    await at.installation.ok("repair");
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(days, 1), expect.closeTo(days, 1)]);
  });
});

describe("cleanup", () => {
  test("extends the lock of a copy that stays, and only if it would run out", async () => {
    await using proxy = startHttpProxy((await rgw()).endpoint);
    let days = 0;
    // The server's clock goes with that of this host.
    proxy.answer = async (request) => {
      const answer = await request.forward();
      answer.headers.set("date", new Date(Date.now() + days * DAY_MS).toUTCString());
      return answer;
    };
    const settings = { r2: { ...LOCK, endpoint: proxy.endpoint } };
    const { at, bucket } = await locked(postgres, { settings });
    await using _ = at;
    const id = await at.backup(0);
    const clean = async (ahead: number) => {
      days = ahead;
      await using context = await contextAhead(at, ahead * 24);
      const { statistics } = await runCleanup(context, {});
      expect(statistics).toMatchObject({ clock_suspected: false });
      return statistics;
    };
    expect(await clean(0.5)).toMatchObject({ locks_renewed: 0, errors: [] });
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
    expect(await clean(1.5)).toMatchObject({ locks_renewed: 1, errors: [] });
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(4.5, 1), expect.closeTo(4.5, 1)]);
    const { locked_until } = (await copyIn(at, "r2", id)) ?? {};
    expect((Date.parse(locked_until ?? "") - Date.now()) / DAY_MS).toBeCloseTo(4.5, 1);
    // Many days later, when only a hold keeps the backup.
    await at.installation.ok("hold", id);
    days = 0;
    await at.backup(0);
    expect(await clean(40)).toMatchObject({ locks_renewed: 2 });
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(43, 1), expect.closeTo(43, 1)]);
  });

  test("tries at once to make governance locks compliance if the config wants that, and says if they stay", async () => {
    await using proxy = startHttpProxy((await rgw()).endpoint);
    let mayChange = false;
    // Ceph wants this right for the change; other servers do not.
    proxy.answer = async (request) => {
      const headers = new Headers(request.headers);
      headers.set("x-amz-bypass-governance-retention", "true");
      return request.forward(mayChange && request.target.includes("retention") ? { headers } : {});
    };
    const settings = { r2: { ...LOCK, endpoint: proxy.endpoint } };
    const { at, bucket } = await locked(postgres, { settings });
    await using _ = at;
    const { installation } = at;
    const refused = await at.backup(0);
    const config = await Bun.file(installation.configFile).text();
    await Bun.write(installation.configFile, config.replace("governance", "compliance"));
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, locks_renewed: 0 });
    expect(await copyIn(at, "r2", refused)).toMatchObject({
      lock_mode: "governance",
      lock_error: "it stays in governance mode: the storage has not changed it to compliance",
    });
    expect(await at.openAlerts()).toEqual([]);

    await Bun.write(installation.configFile, config);
    const allowed = await at.backup(0);
    await Bun.write(installation.configFile, config.replace("governance", "compliance"));
    mayChange = true;
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, locks_renewed: 1 });
    expect(await copyIn(at, "r2", allowed)).toMatchObject({ lock_mode: "compliance", lock_error: null });
    expect(await lockDays(at, bucket, allowed)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
    // A refusal is not repeated before the lock is extended.
    expect(await copyIn(at, "r2", refused)).toMatchObject({ lock_mode: "governance" });
    expect(await at.cleanup()).toMatchObject({ locks_renewed: 0 });
  });

  test("keeps an expired copy until its lock ends, and deletes it then", async () => {
    const { at, bucket } = await locked(postgres, {
      settings: { disk: { "keep.days": 1 }, r2: { ...LOCK, "lock.days": 1, "keep.days": 1 } },
    });
    await using _ = at;
    const old = await at.backup(2);
    await at.backup(0);
    const { decisions, exitCode } = await at.cleanup("--dry-run");
    expect(exitCode).toBe(0);
    expect(
      decisions.find(
        (one: { backup_id: string; storage: string }) => one.backup_id === old && one.storage === "r2",
      ),
    ).toMatchObject({ action: "keep", guard: "locked", reason: expect.stringContaining("but locked until") });
    expect(await at.cleanup()).toMatchObject({
      exitCode: 0,
      storages: { r2: { held: 1, deleted: 0, failed: 0 } },
    });
    expect(await at.states(old)).toBe("disk:DELETED r2:CONFIRMED");
    // The record is lost: the storage's refusal holds the copy all the same.
    await withCatalog(at.installation, (catalog) => catalog.updateCopy(old, "r2", { locked_until: null }));
    const held = await at.cleanup();
    expect(held).toMatchObject({ exitCode: 0, outcome: "OK", storages: { r2: { held: 1, failed: 0 } } });
    expect(held.notes).toContainEqual(
      expect.objectContaining({
        storage: "r2",
        note: expect.stringMatching(/^held until 20.*: it is locked$/),
      }),
    );
    expect(await lockDays(at, bucket, old)).toEqual([expect.closeTo(1, 1), expect.closeTo(1, 1)]);
  });
});

describe("what the storage says", () => {
  test("counts: a lock that could not be read is locked later, and one that somebody ended is found", async () => {
    const { at, bucket } = await locked(postgres);
    await using _ = at;
    const lab = await rgw();
    await deny(lab, bucket, "s3:GetObjectRetention");
    const id = await at.backup(0);
    const problem = "the access key may not read locks (s3:GetObjectRetention)";
    expect(await copyIn(at, "r2", id)).toMatchObject({ locked_until: null, lock_error: problem });
    const shown = await at.installation.ok("show", id);
    expect(shown.stdout).toContain(problem);
    const alerts = await at.openAlerts();
    expect(alerts.find(({ key }) => key === "lock storage r2")?.message).toContain(problem);
    // The lost mark has this cause, so it sends no notice of its own.
    expect(alerts.filter(({ acknowledged_at }) => acknowledged_at === null)).toHaveLength(1);
    await allowAll(lab, bucket);
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, locks_renewed: 1 });
    expect(await at.openAlerts()).toEqual([]);
    expect(await copyIn(at, "r2", id)).toMatchObject({ lock_mode: "governance", lock_error: null });
    expect((await at.installation.ok("list")).stdout).toMatch(
      /r2 \(locked until 20\d\d-\d\d-\d\d, governance\)/,
    );
    expect((await at.installation.ok("show", id)).stdout).toMatch(
      /locked until 20\S+ \S+ UTC \(governance\)/,
    );

    const [object] = await at.objects("r2", id);
    await lab.client.send(
      new PutObjectRetentionCommand({
        Bucket: bucket,
        Key: `pg321/${object}`,
        Retention: { Mode: "GOVERNANCE", RetainUntilDate: new Date(Date.now() + 60_000) },
        BypassGovernanceRetention: true,
      }),
    );
    await at.installation.ok("verify", id);
    const ended = (await at.openAlerts()).find(({ key }) => key === "lock storage r2");
    expect(ended?.message).toContain("somebody ended it");
    expect(await at.cleanup()).toMatchObject({ locks_renewed: 1 });
    expect(await lockDays(at, bucket, id)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
    expect(await at.openAlerts()).toEqual([]);
  });

  test("counts only for the bucket that the config names: another one has no such lock", async () => {
    const { at, bucket } = await locked(postgres);
    await using _ = at;
    const { installation } = at;
    const id = await at.backup(0);
    const listed = async () => (await installation.ok("list")).stdout;
    expect(await listed()).toMatch(/r2 \(locked until /);
    const config = await Bun.file(installation.configFile).text();
    await Bun.write(installation.configFile, config.replaceAll(bucket, `other-${bucket}`));
    expect(await listed()).not.toContain("locked until");
    expect((await installation.ok("show", id)).stdout).toContain("its lock was confirmed at another place");
    const { marks } = (await installation.run("status", "--json")).json.databases[0];
    expect(marks.find(({ rule }: { rule: string }) => rule === "immutable")).toMatchObject({
      state: "lost",
      sentence: expect.stringContaining("its lock was confirmed at another place"),
    });
    await Bun.write(installation.configFile, config);
    expect(await listed()).toMatch(/r2 \(locked until /);
  });

  test("is read when a lost catalog is rebuilt", async () => {
    const { at } = await locked(postgres);
    await using _ = at;
    const id = await at.backup(0);
    const before = await copyIn(at, "r2", id);
    await rm(join(at.installation.directory, "state"), { recursive: true });
    await at.installation.ok("cleanup", "--adopt");
    const { locked_until, lock_mode } = (await copyIn(at, "r2", id)) ?? {};
    expect({ locked_until, lock_mode }).toEqual({
      locked_until: before?.locked_until ?? "",
      lock_mode: "governance",
    });
  });

  test("decides in an archive too", async () => {
    const bucket = await lockingBucket();
    const at = await retained(postgres, {
      storages: ["disk", "r2"],
      buckets: { r2: bucket },
      settings: { disk: { "keep.days": 1, "expire.archive_to": "r2" }, r2: LOCK },
    });
    await using _ = at;
    const old = await at.backup(2);
    await at.backup(0);
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, storages: { disk: { archived: 1 } } });
    expect(await lockDays(at, bucket, old)).toEqual([expect.closeTo(3, 1), expect.closeTo(3, 1)]);
    expect(await copyIn(at, "r2", old)).toMatchObject({ lock_mode: "governance", lock_error: null });
  });
});
