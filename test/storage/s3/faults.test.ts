import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Pg321Error } from "../../../src/base/errors.ts";
import { PART_BYTES_MIN } from "../../../src/base/limits.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type FaultProxy, startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { freePort } from "../../lab/servers/free-port.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { portOf, rgw, type S3Lab, startRgw } from "../../lab/servers/s3.ts";
import { CountedParts, patterned } from "../../suites/parts.ts";
import { openS3, openUploads } from "./under-test.ts";

const partBytes = PART_BYTES_MIN;
const never = new AbortController().signal;

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(chunks));
}

async function failureOf(promise: Promise<unknown>): Promise<Pg321Error> {
  return promise.then(
    () => expect.unreachable("it should have been rejected"),
    (error) => error,
  );
}

async function putPattern(storage: Storage, key: string, sizeBytes: number, signal = never) {
  const parts = new CountedParts();
  try {
    return await storage.put(key, parts.of(patterned(sizeBytes), partBytes), { signal, partBytes });
  } finally {
    parts.expectAllReleasedOnce();
  }
}

async function stallAfter(proxy: FaultProxy, bytes: number): Promise<void> {
  while (proxy.bytesUp() < bytes) await new Promise((resolve) => setTimeout(resolve, 5));
  proxy.stall();
}

describe("an S3 storage on a bad network", () => {
  let lab: S3Lab;
  let bucket: string;
  beforeAll(async () => {
    lab = await rgw();
    bucket = await lab.makeBucket();
  });

  const expectNothingOf = async (key: string) => {
    expect(await openS3(lab, bucket).head(key, never)).toBeUndefined();
    expect(await openUploads(lab, bucket)).toEqual([]);
  };

  test("a connection that breaks in the middle of a part is retried", async () => {
    await using proxy = await startFaultProxy(portOf(lab));
    const storage = openS3(lab, bucket, { endpoint: `http://127.0.0.1:${proxy.port}` });
    proxy.cutOnceAfter(partBytes + partBytes / 2);
    await putPattern(storage, "cut-once", 4 * partBytes);
    expect(proxy.bytesUp()).toBeGreaterThan(4 * partBytes);
    const got = await bytesOf(storage.get("cut-once", undefined, never));
    expect(Buffer.compare(got, patterned(4 * partBytes))).toBe(0);
  });

  test("if the server stays away the put fails as retryable", async () => {
    await using proxy = await startFaultProxy(portOf(lab));
    const endpoint = `http://127.0.0.1:${proxy.port}`;
    const storage = openS3(lab, bucket, { endpoint, attempts: 2 });
    proxy.cutAfter(partBytes + partBytes / 2);
    const error = await failureOf(putPattern(storage, "cut-off", 4 * partBytes));
    expect(error).toMatchObject({ code: "storage", retryable: true });
    expect(error.message).toStartWith('storage "lab": put cut-off: no answer from http://127.0.0.1:');
    // It could not clean up; the next run does, by the key that it recorded.
    const direct = openS3(lab, bucket);
    await direct.discard("cut-off", undefined, never);
    await expectNothingOf("cut-off");
  });

  test("an abort takes effect at once while the server stalls", async () => {
    await using proxy = await startFaultProxy(portOf(lab));
    const storage = openS3(lab, bucket, { endpoint: `http://127.0.0.1:${proxy.port}` });
    const abort = new AbortController();
    const reason = new Error("stalled");
    const putting = putPattern(storage, "stalled", 6 * partBytes, abort.signal);
    const settled = failureOf(putting);
    await stallAfter(proxy, partBytes);
    abort.abort(reason);
    // The clean-up needs the server again.
    proxy.pass();
    expect(await settled).toBe(reason as Pg321Error);
    await expectNothingOf("stalled");
  });

  test("a stalled server delays an aborted put no longer than the time for its clean-up", async () => {
    await using proxy = await startFaultProxy(portOf(lab));
    const storage = openS3(lab, bucket, { endpoint: `http://127.0.0.1:${proxy.port}` });
    const abort = new AbortController();
    const settled = failureOf(putPattern(storage, "stalled-on", 6 * partBytes, abort.signal));
    await stallAfter(proxy, partBytes);
    abort.abort(new Error("stalled"));
    expect((await settled).message).toBe("stalled");
    await openS3(lab, bucket).discard("stalled-on", undefined, never);
    await expectNothingOf("stalled-on");
  });

  test("a read aborted while the server stalls ends at once", async () => {
    await using proxy = await startFaultProxy(portOf(lab));
    await putPattern(openS3(lab, bucket), "read-stalled", 3 * partBytes);
    const storage = openS3(lab, bucket, { endpoint: `http://127.0.0.1:${proxy.port}` });
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of storage.get("read-stalled", undefined, abort.signal)) {
        proxy.stall();
        setTimeout(() => abort.abort(new Error("enough")), 50);
      }
    })();
    expect((await failureOf(reading)).message).toBe("enough");
  });

  test("a read whose connection breaks is an error, never a short object", async () => {
    await using proxy = await startFaultProxy(portOf(lab));
    await putPattern(openS3(lab, bucket), "read-cut", 4 * partBytes);
    const storage = openS3(lab, bucket, { endpoint: `http://127.0.0.1:${proxy.port}`, attempts: 1 });
    const reading = (async () => {
      for await (const _ of storage.get("read-cut", undefined, never)) await proxy.stop();
    })();
    expect(await failureOf(reading)).toMatchObject({ code: "storage", retryable: true });
  });

  test("if no server listens the error is retryable and hints at the endpoint", async () => {
    const storage = openS3(lab, bucket, { endpoint: `http://127.0.0.1:${await freePort()}`, attempts: 2 });
    const error = await failureOf(putPattern(storage, "nobody", 10));
    expect(error).toMatchObject({ code: "storage", retryable: true });
    expect(error.hint).toContain("endpoint");
  });
});

