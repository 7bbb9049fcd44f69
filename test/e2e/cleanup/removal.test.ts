import { describe, expect, test } from "bun:test";
import {
  CreateBucketCommand,
  ListObjectVersionsCommand,
  PutObjectRetentionCommand,
} from "@aws-sdk/client-s3";
import { timeText } from "../../../src/base/text/zoned-time.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { brieflyKept, retained } from "../../lab/retained.ts";
import { allowAll, deny, rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();

describe("deleting for real", () => {
  test("without the right to delete versions a copy is hidden and still billed, until the key gets that right", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket({ versioned: true });
    await using at = await brieflyKept(postgres, { buckets: { r2: bucket } });
    const old = await at.backup(2);
    await at.backup(0);
    await deny(lab, bucket, "s3:DeleteObjectVersion");
    for (let time = 0; time < 2; time++) {
      const { exitCode, storages, notes, records_deleted } = await at.cleanup();
      expect(exitCode).toBe(3);
      expect(storages.r2).toMatchObject({ hidden: 1, deleted: 0, failed: 0, bytes_freed: 0 });
      expect(notes).toEqual([
        expect.objectContaining({ storage: "r2", note: expect.stringContaining("s3:DeleteObjectVersion") }),
      ]);
      expect(records_deleted).toBe(0);
      expect(await at.states(old)).toBe("disk:DELETED r2:HIDDEN");
      expect(await at.objects("r2", old)).toEqual([]);
    }
    const [alert] = await at.openAlerts();
    expect(alert).toMatchObject({
      level: "WARNING",
      count: 2,
      message: expect.stringContaining("still billed"),
    });
    await allowAll(lab, bucket);
    expect(await at.cleanup()).toMatchObject({
      exitCode: 0,
      records_deleted: 1,
      storages: { r2: { deleted: 1 } },
    });
    const { Versions = [], DeleteMarkers = [] } = await lab.client.send(
      new ListObjectVersionsCommand({ Bucket: bucket }),
    );
    // The newer backup (object and manifest) and the storage's marker are left.
    expect([Versions.length, DeleteMarkers.length]).toEqual([3, 0]);
    expect(await at.openAlerts()).toEqual([]);
  });

  test("a locked copy is held until its date, which is not a failure", async () => {
    const lab = await rgw();
    const bucket = `locks-${crypto.randomUUID()}`;
    await lab.client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
    await using at = await brieflyKept(postgres, { buckets: { r2: bucket } });
    const old = await at.backup(2);
    await at.backup(0);
    const RetainUntilDate = new Date(Date.UTC(new Date().getUTCFullYear() + 2, 0, 1));
    for (const key of await at.objects("r2", old)) {
      const Retention = { Mode: "GOVERNANCE", RetainUntilDate } as const;
      await lab.client.send(
        new PutObjectRetentionCommand({ Bucket: bucket, Key: `pg321/${key}`, Retention }),
      );
    }
    const first = await at.cleanup();
    expect(first).toMatchObject({ exitCode: 0, outcome: "OK", storages: { r2: { held: 1, failed: 0 } } });
    expect(first.notes[0].note).toContain(timeText(RetainUntilDate));
    expect(await at.states(old)).toBe("disk:DELETED r2:CONFIRMED");
    expect(await at.objects("r2", old)).toHaveLength(2);
    const { decisions } = await at.cleanup("--dry-run");
    const decision = decisions.find((one: { backup_id: string }) => one.backup_id === old);
    expect(decision).toMatchObject({ storage: "r2", action: "keep", guard: "locked" });
    const deleted = await at.installation.run("delete", old, "--json");
    expect(deleted).toMatchObject({
      exitCode: 3,
      json: { copies: [{ outcome: "locked" }], records_deleted: 0 },
    });
  });

  test("a copy that pg321 did not remove and that is gone is missing, and nothing relies on it", async () => {
    await using at = await retained(postgres, { storages: ["disk", "r2"] });
    const id = await at.backup(40);
    await at.lose("r2", id);
    const { exitCode, storages, missing, errors } = await at.cleanup();
    expect(exitCode).toBe(3);
    expect(storages.disk).toMatchObject({ expired: 1, deleted: 0, held: 1 });
    expect(missing).toBe(1);
    expect(errors).toEqual([
      { storage: "r2", key: expect.any(String), error: expect.stringContaining("gone") },
    ]);
    expect(await at.states(id)).toBe("disk:CONFIRMED r2:MISSING");
    expect(await at.objects("disk", id)).toHaveLength(2);
    // Now the plan knows that the copy on disk is the last one.
    expect((await at.cleanup()).storages.disk).toMatchObject({ expired: 0, held: 1 });
  });

  test("an archive gets the copy unchanged, and only after confirmation is the original removed", async () => {
    const settings = { disk: { "expire.archive_to": "r2" } };
    await using at = await retained(postgres, { storages: ["disk", "r2"], settings });
    const old = await at.backup(0);
    const { started_at = "", object_bytes } = (await at.record(old)) ?? {};
    // An archive gets no backups directly, and repair does not fill it.
    expect(await at.states(old)).toBe("disk:CONFIRMED");
    expect((await at.installation.ok("repair", "--json")).json.copies).toEqual([]);
    await at.age(old, 31);
    await at.backup(0);
    const { exitCode, storages, records_deleted } = await at.cleanup();
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

  test("if the archive does not answer, the copy stays where it is", async () => {
    const settings = { disk: { "expire.archive_to": "r2" }, r2: { attempts: 1 } };
    await using at = await retained(postgres, { storages: ["disk", "r2"], settings });
    const old = await at.backup(31);
    await at.backup(0);
    const lab = await rgw();
    const place = at.places.get("r2");
    await deny(lab, place && "bucket" in place ? place.bucket : "", "s3:PutObject");
    const { exitCode, storages, errors } = await at.cleanup();
    expect(exitCode).toBe(13);
    expect(storages.disk).toMatchObject({ archived: 0, failed: 1 });
    expect(errors[0].error).toContain("denied");
    expect(await at.objects("disk", old)).toHaveLength(2);
    expect(await at.states(old)).toStartWith("disk:CONFIRMED");
  });

  test("a copy that the provider's rule removes is left to it, and its record is updated", async () => {
    const settings = { r2: { "keep.days": 10, expire: "provider-lifecycle" } };
    await using at = await retained(postgres, { storages: ["r2"], settings });
    const [gone, late] = [await at.backup(12), await at.backup(20)];
    await at.backup(0);
    await at.lose("r2", gone);
    const first = await at.cleanup();
    expect(first.storages.r2).toMatchObject({ expired: 0, deleted: 1, overdue: 1, failed: 0 });
    expect(await at.record(gone)).toBeUndefined();
    expect(await at.objects("r2", late)).toHaveLength(2);
    expect((await at.openAlerts())[0]).toMatchObject({
      level: "WARNING",
      message: expect.stringContaining("provider"),
    });
    await at.age(late, 12);
    expect(await at.cleanup()).toMatchObject({ exitCode: 0, storages: { r2: { overdue: 0 } } });
  });
});
