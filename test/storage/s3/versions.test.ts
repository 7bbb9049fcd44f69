import { describe, expect, test } from "bun:test";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from "@aws-sdk/client-s3";
import { systemClock } from "../../../src/base/clock.ts";
import { PART_BYTES_MIN } from "../../../src/base/limits.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { partsOf } from "../../../src/stream/part.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { allowAll, deny, rgw, type S3Lab, swift } from "../../lab/servers/s3.ts";
import { patterned } from "../../suites/parts.ts";
import { openS3 } from "./under-test.ts";

const partBytes = PART_BYTES_MIN;
const never = new AbortController().signal;

const put = (storage: Storage, key: string) =>
  storage.put(key, partsOf(patterned(10)), { signal: never, partBytes });

describe("a bucket that keeps versions", () => {
  test("remove deletes every version and delete marker of the key, and only those", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket({ versioned: true });
    const storage = openS3(lab, bucket);
    await put(storage, "a.json");
    await put(storage, "a");
    const object = { Bucket: bucket, Key: "a" };
    await lab.client.send(new DeleteObjectCommand(object));
    await lab.client.send(new PutObjectCommand({ ...object, Body: "second" }));
    await storage.remove("a", never);
    const left = await lab.client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    expect(left.Versions?.map(({ Key }) => Key)).toEqual(["a.json"]);
    expect(left.DeleteMarkers ?? []).toEqual([]);
  });

  const versionsIn = async (lab: S3Lab, bucket: string) => {
    const { Versions = [], DeleteMarkers = [] } = await lab.client.send(
      new ListObjectVersionsCommand({ Bucket: bucket }),
    );
    return { versions: Versions.length, markers: DeleteMarkers.length };
  };

  test("if the access key may not list versions the object is hidden once, however often it is removed", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket({ versioned: true });
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async ({ method, target, forward }) =>
      method === "GET" && /[?&]versions/.test(target) ? new Response("", { status: 403 }) : forward();
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    await put(storage, "hidden");
    for (let time = 0; time < 2; time++) {
      expect(await storage.remove("hidden", never)).toEqual({ outcome: "hidden" });
      expect(await storage.head("hidden", never)).toBeUndefined();
      expect(await versionsIn(lab, bucket)).toEqual({ versions: 1, markers: 1 });
    }
    // Once the access key may, everything is removed.
    expect(await openS3(lab, bucket).remove("hidden", never)).toEqual({ outcome: "removed" });
    expect(await versionsIn(lab, bucket)).toEqual({ versions: 0, markers: 0 });
  });

  test("if a policy denies deleting versions the object is hidden once, until the policy allows it", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket({ versioned: true });
    const storage = openS3(lab, bucket);
    await put(storage, "denied");
    await deny(lab, bucket, "s3:DeleteObjectVersion");
    for (let time = 0; time < 2; time++) {
      expect(await storage.remove("denied", never)).toEqual({ outcome: "hidden" });
      expect(await versionsIn(lab, bucket)).toEqual({ versions: 1, markers: 1 });
    }
    await allowAll(lab, bucket);
    expect(await storage.remove("denied", never)).toEqual({ outcome: "removed" });
    expect(await versionsIn(lab, bucket)).toEqual({ versions: 0, markers: 0 });
  });

  test("a locked object is not changed, and head and remove report the end of the lock", async () => {
    const { lab, bucket, storage, RetainUntilDate } = await lockedObject();
    expect(await storage.head("locked", never)).toMatchObject({ lockedUntil: RetainUntilDate });
    expect(await storage.remove("locked", never)).toEqual({
      outcome: "locked",
      lockedUntil: RetainUntilDate,
    });
    expect(await storage.head("locked", never)).toMatchObject({ sizeBytes: 10 });
    expect(await versionsIn(lab, bucket)).toEqual({ versions: 1, markers: 0 });
  });

  test("a locked version behind an unlocked one protects all of them", async () => {
    const { lab, bucket, storage, object, RetainUntilDate } = await lockedObject();
    await lab.client.send(new PutObjectCommand({ ...object, Body: "newest" }));
    expect(await storage.head("locked", never)).not.toHaveProperty("lockedUntil");
    expect(await storage.remove("locked", never)).toEqual({
      outcome: "locked",
      lockedUntil: RetainUntilDate,
    });
    expect(await versionsIn(lab, bucket)).toEqual({ versions: 2, markers: 0 });
    expect(await storage.head("locked", never)).toMatchObject({ sizeBytes: 6 });
    // Behind a delete marker, too.
    await lab.client.send(new DeleteObjectCommand(object));
    expect(await storage.remove("locked", never)).toMatchObject({ outcome: "locked" });
    expect(await versionsIn(lab, bucket)).toEqual({ versions: 2, markers: 1 });
  });
});

