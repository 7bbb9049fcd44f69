import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { contextIn, makeCatalog } from "../../../bench/large-catalog.ts";
import type { ListingPosition } from "../../../src/catalog/storages/listings.ts";
import { searchOrphans } from "../../../src/jobs/cleanup/search-orphans.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import { manifestKey } from "../../../src/jobs/copies/object-key.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type HttpProxy, type ProxiedRequest, startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw, type S3Lab } from "../../lab/servers/s3.ts";
import { openS3 } from "../../storage/s3/under-test.ts";
import { backupRecord, copyRecord } from "../../suites/catalog/records.ts";

const STORAGE = "lab";
const BACKUPS = 1_200;
const keyOf = (n: number) => `main/app/backup_${String(n).padStart(4, "0")}.zst`;
/** Of these backups the objects have no record. */
const hasRecord = (n: number) => n % 100 !== 99;
const STRAYS = ["a-stray", "main/app/backup_0600.zst.txt", "z/stray"];
const ORPHANS = [
  ...STRAYS,
  ...Array.from({ length: BACKUPS }, (_, n) => n)
    .filter((n) => !hasRecord(n))
    .flatMap((n) => [keyOf(n), manifestKey(keyOf(n))]),
].toSorted();
const LISTED = 2 * BACKUPS + STRAYS.length;
const FOUND = { storage: STORAGE, objects: ORPHANS.length, bytes: ORPHANS.length };

let directory: string;
let lab: S3Lab;
let bucket: string;
let proxy: HttpProxy;
let context: JobContext;
let storage: Storage;
/** The requests for pages, in the current test. */
let pages: URLSearchParams[] = [];

const seed = (Key: string) => lab.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "x" }));

async function record(key: string): Promise<string> {
  const backup = backupRecord({ server: "main", object_key: key, status: "VERIFIED" });
  await context.catalog.insertBackup(backup);
  await context.catalog.putCopy(copyRecord(backup, { storage: STORAGE, state: "CONFIRMED" }));
  return backup.id;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-search-"));
  await makeCatalog(directory, { backups: 0, databases: 1, days: 10 });
  context = await contextIn(directory);
  lab = await rgw();
  bucket = await lab.makeBucket();
  proxy = startHttpProxy(lab.endpoint);
  storage = openS3(lab, bucket, { endpoint: proxy.endpoint, attempts: 1 });
  const numbers = Array.from({ length: BACKUPS }, (_, n) => n);
  const waiting = [...STRAYS, ...numbers.flatMap((n) => [keyOf(n), manifestKey(keyOf(n))])];
  const worker = async () => {
    for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) await seed(key);
  };
  await Promise.all(Array.from({ length: 24 }, worker));
  for (const n of numbers.filter(hasRecord)) await record(keyOf(n));
  await context.catalog.identities.confirm(STORAGE, "place-1", new Date().toISOString(), null);
}, 60_000);
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await context[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});
beforeEach(() => {
  answerPages(() => undefined);
});

/** From now on `fault` answers requests for pages if it returns an answer; `count` is 1 for the first one. */
function answerPages(
  fault: (request: ProxiedRequest, count: number) => Response | Promise<Response | undefined> | undefined,
): void {
  pages = [];
  proxy.answer = async (request) => {
    const query = new URL(request.target, proxy.endpoint).searchParams;
    if (query.get("list-type") !== "2") return request.forward();
    pages.push(query);
    return (await fault(request, pages.length)) ?? request.forward();
  };
}

const search = (isAdopting = false, in_ = context) => searchOrphans(in_, storage, { isAdopting });
const position = (purpose: ListingPosition["purpose"] = "orphans") =>
  context.catalog.listings.position(STORAGE, purpose);
const failsAfter = (last: number) =>
  answerPages((_, count) => (count > last ? new Response("", { status: 503 }) : undefined));

test("a search sees every object once, and leaves no position", async () => {
  const { named, ...rest } = await search();
  expect(rest).toEqual({ ...FOUND, listed: LISTED, resumed: undefined });
  expect(named.map(({ key }) => key)).toEqual(ORPHANS);
  expect(pages.length).toBe(3);
  expect(await position()).toBeUndefined();
});

test("a search that the storage cuts off fails, and the next one goes on there", async () => {
  failsAfter(2);
  await expect(search()).rejects.toMatchObject({ code: "storage", retryable: true });
  const kept = await position();
  expect(kept?.listed).toBeGreaterThanOrEqual(1_000);
  expect(kept?.orphans).toBe(ORPHANS.filter((key) => key <= (kept?.after_key ?? "")).length);
  // Cut off again: what was seen counts only once.
  failsAfter(0);
  await expect(search()).rejects.toThrow();
  expect(await position()).toEqual(kept);
  answerPages(() => undefined);
  const { named, ...rest } = await search();
  const afterKey = kept?.after_key ?? "";
  expect(rest).toEqual({ ...FOUND, listed: LISTED, resumed: { afterKey, beganAt: kept?.began_at ?? "" } });
  expect(named.map(({ key }) => key)).toEqual(ORPHANS.filter((key) => key > afterKey));
  expect(pages[0]?.get("start-after")).toBe(afterKey);
  expect(pages.length).toBe(2);
  expect(await position()).toBeUndefined();
});

