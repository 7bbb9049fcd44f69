/**
 * `npm run bench:listing [-- --only NAME --objects N]`: measures the search for objects without a record: a directory of 300,000
 * files, a real S3 server (Ceph RGW) with 10,000 objects, and a million objects of a local program that only answers
 * requests for pages as an S3 server does: no server here could hold as many. Each search runs in a process that does
 * nothing else. The figures are in docs/scale.md.
 */
import { Database } from "bun:sqlite";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { searchOrphans } from "../src/jobs/cleanup/search-orphans.ts";
import { manifestKey } from "../src/jobs/copies/object-key.ts";
import { openStorage } from "../src/storage/registry.ts";
import { type S3Address, startRgw } from "../test/lab/servers/s3.ts";
import { s3Config } from "../test/storage/s3/under-test.ts";
import { contextIn, makeCatalog } from "./large-catalog.ts";
import { highWaterMib } from "./measure.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    /** Other numbers of objects than those of the names. */
    objects: { type: "string" },
    /** The process that searches: its directory, the storage's address and its bucket. */
    in: { type: "string" },
    address: { type: "string", default: "" },
    bucket: { type: "string", default: "" },
    /** The process that answers like a server: how many objects it has. */
    answer: { type: "string" },
  },
});

const STORAGE = "disk";
/** One in so many backups has no record. */
const UNRECORDED = 1_000;
const PAGE = 1_000;
const keyOf = (n: number) => `main/app/backup_app_${String(n).padStart(8, "0")}.dump.zst.enc`;

/** Every second object is the manifest of the one before. */
function keyAt(index: number): string {
  const key = keyOf(Math.floor(index / 2));
  return index % 2 === 0 ? key : manifestKey(key);
}

interface Found {
  objects: number;
  orphans: number;
  wallMs: number;
  cpuMs: number;
  blockedMsMax: number;
  /** Over the same process before the search. */
  peakMib: number;
}

async function search(directory: string): Promise<void> {
  await using context = await contextIn(directory);
  const local = context.storages.find(({ name }) => name === STORAGE);
  const storage = values.address === "" ? local : await openBucket(JSON.parse(values.address));
  if (storage === undefined) throw new Error("no storage");
  Bun.gc(true);
  const beforeMib = highWaterMib(process.pid);
  let blockedMsMax = 0;
  let turnAtMs = performance.now();
  const turns = setInterval(() => {
    blockedMsMax = Math.max(blockedMsMax, performance.now() - turnAtMs - 10);
    turnAtMs = performance.now();
  }, 10);
  const startedAtMs = performance.now();
  const cpu = process.cpuUsage();
  const { objects: orphans, listed } = await searchOrphans(context, storage, { isAdopting: false });
  const used = process.cpuUsage(cpu);
  clearInterval(turns);
  const found: Found = {
    ...{ objects: listed, orphans, wallMs: performance.now() - startedAtMs },
    ...{ cpuMs: (used.user + used.system) / 1000, blockedMsMax },
    peakMib: highWaterMib(process.pid) - beforeMib,
  };
  console.log(JSON.stringify(found));
}

function openBucket(address: S3Address) {
  const config = { ...s3Config(address as never, values.bucket), name: STORAGE };
  return openStorage(config, { log: silentLog, clock: systemClock });
}

/** Records a copy of every backup but one in a thousand. */
function fill(directory: string, objects: number): void {
  using database = new Database(join(directory, "state/catalog.db"));
  for (const pragma of ["synchronous = OFF", "journal_mode = MEMORY"]) database.run(`PRAGMA ${pragma}`);
  const key = keyOf(0).replace("00000000", "%08d");
  database.run(`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${objects / 2 - 1})
    INSERT INTO copies (backup_id, storage, object_key, state)
    SELECT printf('%08x-0000-4000-8000-%012x', (i * 2654435761) % 4294967296, i), '${STORAGE}', printf('${key}', i), 'CONFIRMED'
    FROM n WHERE i % ${UNRECORDED} != ${UNRECORDED - 1}`);
}

