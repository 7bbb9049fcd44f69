import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdir, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { LeaseHolder } from "../../../src/catalog/records.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { copyStates, keysIn, leftovers, type Place, uploadsIn, withCatalog } from "../../lab/leftovers.ts";
import { noNamespaceReason, runContained, startContained } from "../../lab/machine/pid-namespace.ts";
import { type Running, watched } from "../../lab/machine/running.ts";
import { only, statusOf } from "../../lab/newest-backup.ts";
import { isThirdPart, queryOf } from "../../lab/servers/held-requests.ts";
import { type HttpProxy, startHttpProxy } from "../../lab/servers/http-proxy.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";
import { rgw, type S3Lab } from "../../lab/servers/s3.ts";

setDefaultTimeout(120_000);

/** More than the buffers between pg_dump and a hanging storage hold: pg_dump stays alive, and so does its password file. */
const DUMP_MIB = 100;

let postgres: LabPostgres;
let r2: S3Lab;

interface Fixture extends AsyncDisposable {
  installation: Installation;
  proxy: HttpProxy;
  places: Place[];
  /** In a separate container, which ends with the fixture. */
  start(...words: string[]): Running;
  /** A backup in a separate container, in the middle of its upload. `release` lets it continue. */
  backupInItsMiddle(): Promise<{ running: Running; id: string; release: () => void }>;
  temporaryFiles(): Promise<string[]>;
}

