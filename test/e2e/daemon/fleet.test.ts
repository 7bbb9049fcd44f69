import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { Heartbeat } from "../../../src/daemon/heartbeat.ts";
import { openContext } from "../../../src/jobs/context.ts";
import { silentProgress } from "../../../src/jobs/progress.ts";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { eventually } from "../../lab/machine/running.ts";
import { ManualClock } from "../../lab/manual-clock.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { hostRecord } from "../../suites/catalog/hosts.ts";
import { alertRecord } from "../../suites/catalog/records.ts";

/** What every host shows of the others, with the catalog in a real PostgreSQL. */

const postgres = usePostgres();
const quiet = { log: silentLog, signal: new AbortController().signal, progress: silentProgress };
let installation: Installation;
let catalog: Catalog;

beforeAll(async () => {
  const url = postgres.url(await postgres.createDatabase());
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [await postgres.createDatabase()],
    storages: (directory) => [localStorage("disk", directory)],
    more: `[catalog]\nurl = "${url}"\n[fleet]\nhost = "web1"\n[http]\nlisten = "off"`,
  });
  await installation.backUp();
  catalog = await openCatalog({ type: "postgres", url: new Secret(url) }, { clock: systemClock });
});
afterAll(async () => {
  await catalog[Symbol.asyncDispose]();
  await installation[Symbol.asyncDispose]();
});

/** A host whose daemon recorded its last heartbeat so many minutes ago, by the clock of the catalog. */
async function recordHost(host: string, minutes: number): Promise<void> {
  const now = await catalog.leaseTime(systemClock);
  const at = new Date(now.getTime() - minutes * 60_000).toISOString();
  const servers = [
    { name: "main", at: "db:5432" },
    { name: "shop", at: "shop:5432" },
  ];
  await catalog.hosts.put(hostRecord({ host, servers, started_at: at, heartbeat_at: at, problems: [] }));
}

test("the status of the fleet has every host, and the exit code of its verdict", async () => {
  await recordHost("web2", 1);
  const calm = await installation.run("status", "--fleet", "--exit-code");
  expect([calm.stderr, calm.exitCode]).toEqual(["", 0]);
  expect(calm.stdout).toStartWith("1 of 2 hosts is up; 1 database has a recent good backup.\n");
  await recordHost("web2", 30);
  const bad = await installation.run("status", "--fleet", "--exit-code", "--json");
  expect(bad.exitCode).toBe(4);
  expect(misfits(bad.json, documentedKeys("JSON of status --fleet"))).toEqual([]);
  expect(bad.json.verdict.sentence).toStartWith("Host web2 has been silent for 30m ");
  expect(bad.json.catalog).toMatchObject({ is_shared: true });
  expect(bad.stdout).not.toContain(postgres.address.password);
});

test("backups are listed by the host that made them", async () => {
  await recordHost("web2", 1);
  const { json } = await installation.ok("list", "--host", "web1", "--json");
  expect(json.backups).toMatchObject([{ host: "web1", server: "main" }]);
  expect((await installation.ok("list", "--host", "web2")).stdout).toBe("no backups\n");
  expect((await installation.ok("show", json.backups[0].id)).stdout).toMatch(/^host +web1$/m);
  const unknown = await installation.run("list", "--host", "web3");
  expect([unknown.exitCode, unknown.stderr]).toEqual([2, expect.stringContaining("did you mean web")]);
  const removed = await installation.run("list", "--host", "web1", "--removed");
  expect([removed.exitCode, removed.stderr]).toEqual([2, expect.stringContaining("--host")]);
});

test("a living host is not forgotten; a silent one is, and its backups stay", async () => {
  await recordHost("web2", 1);
  const alive = await installation.run("forget-host", "web2");
  expect(alive.exitCode).toBe(11);
  expect(alive.stderr).toContain('forget-host: the daemon of host "web2" was alive 1m 0');
  expect(alive.stderr).toContain("systemctl stop pg321");
  await recordHost("web2", 6);
  await installation.ok("status", "--fleet");
  const scope = { host: "web2", isShared: () => false };
  const alert = alertRecord({ key: "backup shop/app", message: "the backup of shop/app failed" });
  await catalog.changeAlert(alert.key, () => ({ alert, deliveries: [] }), scope);
  const { stdout } = await installation.ok("forget-host", "web2");
  expect(await catalog.alerts({ open: true, key: alert.key })).toEqual([]);
  expect(stdout).toStartWith("host web2 is forgotten; the 0 backups that it made and all copies stay");
  expect(stdout).toContain("server shop (0 backups): no other host has it");
  const again = await installation.run("forget-host", "web2");
  expect([again.exitCode, again.stderr]).toEqual([2, expect.stringContaining('no host is named "web2"')]);
  await recordHost("web2", 6);
  const { json } = await installation.ok("forget-host", "web2", "--json");
  expect(misfits(json, documentedKeys("JSON of forget-host"))).toEqual([]);
  const hosts = (await catalog.hosts.all()).map(({ host }) => host);
  expect(hosts).not.toContain("web2");
  expect((await installation.ok("list", "--json")).json.backups).toHaveLength(1);
});

test("a daemon accuses a silent host once it has seen the others for long enough, and no longer once it works again", async () => {
  const clock = new ManualClock();
  const config = await loadConfig(installation.configFile, { env: {} });
  const context = await openContext({ config, catalog, clock, ...quiet });
  await using _context = context;
  const live = { context: () => context, nextRuns: () => new Map(), problems: async () => [] };
  const lease = { signal: new AbortController().signal };
  const open = async () => (await catalog.alerts({ open: true })).map(({ key, level }) => `${level} ${key}`);
  // The server of the catalog answers in real time: the clock goes on by little with each of its answers.
  const until = (condition: () => Promise<boolean>) =>
    eventually(async () => {
      if (await condition()) return true;
      await clock.advance(2_000);
      return false;
    });
  await recordHost("web2", 10);
  await using _heartbeat = await Heartbeat.start({ live, catalog, lease, clock, log: silentLog });
  await until(async () => (await open()).length > 0);
  expect(await open()).toEqual(["CRITICAL host web2"]);
  expect(clock.monotonicMs()).toBeGreaterThanOrEqual(config.fleet.silent_after_ms);
  await recordHost("web2", 0);
  await until(async () => (await open()).length === 0);
  expect((await installation.ok("status", "--fleet")).stdout).toStartWith("2 hosts are up;");
});