async function measured(objects: number, work: (directory: string) => Promise<string[]>): Promise<Found> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-bench-listing-"));
  try {
    await makeCatalog(directory, { backups: 0, databases: 1, days: 10 });
    fill(directory, objects);
    const more = await work(directory);
    const command = [process.execPath, import.meta.path, "--in", directory, ...more];
    const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "inherit"] });
    const text = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) throw new Error("the search failed");
    return JSON.parse(text);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function directory(): Promise<Found> {
  const objects = Number(values.objects ?? 300_000);
  return measured(objects, async (at) => {
    await mkdir(join(at, STORAGE, "main/app"), { recursive: true });
    for (let index = 0; index < objects; index++) await writeFile(join(at, STORAGE, keyAt(index)), "x");
    return [];
  });
}

async function rgw(): Promise<Found> {
  const objects = Number(values.objects ?? 10_000);
  await using lab = await startRgw();
  const bucket = await lab.makeBucket();
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < objects; index = next++)
      await lab.client.send(new PutObjectCommand({ Bucket: bucket, Key: keyAt(index), Body: "x" }));
  };
  await Promise.all(Array.from({ length: 24 }, worker));
  const { endpoint, region, access_key_id, secret_access_key } = lab;
  const address = JSON.stringify({ endpoint, region, access_key_id, secret_access_key });
  return await measured(objects, async () => ["--address", address, "--bucket", bucket]);
}

async function million(): Promise<Found> {
  const objects = Number(values.objects ?? 1_000_000);
  const command = [process.execPath, import.meta.path, "--answer", String(objects)];
  const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const { value } = await child.stdout.getReader().read();
    const endpoint = new TextDecoder().decode(value).trim();
    const address = { endpoint, region: "any", access_key_id: "a", secret_access_key: "b" };
    return await measured(objects, async () => ["--address", JSON.stringify(address), "--bucket", "b"]);
  } finally {
    child.kill();
  }
}

/** Answers requests for pages with the keys from a number on; the token is that number. */
function answer(objects: number): void {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const from = Number(new URL(request.url).searchParams.get("continuation-token") ?? 0);
      const to = Math.min(objects, from + PAGE);
      const next = to < objects ? `<NextContinuationToken>${to}</NextContinuationToken>` : "";
      let contents = "";
      for (let index = from; index < to; index++)
        contents += `<Contents><Key>${keyAt(index)}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified><ETag>"0123456789abcdef0123456789abcdef"</ETag><Size>4711</Size><StorageClass>STANDARD</StorageClass></Contents>`;
      const body = `<?xml version="1.0"?><ListBucketResult><Name>b</Name><Prefix></Prefix><KeyCount>${to - from}</KeyCount><MaxKeys>${PAGE}</MaxKeys><IsTruncated>${to < objects}</IsTruncated>${next}${contents}</ListBucketResult>`;
      return new Response(body, { headers: { "content-type": "application/xml" } });
    },
  });
  console.log(`http://127.0.0.1:${server.port}`);
}

const SEARCHES: Readonly<Record<string, () => Promise<Found>>> = {
  "300,000 files in one directory": directory,
  "10,000 objects in Ceph RGW": rgw,
  "1,000,000 objects, simulated": million,
};

if (values.answer !== undefined) answer(Number(values.answer));
else if (values.in !== undefined) await search(values.in);
else
  for (const [name, work] of Object.entries(SEARCHES)) {
    if (values.only !== undefined && !name.includes(values.only)) continue;
    const { objects, orphans, wallMs, cpuMs, blockedMsMax, peakMib } = await work();
    if (orphans !== Math.floor(objects / 2 / UNRECORDED) * 2) throw new Error(`${name}: ${orphans} orphans`);
    const [wall, cpu] = [wallMs, cpuMs].map((ms) => `${(ms / 1000).toFixed(1)} s`);
    const blocked = `${Math.round(blockedMsMax)} ms`;
    console.log(`${name}: ${wall}, CPU ${cpu}, blocked ${blocked}, memory +${Math.round(peakMib)} MiB`);
  }
