import { describe, expect, test } from "bun:test";
import {
  CreateBucketCommand,
  GetObjectRetentionCommand,
  ListObjectVersionsCommand,
  PutObjectRetentionCommand,
} from "@aws-sdk/client-s3";
import { DAY_MS, PART_BYTES_MIN } from "../../../src/base/limits.ts";
import type { ObjectLock, Storage } from "../../../src/storage/storage.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { deny, rgw, type S3Lab, swift } from "../../lab/servers/s3.ts";
import { CountedParts, patterned } from "../../suites/parts.ts";
import { openS3 } from "./under-test.ts";

const never = new AbortController().signal;
const partBytes = PART_BYTES_MIN;

const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS);
const governance = (days: number): ObjectLock => ({ mode: "governance", until: inDays(days) });

async function put(storage: Storage, key: string, bytes: number, lock?: ObjectLock) {
  const parts = new CountedParts();
  await storage.put(key, parts.of(patterned(bytes), partBytes), { signal: never, partBytes, lock });
  parts.expectAllReleasedOnce();
}

async function lockingBucket(lab: S3Lab): Promise<string> {
  const Bucket = `locks-${crypto.randomUUID()}`;
  await lab.client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }));
  return Bucket;
}

async function versionsIn({ client }: S3Lab, Bucket: string) {
  const { Versions = [], DeleteMarkers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket }));
  return { versions: Versions.length, markers: DeleteMarkers.length };
}

const sizeOf = async (storage: Storage, key: string) => (await storage.head(key, never))?.sizeBytes;

describe("a bucket with Object Lock on Ceph RGW", () => {
  test("a small object is locked from its first moment, and cannot be deleted with our own key", async () => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    const storage = openS3(lab, bucket);
    const lock = governance(2);
    await put(storage, "small", 10, lock);
    const { Retention } = await lab.client.send(
      new GetObjectRetentionCommand({ Bucket: bucket, Key: "small" }),
    );
    expect(Retention).toEqual({ Mode: "GOVERNANCE", RetainUntilDate: lock.until });
    expect(await storage.lock("small", lock, never)).toEqual({
      lock,
      problem: undefined,
      isEverywhere: false,
    });
    expect(await storage.remove("small", never)).toEqual({ outcome: "locked", lockedUntil: lock.until });
    expect(await versionsIn(lab, bucket)).toEqual({ versions: 1, markers: 0 });
  });

  test("a multipart object is locked after its completion, because the server drops the headers", async () => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    const storage = openS3(lab, bucket);
    const lock: ObjectLock = { mode: "compliance", until: inDays(1) };
    await put(storage, "large", partBytes + 10, lock);
    expect(await storage.lock("large", undefined, never)).toMatchObject({
      lock: undefined,
      problem: "it is not locked",
    });
    expect(await storage.lock("large", lock, never)).toEqual({
      lock,
      problem: undefined,
      isEverywhere: false,
    });
    expect(await sizeOf(storage, "large")).toBe(partBytes + 10);
    expect(await storage.remove("large", never)).toMatchObject({ outcome: "locked" });
  });

  test("a lock is extended, and never shortened or weakened", async () => {
    const lab = await rgw();
    const storage = openS3(lab, await lockingBucket(lab));
    const [short, long] = [governance(1), { mode: "compliance", until: inDays(3) } as const];
    await put(storage, "a", 10, { ...short, mode: "compliance" });
    expect(await storage.lock("a", { ...long, mode: "governance" }, never)).toMatchObject({ lock: long });
    expect(await storage.lock("a", short, never)).toEqual({
      lock: long,
      problem: undefined,
      isEverywhere: false,
    });
    expect(await storage.lock("a", undefined, never)).toMatchObject({ lock: long, problem: undefined });
    expect(await storage.lock("absent", short, never)).toMatchObject({ problem: "there is no such object" });
  });

  test("a governance lock becomes compliance if that is wanted, but not for longer than wanted", async () => {
    const lab = await rgw();
    await using proxy = startHttpProxy(lab.endpoint);
    // Ceph wants this right for the change; other servers do not.
    proxy.answer = async (request) => {
      const headers = new Headers(request.headers);
      headers.set("x-amz-bypass-governance-retention", "true");
      return request.forward(request.target.includes("retention") ? { headers } : {});
    };
    const storage = openS3(lab, await lockingBucket(lab), { endpoint: proxy.endpoint });
    const found = governance(2);
    await put(storage, "a", 10, found);
    const compliance = (until: Date) => ({ mode: "compliance", until }) as const;
    expect(await storage.lock("a", compliance(inDays(1)), never)).toMatchObject({ lock: found });
    const lock = compliance(inDays(3));
    expect(await storage.lock("a", lock, never)).toEqual({ lock, problem: undefined, isEverywhere: false });
  });

  test("a governance lock that the server does not let become compliance is extended all the same", async () => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    const storage = openS3(lab, bucket);
    await put(storage, "a", 10, governance(1));
    const long = governance(3);
    expect(await storage.lock("a", { ...long, mode: "compliance" }, never)).toEqual({
      lock: long,
      problem: undefined,
      isEverywhere: false,
    });
  });

  test("a lock that the server does not keep says nothing about the other objects", async () => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async (request) =>
      request.method === "PUT" && request.target.includes("/lost?retention")
        ? new Response("", { status: 200 })
        : request.forward();
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    await put(storage, "lost", 10);
    expect(await storage.lock("lost", governance(1), never)).toEqual({
      lock: undefined,
      problem: "the server did not keep the lock",
      isEverywhere: false,
    });
  });

  test("the newest version is locked and asked about", async () => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    const storage = openS3(lab, bucket);
    await put(storage, "a", 10);
    const lock = governance(1);
    expect(await storage.lock("a", lock, never)).toMatchObject({ lock });
    expect(await versionsIn(lab, bucket)).toEqual({ versions: 1, markers: 0 });
  });

  test.each([
    ["s3:PutObjectRetention", "the access key may not lock objects (s3:PutObjectRetention)"],
    ["s3:GetObjectRetention", "the access key may not read locks (s3:GetObjectRetention)"],
  ])("a key without %s stores the object and says why it is not locked", async (action, problem) => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    const storage = openS3(lab, bucket);
    await deny(lab, bucket, action);
    const lock = governance(1);
    await put(storage, "large", partBytes + 10, lock);
    expect(await storage.lock("large", lock, never)).toEqual({
      lock: undefined,
      problem,
      isEverywhere: true,
    });
    expect(await sizeOf(storage, "large")).toBe(partBytes + 10);
  });

  test("the request that locks carries its MD5, and nothing that servers refuse", async () => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    await using proxy = startHttpProxy(lab.endpoint);
    const seen: Headers[] = [];
    proxy.answer = async (request) => {
      if (request.method === "PUT" && request.target.includes("retention")) seen.push(request.headers);
      return request.forward();
    };
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    await put(storage, "a", 10);
    expect(await storage.lock("a", governance(1), never)).toMatchObject({ problem: undefined });
    const names = seen.flatMap((headers) => [...headers.keys()]);
    expect(names).toContain("content-md5");
    expect(names.filter((name) => /checksum/.test(name))).toEqual([]);
  });

  test("a key that may not read the bucket's setting locks all the same", async () => {
    const lab = await rgw();
    const bucket = await lockingBucket(lab);
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async (request) =>
      request.target.includes("object-lock") ? new Response("", { status: 403 }) : request.forward();
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    const lock = governance(1);
    await put(storage, "small", 10, lock);
    expect(await storage.lock("small", lock, never)).toMatchObject({ lock, problem: undefined });
    await put(storage, "large", partBytes + 10, lock);
    expect(await storage.lock("large", lock, never)).toMatchObject({ lock, problem: undefined });
  });
});

