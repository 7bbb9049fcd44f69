import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { CreateMultipartUploadCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { systemClock } from "../../../src/base/clock.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { copyStates, keysIn, leftovers, type Place, uploadsIn, withCatalog } from "../../lab/leftovers.ts";
import { eventually, pgDumpOf, startedWith, watched } from "../../lab/machine/running.ts";
import { only, statusOf } from "../../lab/newest-backup.ts";
import type { Hold } from "../../lab/servers/held-requests.ts";
import {
  holdAt,
  isBegin,
  isCompletion,
  isHead,
  isManifest,
  isThirdPart,
  killed,
  pathOf,
} from "../../lab/servers/held-requests.ts";
import { type HttpProxy, startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";
import { rgw, type S3Lab, swift } from "../../lab/servers/s3.ts";
import { runRecord } from "../../suites/catalog/records.ts";

setDefaultTimeout(120_000);

/** `bulk` is larger than three parts of an upload, `blocked` larger than the buffers between pg_dump and a hanging storage. */
const DUMP_MIB = { bulk: 30, blocked: 100 };

let postgres: LabPostgres;
let r2: S3Lab;
let b2: S3Lab;

beforeAll(async () => {
  [postgres, r2, b2] = [await startPostgres(), await rgw(), await swift()];
  const admin = connectTo(postgres.address, "postgres");
  for (const [name, mib] of Object.entries(DUMP_MIB)) {
    await admin.unsafe(`create database ${name}`);
    const sql = connectTo(postgres.address, name);
    await fillBulk(sql, mib);
    await sql.end();
  }
  await admin.end();
});
afterAll(() => postgres[Symbol.asyncDispose]());

/** Not pg321's files, although they lie among its objects and some look like them. */
const FOREIGN = [
  "main/bulk/.pg321-0123456789abcdef.tmp",
  "main/bulk/backup_bulk_20200101_000000_deadbeef.dump.enc",
  "main/bulk/notes.txt",
  "other.json",
];

interface Fixture extends AsyncDisposable {
  installation: Installation;
  proxy: HttpProxy;
  disk: Place;
  bucket: Place;
}

async function install(
  order: "disk first" | "bucket first" = "disk first",
  database: keyof typeof DUMP_MIB = "bulk",
): Promise<Fixture> {
  const proxy = startHttpProxy(r2.endpoint);
  const bucket = await r2.makeBucket();
  const installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (dir) => {
      const both = [
        localStorage("disk", dir),
        s3Storage("r2", { ...r2, endpoint: proxy.endpoint }, bucket, { max_parallel_parts: 2 }),
      ];
      return order === "disk first" ? both : both.toReversed();
    },
    more: '[compression]\nalgorithm = "none"',
  });
  const directory = join(installation.directory, "disk");
  for (const key of FOREIGN) {
    await mkdir(dirname(join(directory, key)), { recursive: true });
    await writeFile(join(directory, key), "foreign");
    const object = { Bucket: bucket, Key: `pg321/${key}` };
    await r2.client.send(new PutObjectCommand({ ...object, Body: "foreign" }));
    await r2.client.send(new CreateMultipartUploadCommand(object));
  }
  return {
    installation,
    proxy,
    disk: { name: "disk", directory },
    bucket: { name: "r2", lab: r2, bucket },
    async [Symbol.asyncDispose]() {
      await installation[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

async function expectNoRestore(installation: Installation, id: string): Promise<void> {
  const { exitCode, stderr } = await installation.run("restore", id, "--target", "main/never", "--create");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("error: backup ");
  expect(
    (await installation.run("restore", "latest", "--database", "bulk", "--target", "main/never", "--create"))
      .exitCode,
  ).toBe(2);
}

describe("kill -9 of a backup", () => {
  test.each<[string, Parameters<typeof install>[0], "before" | "after", Hold, string, string]>([
    ["after the intents", "disk first", "before", isHead, "INTERRUPTED", "disk:FAILED r2:FAILED"],
    [
      "before the upload's id is known",
      "disk first",
      "after",
      isBegin,
      "INTERRUPTED",
      "disk:FAILED r2:FAILED",
    ],
    [
      "in the middle of the upload",
      "disk first",
      "before",
      isThirdPart,
      "INTERRUPTED",
      "disk:FAILED r2:FAILED",
    ],
    [
      "before the upload is completed",
      "disk first",
      "before",
      isCompletion,
      "INTERRUPTED",
      "disk:FAILED r2:FAILED",
    ],
    [
      "when it is completed, but not recorded",
      "disk first",
      "after",
      isCompletion,
      "INTERRUPTED",
      "disk:FAILED r2:FAILED",
    ],
    [
      "before the first manifest",
      "bucket first",
      "before",
      isManifest,
      "VERIFIED",
      "disk:CONFIRMED r2:CONFIRMED",
    ],
    [
      "when the first manifest is stored, but not recorded",
      "bucket first",
      "after",
      isManifest,
      "VERIFIED",
      "disk:CONFIRMED r2:CONFIRMED",
    ],
    [
      "after the manifest of one storage",
      "disk first",
      "before",
      isManifest,
      "VERIFIED",
      "disk:CONFIRMED r2:CONFIRMED",
    ],
    [
      "before the catalog's final update",
      "disk first",
      "after",
      isManifest,
      "VERIFIED",
      "disk:CONFIRMED r2:CONFIRMED",
    ],
  ])("%s", async (_, order, when, isIt, status, copies) => {
    await using fixture = await install(order);
    const { installation, proxy, disk, bucket } = fixture;
    const isHeld = holdAt(proxy, when, isIt);
    const running = watched(installation.start("backup"));
    await running.until(
      "the request is held",
      async () => isHeld() && (await keysIn(disk)).length > FOREIGN.length,
    );
    const { id, ...shown } = await only(installation);
    expect(shown).toMatchObject({ status: "RUNNING", running_on: hostname() });
    expect((await installation.ok("list")).stdout).toMatch(
      new RegExp(`^${id.slice(0, 8)} .*main/bulk .* [0-9.]+ m?s .*running on ${hostname()}, by hand`, "m"),
    );
    await expectNoRestore(installation, id);

    await killed(running);
    expect(await only(installation)).toMatchObject({ id, status: "INTERRUPTED", running_on: null });
    await expectNoRestore(installation, id);

    // The next run settles it.
    proxy.answer = (request) => request.forward();
    await installation.ok("backup");
    expect(await copyStates(installation, id)).toBe(copies);
    expect(await statusOf(installation, id)).toBe(status);
    expect(await leftovers(installation, [disk, bucket], FOREIGN)).toEqual([]);
    expect((await uploadsIn(bucket)).sort()).toEqual(FOREIGN);
    const runs = await withCatalog(installation, (catalog) => catalog.runs({ job: "backup" }));
    expect(runs.map(({ outcome }) => outcome).sort()).toEqual(["INTERRUPTED", "OK"]);

    await installation.ok("repair");
    expect(await statusOf(installation, id)).toBe(status === "PARTIAL" ? "VERIFIED" : status);
    expect(await leftovers(installation, [disk, bucket], FOREIGN)).toEqual([]);
    const { copies: verdicts } = (await installation.ok("verify", "--all", "--json")).json;
    expect(verdicts).toHaveLength(status === "INTERRUPTED" ? 2 : 4);
  });

  test("also ends its pg_dump", async () => {
    await using fixture = await install("disk first", "blocked");
    const isHeld = holdAt(fixture.proxy, "before", isHead);
    const running = watched(fixture.installation.start("backup"));
    let pgDump: number | undefined;
    await running.until("pg_dump runs", () => {
      pgDump = pgDumpOf(running.pid);
      return isHeld() && pgDump !== undefined;
    });
    await killed(running);
    await eventually(() => startedWith(pgDump as number).cmdline === "");
  });

  test("at random moments, again and again", async () => {
    const [bucket, b2Bucket] = [await r2.makeBucket(), await b2.makeBucket()];
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: ["bulk"],
      storages: (dir) => [
        localStorage("disk", dir),
        s3Storage("r2", r2, bucket),
        s3Storage("b2", b2, b2Bucket),
      ],
    });
    const places: Place[] = [
      { name: "disk", directory: join(installation.directory, "disk") },
      { name: "r2", lab: r2, bucket },
      { name: "b2", lab: b2, bucket: b2Bucket },
    ];
    const startedAtMs = systemClock.monotonicMs();
    await installation.ok("backup");
    const wholeMs = systemClock.monotonicMs() - startedAtMs;
    for (let round = 0; round < 8; round++) {
      const running = watched(installation.start("backup"));
      const delayMs = Math.random() * wholeMs;
      await systemClock.sleep(delayMs);
      running.kill("SIGKILL");
      await running.ended;
      const settling = watched(installation.start("repair"));
      await systemClock.sleep(Math.random() * delayMs);
      settling.kill("SIGKILL");
      await settling.ended;
      await installation.ok("repair");
      const statuses = (await installation.ok("list", "--json")).json.backups.map(
        (backup: { status: string }) => backup.status,
      );
      const wrong = statuses.filter((status: string) => status !== "VERIFIED" && status !== "INTERRUPTED");
      const left = await leftovers(installation, places);
      expect({ delayMs, wrong, left }).toEqual({ delayMs, wrong: [], left: [] });
    }
    await installation.ok("verify", "--all");
  });
});

test("a run is closed although another process has its pid now", async () => {
  await using fixture = await install();
  const { installation } = fixture;
  // As in a container, where pg321 gets the same pid at each start.
  const run = runRecord({ host: hostname(), pid: process.pid, pid_start: 1 });
  await withCatalog(installation, (catalog) => catalog.insertRun(run));
  await installation.ok("repair");
  const runs = await withCatalog(installation, (catalog) => catalog.runs({}));
  expect(runs.find(({ id }) => id === run.id)).toMatchObject({ outcome: "INTERRUPTED" });
});

test("while one run settles a backup, no other run touches it", async () => {
  await using fixture = await install();
  const { installation, proxy, disk, bucket } = fixture;
  proxy.answer = async () => new Response(null, { status: 403 });
  expect((await installation.run("backup")).exitCode).toBe(3);
  const { id } = await only(installation);
  expect(await copyStates(installation, id)).toBe("disk:CONFIRMED r2:INTENDED");

  const release = Promise.withResolvers<void>();
  let isHeld = false;
  proxy.answer = async (request) => {
    if (!isHeld && pathOf(request).includes("/backup_")) {
      isHeld = true;
      await release.promise;
    }
    return request.forward();
  };
  const settling = watched(installation.start("backup"));
  await settling.until("it looks for what was left", () => isHeld);
  // It would otherwise fill the copy that the other run is about to remove.
  expect((await installation.ok("repair", "--json")).json.copies).toEqual([]);
  release.resolve();
  expect((await settling.ended).exitCode).toBe(0);
  expect(await copyStates(installation, id)).toBe("disk:CONFIRMED r2:FAILED");
  await installation.ok("repair");
  expect(await copyStates(installation, id)).toBe("disk:CONFIRMED r2:CONFIRMED");
  expect(await leftovers(installation, [disk, bucket], FOREIGN)).toEqual([]);
});

describe("kill -9 of a repair", () => {
  test.each<[string, "before" | "after", Hold]>([
    ["in the middle of the upload", "before", isThirdPart],
    ["before the manifest", "before", isManifest],
    ["when the manifest is stored, unrecorded", "after", isManifest],
  ])("%s: the next one completes it", async (_, when, isIt) => {
    await using fixture = await install();
    const { installation, proxy, disk, bucket } = fixture;
    proxy.answer = async () => new Response(null, { status: 403 });
    expect((await installation.run("backup")).exitCode).toBe(3);
    const { id } = await only(installation);

    const isHeld = holdAt(proxy, when, isIt);
    const running = watched(installation.start("repair"));
    await running.until("the request is held", isHeld);
    await killed(running);
    expect(await copyStates(installation, id)).toBe("disk:CONFIRMED r2:INTENDED");
    expect(await statusOf(installation, id)).toBe("PARTIAL");

    proxy.answer = (request) => request.forward();
    await installation.ok("repair");
    expect(await copyStates(installation, id)).toBe("disk:CONFIRMED r2:CONFIRMED");
    expect(await statusOf(installation, id)).toBe("VERIFIED");
    expect(await leftovers(installation, [disk, bucket], FOREIGN)).toEqual([]);
    expect((await installation.ok("verify", "--all", "--json")).json.copies).toHaveLength(2);
  });

  test("between the last copy and the backup's status: the next one sets it", async () => {
    await using fixture = await install();
    const { installation } = fixture;
    await installation.ok("backup");
    const { id } = await only(installation);
    // No network request in between can be held back, so set the state of the catalog at that moment.
    await withCatalog(installation, (catalog) => catalog.updateBackup(id, { status: "PARTIAL" }));
    await installation.ok("repair");
    expect(await statusOf(installation, id)).toBe("VERIFIED");
  });
});
