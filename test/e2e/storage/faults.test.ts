import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MIB } from "../../../src/base/limits.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { Installation, type InstallationOptions, localStorage, s3Storage } from "../../lab/installation.ts";
import { keysIn, leftovers, type Place, uploadsIn } from "../../lab/leftovers.ts";
import { mountFreezable, mountTmpfs } from "../../lab/machine/mounts.ts";
import { type Running, watched } from "../../lab/machine/running.ts";
import { expectGoodCopies, listedAs, statesOf } from "../../lab/newest-backup.ts";
import { type FaultProxy, startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";
import { portOf, rgw, type S3Lab, type StartedRgw, startRgw, swift, through } from "../../lab/servers/s3.ts";

/** Larger than the buffers between pg_dump and a storage that takes nothing. */
const DUMP_MIB = 96;
const MIDDLE_BYTES = 20 * MIB;

setDefaultTimeout(60_000);

let postgres: LabPostgres;
let r2: S3Lab;
let b2: S3Lab;
/** A separate gateway, for outages. */
let own: StartedRgw;

beforeAll(async () => {
  postgres = await startPostgres();
  [r2, b2, own] = [await rgw(), await swift(), await startRgw()];
  const admin = connectTo(postgres.address, "postgres");
  await admin.unsafe("create database bulk");
  await admin.end();
  const sql = connectTo(postgres.address, "bulk");
  await fillBulk(sql, DUMP_MIB);
  await sql.end();
});
afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await own[Symbol.asyncDispose]();
});

function install(change: Pick<InstallationOptions, "storages"> & Partial<InstallationOptions>) {
  return Installation.make({
    postgres: postgres.address,
    databases: ["bulk"],
    // Stored objects are as large as the dump, and compression takes little time.
    more: '[compression]\nalgorithm = "none"',
    ...change,
  });
}

const directory = (installation: Installation, name = "disk"): Place => ({
  name,
  directory: join(installation.directory, name),
});

async function backup(installation: Installation): Promise<Running> {
  return watched(installation.start("backup", "--json"));
}

describe("an outage of one storage", () => {
  test("from the start: the other copies are good, and repair fills it later without PostgreSQL", async () => {
    const [bucket, b2Bucket] = [await own.makeBucket(), await b2.makeBucket()];
    await using installation = await install({
      storages: (dir) => [
        localStorage("disk", dir),
        s3Storage("r2", own, bucket, { attempts: 2 }),
        s3Storage("b2", b2, b2Bucket),
      ],
    });
    await own.down();
    const run = await installation.run("backup", "--json");
    expect(run.exitCode).toBe(3);
    const [made] = run.json.backups;
    expect(made.status).toBe("PARTIAL");
    expect(made.copies.find((copy: { storage: string }) => copy.storage === "r2").error).toContain(
      `no answer from ${own.endpoint}`,
    );
    // It could not be asked, so the intent stays, and the next run tries again.
    await listedAs(installation, "PARTIAL", "b2:CONFIRMED disk:CONFIRMED r2:INTENDED");
    await expectGoodCopies(installation, ["b2", "disk"]);

    await own.up();
    await postgres.stop();
    const repaired = await installation.ok("repair", "--json").finally(() => postgres.start());
    expect(repaired.json.copies).toMatchObject([{ storage: "r2", outcome: "filled" }]);
    await listedAs(installation, "VERIFIED", "b2:CONFIRMED disk:CONFIRMED r2:CONFIRMED");
    await expectGoodCopies(installation, ["b2", "disk", "r2"]);
    const places: Place[] = [
      directory(installation),
      { name: "r2", lab: own, bucket },
      { name: "b2", lab: b2, bucket: b2Bucket },
    ];
    expect(await leftovers(installation, places)).toEqual([]);
  });

  test("in the middle: the next run removes its upload and fills it", async () => {
    await using proxy = await startFaultProxy(portOf(own));
    const bucket = await own.makeBucket();
    await using installation = await install({
      storages: (dir) => [
        localStorage("disk", dir),
        s3Storage("r2", through(own, proxy), bucket, { attempts: 2 }),
      ],
    });
    const places: Place[] = [directory(installation), { name: "r2", lab: own, bucket }];
    proxy.stallAfter(MIDDLE_BYTES);
    const running = await backup(installation);
    await running.until("the upload is in its middle", () => proxy.bytesUp() > MIDDLE_BYTES / 2);
    expect(await uploadsIn(places[1] as Place)).toHaveLength(1);
    await own.down();
    proxy.pass();
    const { exitCode, json } = await running.ended;
    expect(exitCode).toBe(3);
    expect(statesOf(json.backups[0].copies)).toBe("disk:CONFIRMED r2:INTENDED");
    await own.up();
    expect(await uploadsIn(places[1] as Place)).toHaveLength(1);

    await installation.ok("repair");
    await listedAs(installation, "VERIFIED", "disk:CONFIRMED r2:CONFIRMED");
    expect(await leftovers(installation, places)).toEqual([]);
  });

  test("a dropped connection is tried again within the run", async () => {
    await using proxy = await startFaultProxy(portOf(r2));
    const bucket = await r2.makeBucket();
    await using installation = await install({
      storages: (dir) => [localStorage("disk", dir), s3Storage("r2", through(r2, proxy), bucket)],
    });
    proxy.cutOnceAfter(MIDDLE_BYTES);
    const [made] = (await installation.ok("backup", "--json")).json.backups;
    // More bytes were sent than are stored: those lost with the connection were sent again.
    expect(proxy.bytesUp()).toBeGreaterThan(made.object_bytes + MIB);
    await listedAs(installation, "VERIFIED", "disk:CONFIRMED r2:CONFIRMED");
    await expectGoodCopies(installation, ["disk", "r2"]);
    expect(await leftovers(installation, [directory(installation), { name: "r2", lab: r2, bucket }])).toEqual(
      [],
    );
  });
});