test("a search that its run's end cuts off goes on after a restart; that for copies to adopt by itself", async () => {
  const stop = new AbortController();
  answerPages((_, count) => {
    if (count === 3) stop.abort(new Error("the daemon stops"));
    return undefined;
  });
  const stopped = searchOrphans({ ...context, signal: stop.signal }, storage, { isAdopting: true });
  await expect(stopped).rejects.toThrow("the daemon stops");
  const kept = await position("adopt");
  expect(kept?.listed).toBeGreaterThan(0);
  expect(await position()).toBeUndefined();
  await using restarted = await contextIn(directory);
  answerPages(() => undefined);
  expect(await search(false, restarted)).toMatchObject({ ...FOUND, resumed: undefined });
  const { resumed, ...rest } = await search(true, restarted);
  expect(rest).toMatchObject(FOUND);
  expect(resumed?.afterKey).toBe(kept?.after_key ?? "");
  expect(await position("adopt")).toBeUndefined();
});

test("a search for copies to adopt that goes on also looks at what has come before that key since", async () => {
  failsAfter(2);
  await expect(search(true)).rejects.toThrow();
  const kept = await position("adopt");
  const early = "main/app/backup_0000.new";
  expect(early < (kept?.after_key ?? "")).toBe(true);
  await seed(early);
  answerPages(() => undefined);
  const { named, ...rest } = await search(true);
  await openS3(lab, bucket).remove(early, context.signal);
  expect(rest).toMatchObject({ storage: STORAGE, objects: ORPHANS.length + 1, listed: LISTED + 1 });
  expect(rest.resumed?.afterKey).toBe(kept?.after_key ?? "");
  expect(named.map(({ key }) => key)).toEqual([...ORPHANS, early].toSorted());
  expect(await position("adopt")).toBeUndefined();
});

test("a position of another day is not used", async () => {
  for (const [purpose, offset] of [
    ["orphans", -25],
    ["adopt", -25],
    ["adopt", 2],
  ] as const) {
    const began_at = new Date(Date.now() + offset * 3_600_000).toISOString();
    const counts = { listed: 5_000, orphans: 4_000, orphan_bytes: 4_000 };
    const place = { storage: STORAGE, purpose, storage_id: "place-1", began_at };
    await context.catalog.listings.keep({ ...place, after_key: "main/x", ...counts });
    const found = await search(purpose === "adopt");
    expect(found).toMatchObject({ ...FOUND, listed: LISTED, resumed: undefined });
    expect(await position(purpose)).toBeUndefined();
  }
});

test("a position in another place of the same name is not used", async () => {
  failsAfter(2);
  await expect(search()).rejects.toThrow();
  await context.catalog.identities.confirm(STORAGE, "place-2", new Date().toISOString(), null);
  answerPages(() => undefined);
  expect(await search()).toMatchObject({ ...FOUND, resumed: undefined });
  expect(await position()).toBeUndefined();
});

test("objects that come and go meanwhile are not taken for orphans", async () => {
  const [early, late, gone] = ["main/app/backup_0001.new", "main/app/backup_1199.new", keyOf(1)];
  const { id, ...removed } = (await context.catalog.backups({ server: "main" })).find(
    (one) => one.object_key === gone,
  ) ?? { id: "" };
  expect(id).not.toBe("");
  const tombstone = (backup_id: string, removed_at: number) => {
    const { server, database, kind, started_at, dump_bytes, object_bytes } = removed as never;
    const about = { server, database, kind, started_at, dump_bytes, object_bytes };
    const by = { was_good: true, removed_by: "delete" as const };
    return context.catalog.removeBackup({
      ...{ backup_id, ...about, ...by },
      removed_at: new Date(removed_at).toISOString(),
    });
  };
  // A host whose clock is ahead has removed another one before.
  await tombstone(await record("main/app/elsewhere"), Date.now() + 600_000);
  answerPages(async (request, count) => {
    const answer = await request.forward();
    const text = await answer.text();
    // After the server has made its first page, and before it makes the next one.
    if (count === 1) {
      for (const key of [gone, manifestKey(gone)]) await openS3(lab, bucket).remove(key, context.signal);
      await tombstone(id, Date.now());
    }
    if (count === 2)
      for (const key of [early, late]) {
        await record(key);
        await seed(key);
        await seed(manifestKey(key));
      }
    return new Response(text, { status: answer.status, headers: { "content-type": "application/xml" } });
  });
  const { named } = await search();
  expect(named.map(({ key }) => key)).toEqual(ORPHANS);
});

test("a server that does not list in order is searched completely, and always from the beginning", async () => {
  const backwards = async (request: ProxiedRequest) => {
    const answer = await request.forward();
    const text = await answer.text();
    const entries = [...text.matchAll(/<Contents>.*?<\/Contents>/gs)].map(([entry]) => entry);
    const body = text.replace(/<Contents>.*<\/Contents>/s, entries.toReversed().join(""));
    return new Response(body, { status: answer.status, headers: { "content-type": "application/xml" } });
  };
  answerPages(backwards);
  expect(await search()).toMatchObject({ ...FOUND, resumed: undefined });
  expect(await position()).toMatchObject({ after_key: null });
  answerPages((request, count) => (count > 2 ? new Response("", { status: 503 }) : backwards(request)));
  await expect(search()).rejects.toThrow();
  answerPages(backwards);
  expect(await search()).toMatchObject({ ...FOUND, resumed: undefined });
  expect(pages[0]?.has("start-after")).toBe(false);
  await context.catalog.listings.forget(STORAGE, "orphans");
});