describe("an S3 server on a bad day", () => {
  let lab: S3Lab;
  let bucket: string;
  beforeAll(async () => {
    lab = await rgw();
    bucket = await lab.makeBucket();
  });

  test("an error inside a 200 to the completion fails the put", async () => {
    await using proxy = startHttpProxy(lab.endpoint);
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint, attempts: 2 });
    let completions = 0;
    proxy.answer = async ({ method, target, forward }) => {
      if (method !== "POST" || !target.includes("uploadId=")) return forward();
      completions++;
      const body = `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>try later</Message></Error>`;
      return new Response(body, { status: 200, headers: { "content-type": "application/xml" } });
    };
    const error = await failureOf(putPattern(storage, "error-in-200", 2 * partBytes));
    expect(error).toMatchObject({ code: "storage", retryable: true });
    expect(error.message).toContain("InternalError");
    expect(completions).toBe(2);
    expect(await openS3(lab, bucket).head("error-in-200", never)).toBeUndefined();
    expect(await openUploads(lab, bucket)).toEqual([]);
  });

  test.each([
    ["a PUT", () => 10, "PUT"],
    ["a completion", () => partBytes + 1, "POST"],
  ])("%s whose answer is lost is found to have succeeded at the next attempt", async (name, size, lost) => {
    await using proxy = startHttpProxy(lab.endpoint);
    let isLost = false;
    proxy.answer = async ({ method, target, forward }) => {
      const answer = await forward();
      const isIt = method === lost && (lost === "PUT" || target.includes("uploadId="));
      if (!isIt || isLost) return answer;
      isLost = true;
      return new Response("", { status: 503 });
    };
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    expect(await putPattern(storage, `lost/${name}`, size())).toMatchObject({ sizeBytes: size() });
    expect(isLost).toBe(true);
  });

  test.each([
    ["a PUT", () => 10, "PUT"],
    ["a completion", () => partBytes + 1, "POST"],
  ])("%s whose answers are all lost leaves nothing", async (name, size, lost) => {
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async ({ method, target, forward }) => {
      const answer = await forward();
      const isIt = method === lost && (lost === "PUT" || target.includes("uploadId="));
      return isIt ? new Response("", { status: 503 }) : answer;
    };
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint, attempts: 1 });
    expect(await failureOf(putPattern(storage, `gone/${name}`, size()))).toMatchObject({ retryable: true });
    expect(await openS3(lab, bucket).head(`gone/${name}`, never)).toBeUndefined();
    expect(await openUploads(lab, bucket)).toEqual([]);
  });

  test.each([10, partBytes + 1])("a byte changed in transit is refused (%p bytes)", async (size) => {
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = ({ method, body, forward }) => {
      if (method !== "PUT") return forward();
      const changed = body.slice();
      changed[3] = (changed[3] ?? 0) ^ 1;
      return forward({ body: changed });
    };
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    const error = await failureOf(putPattern(storage, `changed/${size}`, size));
    expect(error.message).toContain("received different bytes");
    expect(error.retryable).toBe(false);
    expect(await openS3(lab, bucket).head(`changed/${size}`, never)).toBeUndefined();
  });

  test("a request is retried if the server throttles", async () => {
    await using proxy = startHttpProxy(lab.endpoint);
    let count = 0;
    proxy.answer = ({ forward }) =>
      ++count % 2 === 1 ? Promise.resolve(new Response("", { status: 429 })) : forward();
    const storage = openS3(lab, bucket, { endpoint: proxy.endpoint });
    await putPattern(storage, "throttled", 10);
    expect(count).toBe(6);
  });
});

