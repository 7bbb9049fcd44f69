import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Sql } from "postgres";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { keysIn, type Place, uploadsIn } from "../../lab/leftovers.ts";
import { eventually, watched } from "../../lab/machine/running.ts";
import { TwoHosts } from "../../lab/machine/two-hosts.ts";
import { isManifest, isThirdPart } from "../../lab/servers/held-requests.ts";
import { type HttpProxy, startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw, type S3Lab } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);

const postgres = usePostgres();
let s3: S3Lab;
let proxy: HttpProxy;
let hosts: TwoHosts;
let sql: Sql;
let source = "";

beforeAll(async () => {
  s3 = await rgw();
  proxy = startHttpProxy(s3.endpoint);
  source = await postgres.createDatabase();
  await fillBulk(postgres.connect(source), 20);
  const more = 'workers = "any"\n[compression]\nalgorithm = "none"';
  const host = { server: "main", databases: [source], days: 30, more };
  const through = { ...s3, endpoint: proxy.endpoint };
  hosts = await TwoHosts.make(postgres, through, await s3.makeBucket(), { a: host, b: host });
  sql = postgres.connect(new URL(hosts.url).pathname.slice(1));
});
afterAll(async () => {
  await hosts?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
});

const bucket = (): Place => ({ name: "s3", lab: s3, bucket: hosts.bucket });
const disk = (host: "a" | "b"): Place => ({
  name: `disk-${host}`,
  directory: join(hosts[host].directory, `disk-${host}`),
});

/** The first matching request waits until it is let go. */
function holdFirst(isIt: (request: Parameters<HttpProxy["answer"]>[0]) => boolean) {
  const released = Promise.withResolvers<void>();
  let isHeld = false;
  proxy.answer = async (request) => {
    if (isHeld || !isIt(request)) return request.forward();
    isHeld = true;
    await released.promise;
    return request.forward();
  };
  return { isHeld: () => isHeld, release: released.resolve };
}

/** As if the leases of a host had run out, and the host were another machine: this one could see its processes. */
async function outlive(host: string): Promise<void> {
  const at = "2026-01-01T00:00:00.000Z";
  await sql`update pg321.leases set boot_id = ${crypto.randomUUID()}, expires_at = ${at} where host = ${host}`;
}

async function backupsOf(host: string) {
  await using catalog = await hosts.catalog();
  const [backup, ...others] = await catalog.backups({ host, server: "main" });
  if (!backup) throw new Error(`no backup of ${host}`);
  return { backup, others, copies: await catalog.copies(backup.id) };
}

test("a host that was stopped for longer than its lease cannot commit what it finishes; its object is removed, no other", async () => {
  const { a, b } = hosts;
  const held = holdFirst(isThirdPart);
  const first = watched(a.start("backup"));
  await first.until("its upload is under way", held.isHeld);
  first.kill("SIGSTOP");
  await outlive("a");
  await b.backUp();
  const made = { bucket: await keysIn(bucket()), disk: await keysIn(disk("b")) };
  expect(made.bucket).toHaveLength(2);

  first.kill("SIGCONT");
  held.release();
  const ended = await first.ended;
  expect(ended.exitCode).not.toBe(0);
  expect(ended.stderr).toContain(`main/${source}: the lease was lost while the job ran`);
  const late = await backupsOf("a");
  expect(late.backup).toMatchObject({
    status: "FAILED",
    manifest: null,
    error: expect.stringContaining("the lease was lost"),
  });
  expect(late.copies.map(({ state }) => state)).not.toContain("CONFIRMED");
  expect((await keysIn(bucket())).filter((key) => key.endsWith(".json"))).toHaveLength(1);

  // Its own next run removes what it has left; what the other host has made stays, and is newest.
  await a.ok("cleanup");
  expect([await keysIn(bucket()), await keysIn(disk("b"))]).toEqual([made.bucket, made.disk]);
  expect([await keysIn(disk("a")), await uploadsIn(bucket())]).toEqual([[], []]);
  expect((await backupsOf("a")).copies.map(({ state }) => state)).toEqual(["FAILED", "FAILED"]);
  expect((await backupsOf("b")).backup.status).toBe("VERIFIED");
});

test("stopped after its object was whole, it confirms nothing without the lease; its next run does, under a new one", async () => {
  const { a, b } = hosts;
  const held = holdFirst(isManifest);
  const first = watched(a.start("backup"));
  await first.until("its manifest is to be written", held.isHeld);
  first.kill("SIGSTOP");
  await outlive("a");
  const before = (await backupsOf("b")).others.length;
  await b.backUp();
  first.kill("SIGCONT");
  held.release();
  expect((await first.ended).exitCode).not.toBe(0);
  const late = await backupsOf("a");
  expect(late.copies.find(({ storage }) => storage === "s3")?.state).not.toBe("CONFIRMED");
  expect(late.backup.status).not.toBe("VERIFIED");
  await a.ok("cleanup");
  expect((await backupsOf("a")).backup.status).toBe("VERIFIED");
  expect((await backupsOf("b")).others).toHaveLength(before + 1);
});

test("a host that was killed loses its leases after their time, not because its process cannot be seen here", async () => {
  const { a, b } = hosts;
  const held = holdFirst(isThirdPart);
  const first = watched(a.start("backup"));
  await first.until("its upload is under way", held.isHeld);
  first.kill("SIGKILL");
  await first.ended;
  await sql`update pg321.leases set boot_id = ${crypto.randomUUID()} where host = 'a'`;
  const refused = await b.run("backup");
  expect(`${refused.stdout}${refused.stderr}`).toContain(`main/${source}: held by run `);
  await outlive("a");
  await b.backUp();
  // What the dead host had begun is its own matter.
  const [left, uploads] = [await backupsOf("a"), await uploadsIn(bucket())];
  expect([left.backup.status, uploads.length]).toEqual(["RUNNING", 1]);
  await b.ok("cleanup");
  expect([(await backupsOf("a")).backup.status, await uploadsIn(bucket())]).toEqual(["RUNNING", uploads]);
  await a.ok("cleanup");
  expect([(await backupsOf("a")).backup.status, await uploadsIn(bucket())]).toEqual(["INTERRUPTED", []]);
  held.release();
  await eventually(() => true);
});