describe("a full disk", () => {
  // Only root can mount a disk of a few MiB to fill.
  test.skipIf(process.getuid?.() !== 0)(
    "fails only that storage, says how to free space, and leaves nothing there",
    async () => {
      await using installation = await install({
        storages: (dir) => [
          localStorage("disk", dir),
          localStorage("full", dir, { min_free: 0 }),
          localStorage("reserved", dir, { min_free: "8MiB" }),
        ],
      });
      await using _full = await mountTmpfs(join(installation.directory, "full"), 24);
      await using _reserved = await mountTmpfs(join(installation.directory, "reserved"), 32);
      const { exitCode, json, stderr } = await installation.run("backup", "--json");
      expect(exitCode).toBe(3);
      expect(stderr).toContain(`free space on the file system of ${join(installation.directory, "full")}`);
      const errors = json.backups[0].copies.map((copy: { error: string | null }) => copy.error);
      expect(errors[0]).toBeNull();
      expect(errors[1]).toMatch(
        /^storage "full": put main\/bulk\/backup_bulk_\S+: no space left on the disk$/,
      );
      expect(errors[2]).toMatch(
        /^storage "reserved": put \S+: \S+ \w+ free, but 8\.0 MiB must stay free \(min_free\)/,
      );
      await listedAs(installation, "PARTIAL", "disk:CONFIRMED full:FAILED reserved:FAILED");
      const places = ["disk", "full", "reserved"].map((name) => directory(installation, name));
      expect(await leftovers(installation, places)).toEqual([]);
    },
  );
});