describe("a list of versions that lags behind", () => {
  test.each([
    ["Ceph RGW", rgw, false],
    ["Ceph RGW with versions", rgw, true],
    ["OpenStack Swift", swift, false],
  ] as const)("%s: what it does not show yet goes all the same", async (_, start, versioned) => {
    const lab = await start();
    const bucket = await lab.makeBucket({ versioned });
    await using proxy = startHttpProxy(lab.endpoint);
    let listed = 0;
    let stale: string | undefined;
    proxy.answer = async (request) => {
      const answer = await request.forward();
      if (!/[?&]versions/.test(request.target)) return answer;
      listed++;
      stale ??= await answer.text();
      return new Response(stale, { status: 200, headers: { "content-type": "application/xml" } });
    };
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    expect(await storage.remove("late", never)).toEqual({ outcome: "removed" });
    const parts = partsOf(patterned(10));
    await openS3(lab, bucket).put("late", parts, { signal: never, partBytes });
    expect(await storage.remove("late", never)).toEqual({ outcome: "removed" });
    expect(listed).toBeGreaterThan(1);
    expect(await openS3(lab, bucket).head("late", never)).toBeUndefined();
    const left = await lab.client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    expect([...(left.Versions ?? []), ...(left.DeleteMarkers ?? [])]).toEqual([]);
  });

  test("deleted versions that it still shows do not count as left", async () => {
    const lab = await rgw();
    const bucket = await lab.makeBucket({ versioned: true });
    await using proxy = startHttpProxy(lab.endpoint);
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    await storage.put("gone", partsOf(patterned(10)), { signal: never, partBytes });
    let stale: string | undefined;
    proxy.answer = async (request) => {
      const answer = await request.forward();
      if (!/[?&]versions/.test(request.target)) return answer;
      stale ??= await answer.text();
      return new Response(stale, { status: 200, headers: { "content-type": "application/xml" } });
    };
    for (let time = 0; time < 2; time++)
      expect(await storage.remove("gone", never)).toEqual({ outcome: "removed" });
    const left = await lab.client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    expect([...(left.Versions ?? []), ...(left.DeleteMarkers ?? [])]).toEqual([]);
  });
});

test("replies show the server's clock, refusals too", async () => {
  const lab = await rgw();
  const refused = openS3(lab, "there-is-no-such-bucket");
  expect(refused.clockSkewMs()).toBeUndefined();
  await expect(refused.head("clock", never)).rejects.toMatchObject({ code: "storage" });
  expect(Math.abs(refused.clockSkewMs() ?? Number.NaN)).toBeLessThan(120_000);
  expect(refused.clockSkewMs(systemClock.monotonicMs())).toBeUndefined();
});

/** A bucket with an object, 10 bytes, that is locked for a day. */
async function lockedObject() {
  const lab = await rgw();
  const bucket = `locks-${crypto.randomUUID()}`;
  await lab.client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
  const storage = openS3(lab, bucket);
  await put(storage, "locked");
  const RetainUntilDate = new Date(Math.floor(Date.now() / 1000) * 1000 + 86_400_000);
  const object = { Bucket: bucket, Key: "locked" };
  const Retention = { Mode: "GOVERNANCE", RetainUntilDate } as const;
  await lab.client.send(new PutObjectRetentionCommand({ ...object, Retention }));
  return { lab, bucket, storage, object, RetainUntilDate };
}
