import { beforeAll, describe, expect, test } from "bun:test";
import { ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { MINUTE_MS } from "../../../src/base/limits.ts";
import { silentLog } from "../../../src/base/log.ts";
import { S3Storage } from "../../../src/storage/s3/s3.ts";
import type { StoredObject } from "../../../src/storage/storage.ts";
import { type ProxiedRequest, startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw, type S3Lab, swift } from "../../lab/servers/s3.ts";
import { openS3, s3Config } from "./under-test.ts";

const never = new AbortController().signal;
const PAGE = 40;
const KEYS = Array.from(
  { length: 500 },
  (_, n) => `main/app-${n % 3}/backup_${String(n).padStart(4, "0")}.json`,
);
const SORTED = KEYS.toSorted();
/** Beside the storage's prefix, as other programs' objects are. */
const PREFIX = "listed";

async function keysOf(objects: AsyncIterable<StoredObject>): Promise<string[]> {
  return (await Array.fromAsync(objects)).map(({ key }) => key);
}

/** Tries again at once. */
function impatient(lab: S3Lab, bucket: string, endpoint: string): S3Storage {
  const sleep: Clock["sleep"] = (ms, signal) => systemClock.sleep(ms < MINUTE_MS ? 0 : ms, signal);
  const clock: Clock = { ...systemClock, sleep };
  return new S3Storage(s3Config(lab, bucket, { endpoint, prefix: PREFIX }), { log: silentLog, clock });
}

/** The server's own answer, changed. */
async function changed(request: ProxiedRequest, change: (body: string) => string): Promise<Response> {
  const answer = await request.forward();
  const headers = { "content-type": "application/xml" };
  return new Response(change(await answer.text()), { status: answer.status, headers });
}

function queryOf({ target }: ProxiedRequest): URLSearchParams {
  return new URL(target, "http://server").searchParams;
}

const isList = (request: ProxiedRequest) => queryOf(request).get("list-type") === "2";

function errorAnswer(status: number, code: string): Response {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>as told</Message></Error>`;
  return new Response(body, { status, headers: { "content-type": "application/xml" } });
}

describe.each([
  ["Ceph RGW", rgw],
  ["OpenStack Swift", swift],
] as const)("a list of many pages on %s", (_, start) => {
  let lab: S3Lab;
  let bucket: string;
  beforeAll(async () => {
    lab = await start();
    bucket = await lab.makeBucket();
    const waiting = [...KEYS.map((key) => `${PREFIX}/${key}`), "lister", `${PREFIX}.json`];
    const worker = async () => {
      for (let Key = waiting.pop(); Key !== undefined; Key = waiting.pop())
        await lab.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "x" }));
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  }, 60_000);

  /** Lists everything; `fault` answers instead of the server if it returns an answer. */
  const listWith = async (
    fault: (request: ProxiedRequest, count: number) => Response | Promise<Response | undefined> | undefined,
    options: { after?: string } = {},
  ) => {
    await using proxy = startHttpProxy(lab.endpoint);
    const requests: URLSearchParams[] = [];
    proxy.answer = async (request) => {
      if (!isList(request)) return request.forward();
      requests.push(queryOf(request));
      return (await fault(request, requests.length)) ?? request.forward();
    };
    const storage = impatient(lab, bucket, proxy.endpoint);
    const listed: string[] = [];
    const listing = (async () => {
      for await (const { key } of storage.list("", never, { ...options, pageSize: PAGE })) listed.push(key);
    })();
    const error = await listing.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return { listed, error, requests };
  };

  test("has every object once, in order", async () => {
    const { listed, requests } = await listWith(() => undefined);
    expect(listed).toEqual(SORTED);
    expect(requests.length).toBeGreaterThanOrEqual(KEYS.length / PAGE);
  });

  test.each([
    ["503", (_: ProxiedRequest) => errorAnswer(503, "SlowDown")],
    ["throttling", (_: ProxiedRequest) => new Response("", { status: 429 })],
    [
      "the first half of a page",
      (request: ProxiedRequest) => changed(request, (body) => body.slice(0, body.length / 2)),
    ],
    [
      "the page of a gateway",
      (_: ProxiedRequest) => new Response("<html><body>please wait</body></html>", { status: 200 }),
    ],
    ["an empty answer", (_: ProxiedRequest) => new Response("", { status: 200 })],
  ])("goes on after %s in the middle", async (_name, answer) => {
    const { listed, error, requests } = await listWith((request, count) =>
      count % 3 === 0 ? answer(request) : undefined,
    );
    expect(error).toBeUndefined();
    expect(listed).toEqual(SORTED);
    expect(requests.length).toBeGreaterThan(KEYS.length / PAGE + 3);
  });

  test("goes on after the last key if the server refuses its own token", async () => {
    const refused = new Set<string>();
    const { listed, requests } = await listWith((request, count) => {
      const token = queryOf(request).get("continuation-token");
      if (token === null || count % 4 !== 0) return undefined;
      refused.add(token);
      return errorAnswer(400, "InvalidArgument");
    });
    expect(listed).toEqual(SORTED);
    expect(refused.size).toBeGreaterThan(1);
    expect(requests.filter((query) => query.has("start-after")).length).toBe(refused.size);
  });

  test("goes on after the last key if the server does not say how", async () => {
    const { listed, error } = await listWith((request) =>
      changed(request, (body) => body.replace(/<NextContinuationToken>.*?<\/NextContinuationToken>/, "")),
    );
    expect(error).toBeUndefined();
    expect(listed).toEqual(SORTED);
  });

  test("is whole after a key, also if the server ignores that it begins there", async () => {
    const after = SORTED[222] ?? "";
    const rest = SORTED.slice(223);
    const { listed, requests } = await listWith(() => undefined, { after });
    expect(listed).toEqual(rest);
    expect(requests.length).toBeLessThanOrEqual(rest.length / PAGE + 1);
    // A server that does not know `start-after` gives the whole list.
    await using proxy = startHttpProxy(lab.endpoint);
    proxy.answer = async ({ forward }) => {
      const whole = openS3(lab, bucket, { prefix: PREFIX }).list("", never);
      const entries = (await keysOf(whole)).map((key) => `<Key>${PREFIX}/${key}</Key><Size>1</Size>`);
      const contents = entries.map((entry) => `<Contents>${entry}</Contents>`).join("");
      const body = `<ListBucketResult><IsTruncated>false</IsTruncated>${contents}</ListBucketResult>`;
      return new Response(body, { headers: (await forward()).headers });
    };
    const ignoring = openS3(lab, bucket, { endpoint: proxy.endpoint, prefix: PREFIX });
    expect(await keysOf(ignoring.list("", never, { after }))).toEqual(rest);
  });

  /** The first page of the list, to a request for what comes after a name. */
  const ignoring = async (request: ProxiedRequest, token = "") => {
    const query = queryOf(request);
    if (!query.has("start-after")) return undefined;
    const Prefix = query.get("prefix") ?? "";
    const command = new ListObjectsV2Command({ Bucket: bucket, Prefix, MaxKeys: PAGE });
    const { Contents = [], NextContinuationToken: next } = await lab.client.send(command);
    const entries = Contents.map(({ Key }) => `<Contents><Key>${Key}</Key><Size>1</Size></Contents>`);
    const more = `<NextContinuationToken>${next}${token}</NextContinuationToken>`;
    const body = `<ListBucketResult><IsTruncated>true</IsTruncated>${more}${entries.join("")}</ListBucketResult>`;
    return new Response(body, { headers: { "content-type": "application/xml" } });
  };

  test("is whole after a key if the server ignores that on every page", async () => {
    const { listed, error } = await listWith((request) => ignoring(request), { after: SORTED[222] ?? "" });
    expect(error).toBeUndefined();
    expect(listed).toEqual(SORTED.slice(223));
    // Also if it refuses a token in the middle.
    const cut = await listWith((request, count) =>
      count === 5 ? errorAnswer(400, "InvalidArgument") : ignoring(request),
    );
    expect(cut.error).toBeUndefined();
    expect(cut.listed).toEqual(SORTED);
  });

  test("fails if the server ignores where to begin and refuses every token", async () => {
    const { listed, error, requests } = await listWith(
      (request, count) => {
        if (count > 100) return errorAnswer(403, "AccessDenied");
        const isToken = queryOf(request).has("continuation-token");
        return isToken ? errorAnswer(400, "InvalidArgument") : ignoring(request, String(count));
      },
      { after: SORTED[222] ?? "" },
    );
    expect(error).toMatchObject({ code: "storage" });
    expect(listed).toEqual([]);
    expect(requests.length).toBeLessThan(10);
  });

  test("is whole after a key if the server does not support that", async () => {
    const after = SORTED[222] ?? "";
    for (const status of [400, 501]) {
      const { listed, error } = await listWith(
        (request) =>
          queryOf(request).has("start-after") ? errorAnswer(status, "InvalidArgument") : undefined,
        { after },
      );
      expect(error).toBeUndefined();
      expect(listed).toEqual(SORTED.slice(223));
    }
  });

  test("fails, and never ends early, if the server stays away, repeats itself or forbids it", async () => {
    const away = await listWith((_, count) => (count > 3 ? errorAnswer(503, "SlowDown") : undefined));
    expect(away.error).toMatchObject({ code: "storage", retryable: true });
    expect(away.listed).toEqual(SORTED.slice(0, 3 * PAGE));
    const denied = await listWith((_, count) => (count > 2 ? errorAnswer(403, "AccessDenied") : undefined));
    expect(denied.error).toMatchObject({ code: "storage", retryable: false });
    expect(denied.requests).toHaveLength(3);
    let page: { body: string; status: number } | undefined;
    const repeated = await listWith(async (request) => {
      const answer = await request.forward();
      page ??= { body: await answer.text(), status: answer.status };
      return new Response(page.body, { status: page.status, headers: { "content-type": "application/xml" } });
    });
    expect(String(repeated.error)).toContain("the server's list has no end");
    const wordless = await listWith((_, count) =>
      count > 2 ? new Response("", { status: 200 }) : undefined,
    );
    expect(String(wordless.error)).toContain("the answer is not a list of objects");
  });
});