describe("a storage that slows down the dump", () => {
  test("and stalls is dropped, and the others finish", async () => {
    await using proxy = await startFaultProxy(portOf(r2));
    const bucket = await r2.makeBucket();
    await using installation = await install({
      storages: (dir) => [
        s3Storage("r2", through(r2, proxy), bucket, { stall_timeout: "1s" }),
        localStorage("disk", dir),
      ],
    });
    const places: Place[] = [directory(installation), { name: "r2", lab: r2, bucket }];
    proxy.stallAfter(MIDDLE_BYTES);
    const running = await backup(installation);
    await running.says("a storage was dropped");
    proxy.pass();
    const { exitCode, json } = await running.ended;
    expect(exitCode).toBe(3);
    expect(json.backups[0].copies).toMatchObject([
      { storage: "disk", state: "CONFIRMED", error: null },
      { storage: "r2", state: "FAILED", error: "took no byte for 1 s" },
    ]);
    await listedAs(installation, "PARTIAL", "disk:CONFIRMED r2:FAILED");
    expect(await leftovers(installation, places)).toEqual([]);

    proxy.stallAfter(MIDDLE_BYTES);
    const repair = watched(installation.start("repair", "--json"));
    await repair.says("filling a storage failed");
    proxy.pass();
    const stalled = await repair.ended;
    expect(stalled.exitCode).toBe(3);
    expect(stalled.json.copies).toMatchObject([{ storage: "r2", outcome: "failed" }]);
    expect(stalled.json.copies[0].error).toMatch(/^storage "r2": put \S+: took no byte for 1 s$/);
    await listedAs(installation, "PARTIAL", "disk:CONFIRMED r2:FAILED");
    expect(await leftovers(installation, places)).toEqual([]);

    await installation.ok("repair");
    await expectGoodCopies(installation, ["disk", "r2"]);
    expect(await leftovers(installation, places)).toEqual([]);
  });

  // A frozen file system hangs every write, as a lost NFS server does. This needs root, and a loop device for our own file system.
  test.skipIf(process.getuid?.() !== 0 || !existsSync("/dev/loop-control"))(
    "and hangs in a system call that nothing can end is abandoned",
    async () => {
      await using installation = await install({
        storages: (dir) => [localStorage("hung", dir, { stall_timeout: "1s" }), localStorage("disk", dir)],
      });
      const places = ["hung", "disk"].map((name) => directory(installation, name));
      await using mount = await mountFreezable(
        join(installation.directory, "image"),
        join(installation.directory, "hung"),
      );
      await mount.freeze();
      const running = await backup(installation);
      const isDone = async () => {
        const [made] = (await installation.ok("list", "--json")).json.backups;
        return made !== undefined && made.status !== "RUNNING";
      };
      await running.until("the backup is done", isDone);
      await listedAs(installation, "PARTIAL", "disk:CONFIRMED hung:INTENDED");
      // A process with a thread that hangs in a system call cannot even exit.
      await mount.thaw();
      const { exitCode, json, stderr } = await running.ended;
      expect(exitCode).toBe(3);
      // The first call that hung was for its marker.
      expect(stderr).toContain("put pg321-storage.json: took no byte for 1 s");
      expect(json.backups[0].copies[1].storage).toBe("hung");
      expect(json.backups[0].copies[1].error).toContain("an earlier call still hangs");
      await installation.ok("repair");
      await listedAs(installation, "VERIFIED", "disk:CONFIRMED hung:CONFIRMED");
      // A cleanup removes what the ended process left of the marker.
      const left = (await leftovers(installation, places)).filter(
        (one) => !/^hung: has \.pg321-\w+\.tmp$/.test(one),
      );
      expect(left).toEqual([]);
    },
  );

  test.each([
    ["is slower than its min_rate", { min_rate: "8MiB/s" }, "", "less than its min_rate"],
    ["would take longer than max_duration", {}, '[dump]\nmax_duration = "3s"', "dump.max_duration"],
  ])("and %s is dropped, then filled by copying in the same run", async (_, settings, more, why) => {
    await using proxy = await startFaultProxy(portOf(r2));
    const bucket = await r2.makeBucket();
    await using installation = await install({
      storages: (dir) => [localStorage("disk", dir), s3Storage("r2", through(r2, proxy), bucket, settings)],
      more: `[compression]\nalgorithm = "none"\n${more}`,
    });
    proxy.throttle(4 * MIB);
    const running = await backup(installation);
    await running.says("a storage was dropped");
    proxy.pass();
    const { exitCode, stderr, json } = await running.ended;
    expect(stderr).toContain(why);
    expect(exitCode).toBe(0);
    expect(statesOf(json.backups[0].copies)).toBe("disk:CONFIRMED r2:CONFIRMED");
    await listedAs(installation, "VERIFIED", "disk:CONFIRMED r2:CONFIRMED");
    await expectGoodCopies(installation, ["disk", "r2"]);
    expect(await leftovers(installation, [directory(installation), { name: "r2", lab: r2, bucket }])).toEqual(
      [],
    );
  });
});

test("without any storage left the backup fails, and pg_dump is ended early", async () => {
  const server = postgres.address;
  await using toPostgres = await startFaultProxy(server.port);
  await using first = await startFaultProxy(portOf(r2));
  await using second = await startFaultProxy(portOf(r2));
  const proxies = [first, second];
  const places = await Promise.all(
    proxies.map(async (_, index) => ({ name: `r${index}`, lab: r2, bucket: await r2.makeBucket() })),
  );
  await using installation = await install({
    postgres: { ...server, port: toPostgres.port },
    storages: () =>
      places.map(({ name, bucket }, index) =>
        s3Storage(name, through(r2, proxies[index] as FaultProxy), bucket, { attempts: 1 }),
      ),
  });
  for (const proxy of proxies) proxy.stallAfter(MIDDLE_BYTES);
  const running = await backup(installation);
  // A storage that has taken everything so far would wait for pg_dump, and not notice that its connection is cut.
  await running.until("both uploads wait", () => proxies.every((proxy) => proxy.isStalled()));
  // Now pg_dump can no longer end by itself.
  toPostgres.stall();
  for (const proxy of proxies) proxy.cutAfter(0);
  const { exitCode, json } = await running.ended;
  expect(exitCode).toBe(13);
  expect(json.outcome).toBe("FAILED");
  expect(json.backups[0]).toMatchObject({ status: "FAILED", dump_bytes: null });
  expect(json.backups[0].error).toMatch(/^every storage failed: storage "r0": .*; storage "r1": /);
  expect(json.backups[0].hint).toContain("endpoint");

  // The next run removes the remains that could not be removed; the record stays unchanged.
  for (const proxy of proxies) proxy.pass();
  toPostgres.pass();
  await installation.ok("repair");
  const id = await listedAs(installation, "FAILED", "r0:FAILED r1:FAILED");
  expect((await installation.ok("show", id, "--json")).json.error).toContain("every storage failed");
  expect((await installation.run("restore", id, "--target", "main/never", "--create")).exitCode).toBe(2);
  expect(await leftovers(installation, places)).toEqual([]);
  for (const place of places) expect(await keysIn(place)).toEqual([]);
});