describe("refusals of an S3 storage", () => {
  let lab: S3Lab;
  let bucket: string;
  beforeAll(async () => {
    lab = await rgw();
    bucket = await lab.makeBucket();
  });

  test.each([
    ["a wrong secret", { secret_access_key: new Secret("wrong-secret-1") }, "secret_access_key"],
    ["an unknown key", { access_key_id: new Secret("nobody") }, "access_key_id"],
    ["a missing bucket", { bucket: "there-is-no-such-bucket" }, "bucket"],
  ])("%s: once, with a hint", async (_, change, hint) => {
    const storage = openS3(lab, bucket, change);
    for (const call of [
      () => Array.fromAsync(storage.list("", never)),
      () => putPattern(storage, "refused", 10),
      () => storage.head("refused", never),
    ]) {
      const error = await failureOf(call());
      expect(error).toBeInstanceOf(Pg321Error);
      expect(error).toMatchObject({ code: "storage", retryable: false });
      expect(`${error.message} ${error.hint}`).not.toContain("wrong-secret-1");
      expect(error.hint).toBeDefined();
    }
    const listing = await failureOf(Array.fromAsync(storage.list("", never)));
    expect(listing.hint).toContain(hint);
  });

  test("more parts than the provider accepts", async () => {
    const storage = openS3(lab, bucket, { max_parts: 3 });
    await putPattern(storage, "parts-3", 3 * partBytes);
    const error = await failureOf(putPattern(storage, "parts-4", 3 * partBytes + 1));
    expect(error.message).toContain("larger than 15.0 MiB, the most that 3 parts");
    expect(await storage.head("parts-4", never)).toBeUndefined();
    expect(await openUploads(lab, bucket)).toEqual([]);
  });

  test("an upload whose id cannot be recorded", async () => {
    const parts = new CountedParts();
    const onUpload = () => Promise.reject(new Error("catalog gone"));
    const body = parts.of(patterned(2 * partBytes), partBytes);
    const putting = openS3(lab, bucket).put("unrecorded", body, { signal: never, partBytes, onUpload });
    expect((await failureOf(putting)).message).toBe("catalog gone");
    parts.expectAllReleasedOnce();
    expect(await openUploads(lab, bucket)).toEqual([]);
  });
});

describe("a gateway that stops", () => {
  let own: Awaited<ReturnType<typeof startRgw>>;
  beforeAll(async () => {
    own = await startRgw();
  });
  afterAll(() => own[Symbol.asyncDispose]());

  test("in the middle of a put: the put continues when it is back", async () => {
    const bucket = await own.makeBucket();
    const storage = openS3(own, bucket, { attempts: 8 });
    const parts = new CountedParts();
    const bytes = patterned(5 * partBytes);
    const body = parts.of(bytes, partBytes, async (offset) => {
      if (offset === 2 * partBytes) await own.down();
      if (offset === 3 * partBytes) await own.up();
    });
    await storage.put("outage", body, { signal: never, partBytes });
    parts.expectAllReleasedOnce();
    expect(Buffer.compare(await bytesOf(storage.get("outage", undefined, never)), bytes)).toBe(0);
  });

  test("and stays away: the put fails as retryable and leaves nothing once it is back", async () => {
    const bucket = await own.makeBucket();
    const storage = openS3(own, bucket, { attempts: 2 });
    const parts = new CountedParts();
    let uploadId: string | undefined;
    const onUpload = (id: string) => {
      uploadId = id;
    };
    const body = parts.of(patterned(5 * partBytes), partBytes, async (offset) => {
      if (offset === 2 * partBytes) await own.down();
    });
    const error = await failureOf(storage.put("outage", body, { signal: never, partBytes, onUpload }));
    expect(error).toMatchObject({ code: "storage", retryable: true });
    parts.expectAllReleasedOnce();
    await own.up();
    expect(uploadId).toBeDefined();
    await storage.discard("outage", uploadId, never);
    expect(await openUploads(own, bucket)).toEqual([]);
    expect(await storage.head("outage", never)).toBeUndefined();
  });
});
