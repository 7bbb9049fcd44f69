import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, rename, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { createLog } from "../../../src/base/log.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { StorageChecks } from "../../../src/daemon/storage-checks.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import { openContext } from "../../../src/jobs/context.ts";
import { silentProgress } from "../../../src/jobs/progress.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
let [app, shop] = ["", ""];

beforeAll(async () => {
  [app, shop] = [await postgres.createDatabase(), await postgres.createDatabase()];
});

/** A context of an installation as it is now, and the lines of its log. */
async function contextOf(installation: Installation): Promise<{ context: JobContext; lines: string[] }> {
  const lines: string[] = [];
  const context = await openContext({
    config: await loadConfig(installation.configFile, { env: {} }),
    log: createLog({ format: "text", level: "info", write: (line) => lines.push(line.slice(21).trim()) }),
    clock: systemClock,
    signal: new AbortController().signal,
    progress: silentProgress,
  });
  return { context, lines };
}

test("the state of servers and storages is recorded, and each change is logged once", async () => {
  const r2 = await rgw();
  const bucket = await r2.makeBucket();
  await using toBucket = await startFaultProxy(Number(new URL(r2.endpoint).port));
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [app, shop],
    storages: (directory) => [
      localStorage("disk", directory),
      s3Storage("r2", { ...r2, endpoint: `http://127.0.0.1:${toBucket.port}` }, bucket, { attempts: 2 }),
    ],
  });
  const { context, lines } = await contextOf(installation);
  await using _context = context;
  const { overview } = context.catalog;
  const sightings = new StorageChecks();

  await sightings.look(context);
  expect(lines).toEqual([]);
  const there = (await overview.databases()).filter(({ gone_at }) => gone_at === null);
  expect(there.map(({ database }) => database).sort()).toEqual([app, shop].sort());
  const [disk, remote] = await overview.storages();
  expect(disk).toMatchObject({ name: "disk", check_error: null });
  expect(disk?.free_bytes).toBeWithin(1, disk?.total_bytes ?? 0);
  expect(remote).toMatchObject({ name: "r2", check_error: null, free_bytes: null, errors: 0 });

  toBucket.cutAfter(0);
  const directory = join(installation.directory, "disk");
  await rename(directory, `${directory}.away`);
  // Nobody listens there.
  const server = context.config.server.map((settings) => ({ ...settings, port: 1 }));
  const withoutServer = { ...context, config: { ...context.config, server } };
  for (let look = 0; look < 3; look++) await sightings.look(withoutServer);
  expect(lines).toHaveLength(3);
  for (const about of ["server=main", "storage=disk", "storage=r2"])
    expect(lines.shift()).toStartWith(`warning unreachable ${about} error=`);
  const away = await overview.storages();
  expect(away.map(({ errors, check_error }) => errors === 3 && check_error !== null)).toEqual([true, true]);
  // While its server does not answer, a database is not recorded as gone.
  expect((await overview.databases()).map(({ gone_at }) => gone_at)).toEqual([null, null]);

  toBucket.pass();
  await rename(`${directory}.away`, directory);
  await postgres.connect().unsafe(`drop database ${shop} with (force)`);
  for (let look = 0; look < 2; look++) await sightings.look(context);
  expect(lines.map((line) => line.trimEnd())).toEqual(
    ["server=main", "storage=disk", "storage=r2"].map((about) => `info    reachable again ${about}`),
  );
  const gone = (await overview.databases()).filter(({ gone_at }) => gone_at !== null);
  expect(gone.map(({ database }) => database)).toEqual([shop]);
  expect((await overview.storages()).map(({ check_error }) => check_error)).toEqual([null, null]);
});

test("a directory without the marker does not count as the storage: the disk is not mounted", async () => {
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [app],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
  const { context } = await contextOf(installation);
  await using _context = context;
  const errorOf = async () => {
    await new StorageChecks().look(context);
    return (await context.catalog.overview.storages())[0]?.check_error;
  };
  const directory = join(installation.directory, "disk");
  expect(await errorOf()).toBeNull();
  await rename(directory, `${directory}.away`);
  await mkdir(directory);
  expect(await errorOf()).toContain("its marker is missing");
  await rmdir(directory);
  await rename(`${directory}.away`, directory);
  expect(await errorOf()).toBeNull();
});

test("the databases of a server that is no longer in the config are gone", async () => {
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [app],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const { context } = await contextOf(installation);
  await using _context = context;
  await context.catalog.overview.seeDatabases("former", ["old"], "2026-11-23T00:00:00.000Z");
  await new StorageChecks().look(context);
  const [former, main] = await context.catalog.overview.databases();
  expect(former).toMatchObject({ server: "former", database: "old", gone_at: expect.any(String) });
  expect(main).toMatchObject({ server: "main", database: app, gone_at: null });
});