async function install(more = ""): Promise<Fixture> {
  const proxy = startHttpProxy(r2.endpoint);
  const bucket = await r2.makeBucket();
  const installation = await Installation.make({
    postgres: postgres.address,
    databases: ["bulk"],
    storages: (dir) => [
      localStorage("disk", dir),
      s3Storage("r2", { ...r2, endpoint: proxy.endpoint }, bucket, {
        max_parallel_parts: 2,
        min_rate: "0",
      }),
    ],
    more: `[compression]\nalgorithm = "none"\n${more}`,
  });
  const started: Running[] = [];
  const start = (...words: string[]) => {
    const running = watched(startContained(installation, ...words));
    started.push(running);
    return running;
  };
  return {
    installation,
    proxy,
    start,
    places: [
      { name: "disk", directory: join(installation.directory, "disk") },
      { name: "r2", lab: r2, bucket },
    ],
    async backupInItsMiddle() {
      const gate = Promise.withResolvers<void>();
      let isHeld = false;
      proxy.answer = async (request) => {
        isHeld ||= isThirdPart(request);
        if (isHeld && queryOf(request).has("partNumber")) await gate.promise;
        return request.forward();
      };
      const running = start("backup");
      await running.until("the upload is held", () => isHeld);
      return { running, id: (await only(installation)).id, release: gate.resolve };
    },
    temporaryFiles: () => installation.temporaryFiles(),
    async [Symbol.asyncDispose]() {
      for (const running of started) running.kill("SIGKILL");
      for (const running of started) await running.ended;
      await installation[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** Makes leases that nobody renews expire, as time would. */
async function letLeasesRunOut({ installation }: Fixture): Promise<void> {
  await withCatalog(installation, async (catalog) => {
    for (const { name, run_id } of await catalog.leases())
      await catalog.renewLease(name, run_id, "2020-01-01T00:00:00.000Z");
  });
}

/** The traces of a run in progress: its leases, its temporary files, its password file. */
async function belongings({ installation, places, temporaryFiles }: Fixture, id: string) {
  const leases = await withCatalog(installation, (catalog) => catalog.leases());
  return {
    leases: leases.map(({ name, run_id }: LeaseHolder) => `${name} ${run_id}`).sort(),
    copies: await copyStates(installation, id),
    status: await statusOf(installation, id),
    files: await Promise.all(places.map(keysIn)),
    uploads: await Promise.all(places.map(uploadsIn)),
    temporary: await temporaryFiles(),
  };
}

describe.skipIf(noNamespaceReason !== undefined)(
  `two containers of one host name on one state${noNamespaceReason ? `: ${noNamespaceReason}` : ""}`,
  () => {
    beforeAll(async () => {
      [postgres, r2] = [await startPostgres(), await rgw()];
      const admin = connectTo(postgres.address, "postgres");
      await admin.unsafe("create database bulk");
      await admin.end();
      const sql = connectTo(postgres.address, "bulk");
      await fillBulk(sql, DUMP_MIB);
      await sql.end();
    });
    afterAll(() => postgres?.[Symbol.asyncDispose]());

    test("a live backup in one is left alone by every command in the other, and succeeds", async () => {
      await using fixture = await install();
      const { installation, places } = fixture;
      const { running, id, release } = await fixture.backupInItsMiddle();
      const before = await belongings(fixture, id);
      expect(before).toMatchObject({ status: "RUNNING", copies: "disk:INTENDED r2:INTENDED" });
      expect(before.temporary).toEqual([expect.stringMatching(/^pg321-libpq-.*\/pgpass$/)]);
      expect(before.leases.map((lease) => lease.split(" ")[0])).toEqual(["main/bulk", "run"]);

      // On the host, then in another container.
      for (const run of [installation.run.bind(installation), runContained.bind(null, installation)]) {
        const { exitCode, stderr } = await run("backup");
        expect(stderr).toMatch(/main\/bulk: held by run \S+ \(pid 1 on [^,]+, in another container\)/);
        expect(exitCode).toBe(11);
        for (const words of [["repair"], ["cleanup"], ["verify"], ["delete", id, "--force"]])
          await run(...words);
        expect(await only(installation)).toMatchObject({ id, status: "RUNNING", running_on: hostname() });
        expect(await belongings(fixture, id)).toEqual(before);
      }
      const runs = await withCatalog(installation, (catalog) => catalog.runs({ outcome: "RUNNING" }));
      expect(runs).toMatchObject([{ job: "backup", pid: 1, finished_at: null }]);

      release();
      expect((await running.ended).exitCode).toBe(0);
      expect(await statusOf(installation, id)).toBe("VERIFIED");
      expect(await leftovers(installation, places)).toEqual([]);
    });

    test("a killed backup keeps its lease until it expires; then the other container settles it", async () => {
      await using fixture = await install();
      const { installation, places, temporaryFiles } = fixture;
      const { running, id, release } = await fixture.backupInItsMiddle();
      running.kill("SIGKILL");
      await running.ended;
      release();
      expect((await runContained(installation, "backup")).exitCode).toBe(11);
      expect(await statusOf(installation, id)).toBe("RUNNING");

      await letLeasesRunOut(fixture);
      expect((await runContained(installation, "backup")).exitCode).toBe(0);
      expect(await statusOf(installation, id)).toBe("INTERRUPTED");
      const runs = await withCatalog(installation, (catalog) => catalog.runs({ job: "backup" }));
      expect(runs.map(({ outcome }) => outcome)).toContain("INTERRUPTED");
      expect(runs.map(({ outcome }) => outcome)).not.toContain("RUNNING");

      // Its password file is removed after an hour without a touch.
      const [left = ""] = await temporaryFiles();
      expect(left).toEndWith("/pgpass");
      const tmp = join(installation.directory, "state/tmp");
      const [directory = ""] = (await readdir(tmp)).filter((name) => left.startsWith(name));
      const before = Date.now() / 1000 - 3_700;
      await utimes(join(tmp, directory), before, before);
      await installation.ok("repair");
      expect(await leftovers(installation, places)).toEqual([]);
    });

    test("a daemon waits for the lease of its container's previous start, then takes over", async () => {
      await using fixture = await install('[http]\nlisten = "off"\n[schedule]\nbackup = "0 0 1 1 *"\n');
      const { installation } = fixture;
      const first = fixture.start("run");
      await first.says("started");
      first.kill("SIGKILL");
      await first.ended;
      const next = fixture.start("run");
      await next.says("waiting for the lease of a daemon");
      await letLeasesRunOut(fixture);
      await next.says("started");
      const leases = await withCatalog(installation, (catalog) => catalog.leases());
      expect(leases.map(({ name }) => name)).toEqual(["daemon"]);
    });
  },
);
