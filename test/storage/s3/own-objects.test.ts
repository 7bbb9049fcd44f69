import { describe, expect, test } from "bun:test";
import { DeleteObjectCommand, ListObjectVersionsCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { PART_BYTES_MIN } from "../../../src/base/limits.ts";
import { KeyTaken } from "../../../src/storage/key.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type ProxiedRequest, startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw, type S3Lab, swift } from "../../lab/servers/s3.ts";
import { CountedParts, patterned } from "../../suites/parts.ts";
import { openS3, openUploads } from "./under-test.ts";

const partBytes = PART_BYTES_MIN;
const never = new AbortController().signal;
const key = "main/app/backup";

/** The request that stores the object: a PUT, or the completion of an upload. */
const isStoring = ({ method, target }: ProxiedRequest) =>
  method === "PUT" ? !target.includes("partNumber=") : method === "POST" && target.includes("uploadId=");

const SIZES: [string, number][] = [
  ["a PUT", 10],
  ["a completion", partBytes + 1],
];
const SERVERS = [
  ["Ceph RGW", rgw],
  ["OpenStack Swift", swift],
] as const;

async function put(storage: Storage, sizeBytes: number) {
  const parts = new CountedParts();
  try {
    const body = parts.of(patterned(sizeBytes), partBytes);
    return await storage.put(key, body, { signal: never, partBytes });
  } finally {
    parts.expectAllReleasedOnce();
  }
}

async function bytesIn(lab: S3Lab, bucket: string): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(openS3(lab, bucket).get(key, undefined, never)));
}

/** Another writer stores the same bytes under the same key, through a second storage on the same place. */
const putByAnother = (lab: S3Lab, bucket: string, sizeBytes: number) => put(openS3(lab, bucket), sizeBytes);

describe.each(SERVERS)("an object of this put on %s", (_, start) => {
  test.each(SIZES)(
    "is recognized if the answer to %s was lost and ETags are not MD5",
    async (_name, size) => {
      const lab = await start();
      const bucket = await lab.makeBucket();
      await using proxy = startHttpProxy(lab.endpoint);
      let lost = 0;
      // Like a bucket that encrypts with a key service.
      proxy.answer = async (request) => {
        const { status, headers, body } = await request.forward();
        // Swift refuses the first one: it does not support conditions.
        if (isStoring(request) && status < 300 && lost++ === 0) return new Response("", { status: 503 });
        const changed = new Headers(headers);
        if (request.method === "HEAD") changed.set("etag", '"0123456789abcdef0123456789abcdef"');
        return new Response(body, { status, headers: changed });
      };
      const stored = await put(openS3(lab, bucket, { endpoint: proxy.endpoint }), size);
      expect(stored).toMatchObject({ key, sizeBytes: size });
      expect(lost).toBeGreaterThanOrEqual(1);
      expect(Buffer.compare(await bytesIn(lab, bucket), patterned(size))).toBe(0);
    },
  );

  test.each(SIZES)("is removed if every answer to %s is lost and ETags are not MD5", async (_name, size) => {
    const lab = await start();
    const bucket = await lab.makeBucket();
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async (request) => {
      const { status, headers, body } = await request.forward();
      if (isStoring(request) && status !== 501) return new Response("", { status: 503 });
      const changed = new Headers(headers);
      if (request.method === "HEAD") changed.set("etag", '"0123456789abcdef0123456789abcdef"');
      return new Response(body, { status, headers: changed });
    };
    const putting = put(openS3(lab, bucket, { endpoint: proxy.endpoint, attempts: 2 }), size);
    await expect(putting).rejects.toMatchObject({ retryable: true });
    expect(await openS3(lab, bucket).head(key, never)).toBeUndefined();
    expect(await openUploads(lab, bucket)).toEqual([]);
  });

  test.each(SIZES)("is removed if it cannot be confirmed after %s", async (_name, size) => {
    const lab = await start();
    const bucket = await lab.makeBucket();
    await using proxy = startHttpProxy(lab.endpoint);
    let stored = 0;
    proxy.answer = async (request) => {
      if (request.method === "HEAD" && stored === 1) {
        stored++;
        return new Response(null, { status: 503 });
      }
      const answer = await request.forward();
      if (isStoring(request) && answer.ok) stored++;
      return answer;
    };
    const putting = put(openS3(lab, bucket, { endpoint: proxy.endpoint, attempts: 1 }), size);
    await expect(putting).rejects.toMatchObject({ retryable: true });
    expect(await openS3(lab, bucket).head(key, never)).toBeUndefined();
  });
});