describe("without Object Lock", () => {
  const absent = (bucket: string) => ({
    lock: undefined,
    problem: `bucket "${bucket}" has no Object Lock, or the server does not know it`,
    isEverywhere: true,
  });

  test.each([
    ["Ceph RGW", rgw, 10],
    ["Ceph RGW, in parts", rgw, partBytes + 10],
    // Swift replaces an object by the request of a PutObjectRetention.
    ["OpenStack Swift", swift, 10],
    ["OpenStack Swift, in parts", swift, partBytes + 10],
  ] as const)("%s: the object is stored and not touched", async (_, start, bytes) => {
    const lab = await start();
    const bucket = await lab.makeBucket();
    const storage = openS3(lab, bucket);
    await put(storage, "a", bytes, governance(1));
    expect(await storage.lock("a", governance(1), never)).toEqual(absent(bucket));
    expect(await storage.lock("a", undefined, never)).toEqual(absent(bucket));
    expect(await sizeOf(storage, "a")).toBe(bytes);
    expect(await storage.remove("a", never)).toEqual({ outcome: "removed" });
  });

  test("if the key may not ask, a server that ignores locks neither counts nor loses the object", async () => {
    for (const start of [rgw, swift]) {
      const lab = await start();
      const bucket = await lab.makeBucket();
      await using proxy = startHttpProxy(lab.endpoint);
      let sentBytes = 0;
      proxy.answer = async (request) => {
        if (request.target.includes("object-lock")) return new Response("", { status: 403 });
        const answer = await request.forward();
        if (request.method === "GET" && request.target.includes("retention"))
          sentBytes += Number(answer.headers.get("content-length") ?? 0);
        return answer;
      };
      const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
      await put(storage, "a", 100_000, governance(1));
      const answer = await storage.lock("a", governance(1), never);
      expect(answer).toMatchObject({ lock: undefined, problem: expect.stringContaining("about") });
      expect(await sizeOf(storage, "a")).toBe(100_000);
      expect(sentBytes).toBeLessThan(5000);
    }
  });
});

test("a lock put there by somebody else is read as it is", async () => {
  const lab = await rgw();
  const bucket = await lockingBucket(lab);
  const storage = openS3(lab, bucket);
  await put(storage, "a", 10);
  const RetainUntilDate = inDays(9);
  const Retention = { Mode: "COMPLIANCE", RetainUntilDate } as const;
  await lab.client.send(new PutObjectRetentionCommand({ Bucket: bucket, Key: "a", Retention }));
  const lock = { mode: "compliance", until: RetainUntilDate } as const;
  expect(await storage.lock("a", governance(2), never)).toEqual({
    lock,
    problem: undefined,
    isEverywhere: false,
  });
});
