import { expect, test } from "bun:test";
import { systemClock } from "../../../src/base/clock.ts";
import { leaseName } from "../../../src/catalog/database-lease.ts";
import { holdLease } from "../../../src/catalog/lease.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { watched } from "../../lab/machine/running.ts";
import { BRIEFLY, brieflyKept, retained } from "../../lab/retained.ts";
import { startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { runRecord } from "../../suites/catalog/records.ts";

const postgres = usePostgres();

test("a backup waits only for the removal of one backup; cleanup leaves the rest of the database for later", async () => {
  const lab = await rgw();
  await using proxy = startHttpProxy(lab.endpoint);
  await using at = await brieflyKept(postgres);
  const [older, old] = [await at.backup(3), await at.backup(2)];
  await at.backup(0);
  const file = at.installation.configFile;
  await Bun.write(file, (await Bun.file(file).text()).replaceAll(lab.endpoint, proxy.endpoint));
  const release = Promise.withResolvers<void>();
  let isDeleting = false;
  proxy.answer = async ({ method, forward }) => {
    if (method === "DELETE" && !isDeleting) {
      isDeleting = true;
      await release.promise;
    }
    return forward();
  };
  const cleanup = watched(at.installation.start("cleanup", "--json"));
  await cleanup.until("it deletes", () => isDeleting);
  const backup = watched(at.installation.start("backup"));
  await backup.says("is waiting for another run on its database");
  release.resolve();
  expect((await backup.ended).exitCode).toBe(0);
  const { exitCode, json } = await cleanup.ended;
  expect(exitCode).toBe(0);
  expect(json.storages.r2).toMatchObject({ expired: 2, deleted: 1, held: 1, failed: 0 });
  expect(json.notes).toEqual([
    { storage: "r2", key: older, note: expect.stringContaining("a backup of main/") },
  ]);
  expect(await at.states(older)).toBe("disk:DELETED r2:CONFIRMED");
  expect(await at.record(old)).toBeUndefined();
  expect((await at.cleanup()).storages.r2).toMatchObject({ deleted: 1, held: 0 });
});

test("a backup does not wait for another backup", async () => {
  const database = await postgres.createDatabase();
  await using at = await retained(postgres, { databases: [database], settings: BRIEFLY });
  await withCatalog(at.installation, async (catalog) => {
    const run = runRecord({ job: "backup", outcome: "RUNNING" });
    await catalog.insertRun(run);
    const request = { name: leaseName("main", database), runId: run.id, host: run.host, pid: process.pid };
    const tools = { clock: systemClock, signal: new AbortController().signal };
    await using _held = await holdLease(catalog, request, tools);
    const { exitCode, stderr } = await at.installation.run("backup");
    expect(exitCode).toBe(11);
    expect(stderr).not.toContain("waits");
  });
});