describe.each(SERVERS)("the object of another put on %s is kept", (_, start) => {
  test.each(SIZES)(
    "if two puts send the same bytes to one place by %s: one gets KeyTaken",
    async (_name, size) => {
      const lab = await start();
      const bucket = await lab.makeBucket();
      // Both have checked and found nothing before either stores; both have stored before either checks again.
      const [arrived, stored] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      let [arrivals, ends] = [0, 0];
      await using proxy = startHttpProxy(lab.endpoint);
      proxy.answer = async (request) => {
        if (request.method === "HEAD" && ends > 0) await stored.promise;
        if (!isStoring(request)) return request.forward();
        if (++arrivals === 2) arrived.resolve();
        await arrived.promise;
        const answer = await request.forward();
        if (answer.status !== 501 && ++ends === 2) stored.resolve();
        return answer;
      };
      const { endpoint } = proxy;
      const outcomes = await Promise.allSettled([
        put(openS3(lab, bucket, { endpoint }), size),
        put(openS3(lab, bucket, { endpoint }), size),
      ]);
      const errors = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
      expect(errors).toHaveLength(1);
      expect(errors[0]).toBeInstanceOf(KeyTaken);
      expect(Buffer.compare(await bytesIn(lab, bucket), patterned(size))).toBe(0);
      expect(await openUploads(lab, bucket)).toEqual([]);
    },
  );

  test.each(SIZES)("if %s fails after the other has stored the same bytes", async (_name, size) => {
    const lab = await start();
    const bucket = await lab.makeBucket();
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async (request) => {
      if (!isStoring(request)) return request.forward();
      await putByAnother(lab, bucket, size);
      return new Response("", { status: 503 });
    };
    const putting = put(openS3(lab, bucket, { endpoint: proxy.endpoint, attempts: 1 }), size);
    await expect(putting).rejects.toMatchObject({ retryable: true });
    expect(Buffer.compare(await bytesIn(lab, bucket), patterned(size))).toBe(0);
  });

  test("if the upload is gone and the other has stored as many bytes", async () => {
    const lab = await start();
    const bucket = await lab.makeBucket();
    await using proxy = startHttpProxy(lab.endpoint);
    const size = partBytes + 1;
    proxy.answer = async (request) => {
      if (!isStoring(request)) return request.forward();
      const uploadId = new URL(`http://x${request.target}`).searchParams.get("uploadId") ?? "";
      await openS3(lab, bucket).discard(key, uploadId, never);
      await putByAnother(lab, bucket, size);
      return request.forward();
    };
    const error = await put(openS3(lab, bucket, { endpoint: proxy.endpoint }), size).catch(
      (thrown) => thrown,
    );
    expect(error).toBeInstanceOf(KeyTaken);
    expect(Buffer.compare(await bytesIn(lab, bucket), patterned(size))).toBe(0);
  });

  test.each(SIZES)("if it was there before %s", async (_name, size) => {
    const lab = await start();
    const bucket = await lab.makeBucket();
    await putByAnother(lab, bucket, 7);
    const error = await put(openS3(lab, bucket), size).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(KeyTaken);
    expect(error).toMatchObject({ code: "storage", retryable: false });
    expect(Buffer.compare(await bytesIn(lab, bucket), patterned(7))).toBe(0);
  });
});

test.each(SIZES)("older versions of the key are kept when %s is undone", async (_name, size) => {
  const lab = await rgw();
  const bucket = await lab.makeBucket({ versioned: true });
  const object = { Bucket: bucket, Key: key };
  const before = await lab.client.send(new PutObjectCommand({ ...object, Body: "somebody's" }));
  await lab.client.send(new DeleteObjectCommand(object));
  await using proxy = startHttpProxy(lab.endpoint);
  proxy.answer = async (request) => {
    const answer = await request.forward();
    return isStoring(request) ? new Response("", { status: 503 }) : answer;
  };
  const putting = put(openS3(lab, bucket, { endpoint: proxy.endpoint, attempts: 1 }), size);
  await expect(putting).rejects.toMatchObject({ retryable: true });
  const left = await lab.client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
  expect(left.Versions?.map(({ VersionId }) => VersionId)).toEqual([before.VersionId ?? ""]);
  expect(left.DeleteMarkers).toHaveLength(1);
});
