import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadToml, MINIMAL } from "../../test/fixtures/config-file.ts";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { hostRecord } from "../../test/suites/catalog/hosts.ts";
import { alertRecord } from "../../test/suites/catalog/records.ts";
import { DAY_MS, HEARTBEAT_MS } from "../base/limits.ts";
import { silentLog } from "../base/log.ts";
import { VERSION } from "../base/version.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { boundTo } from "../catalog/fleet/fenced-catalog.ts";
import { openCatalog } from "../catalog/open.ts";
import type { JobContext } from "../jobs/context.ts";
import { hostServer } from "../jobs/register-host.ts";
import { Heartbeat } from "./heartbeat.ts";

interface Fixture extends AsyncDisposable {
  catalog: Catalog;
  clock: ManualClock;
  lease: AbortController;
  problems: string[];
  warnings: string[];
  start: (seen?: Catalog) => Promise<Heartbeat>;
}

async function fixture(): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-heartbeat-"));
  const clock = new ManualClock(new Date("2026-11-23T00:00:00Z"));
  const server = 'host = "db.example.com"\npassword = "hunter2"\n';
  const config = await loadToml(
    `timezone = "UTC"\nstate_dir = "${directory}"\n${MINIMAL.replace('name = "main"\n', `name = "main"\n${server}`)}[fleet]\nhost = "web1"\n`,
  );
  const catalog = await openCatalog(config.catalog, { clock });
  const lease = new AbortController();
  const problems: string[] = [];
  const warnings: string[] = [];
  const log = { ...silentLog, warning: (message: string) => void warnings.push(message) };
  const about = { config, clock, log, host: config.fleet.host, pid: 42, installation: "0a0a", keys: {} };
  const context = () => about as unknown as JobContext;
  const live = {
    context,
    nextRuns: () => new Map([["backup", new Date("2026-11-23T02:00:00Z")]]),
    problems: async () => problems,
  };
  return {
    ...{ catalog, clock, lease, problems, warnings },
    start: (seen = catalog) => Heartbeat.start({ live, catalog: seen, lease, clock, log }),
    async [Symbol.asyncDispose]() {
      await catalog[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

test("a daemon records its host at its start, every minute, and that it has stopped", async () => {
  await using at = await fixture();
  const { catalog, clock, problems } = at;
  const heartbeat = await at.start();
  const first = await catalog.hosts.one("web1");
  expect(first).toEqual({
    ...{ host: "web1", version: VERSION, pid: 42 },
    ...{ started_at: "2026-11-23T00:00:00.000Z", heartbeat_at: "2026-11-23T00:00:00.000Z", stopped_at: null },
    storages: [{ name: "disk", type: "local" }],
    servers: [{ name: "main", at: "db.example.com:5432" }],
    next_runs: expect.arrayContaining([
      { schedule: "backup", job: "backup", at: "2026-11-23T02:00:00.000Z", interval_ms: DAY_MS },
      { schedule: "cleanup", job: "cleanup", at: null, interval_ms: DAY_MS },
    ]),
    problems: [],
  });
  problems.push("the catalog cannot be written: the disk is full");
  await clock.advance(2 * HEARTBEAT_MS);
  expect(await catalog.hosts.all()).toMatchObject([
    { started_at: "2026-11-23T00:00:00.000Z", heartbeat_at: "2026-11-23T00:02:00.000Z", problems },
  ]);
  await clock.advance(HEARTBEAT_MS / 2);
  await heartbeat[Symbol.asyncDispose]();
  const at230 = "2026-11-23T00:02:30.000Z";
  expect(await catalog.hosts.all()).toMatchObject([{ heartbeat_at: at230, stopped_at: at230, problems: [] }]);
  await clock.advance(10 * HEARTBEAT_MS);
  expect((await catalog.hosts.one("web1"))?.heartbeat_at).toBe(at230);
});

test("in a file that was copied from a shared catalog, the other hosts and what they have raised are forgotten", async () => {
  await using at = await fixture();
  const { catalog } = at;
  await catalog.hosts.put(hostRecord({ host: "web2", heartbeat_at: "2026-11-22T23:00:00.000Z" }));
  const raise = (key: string, host?: string) => {
    const alert = alertRecord({ key });
    const scope = host === undefined ? undefined : { host, isShared: () => false };
    return catalog.changeAlert(key, () => ({ alert, deliveries: [] }), scope);
  };
  await raise("backup main/app", "web1");
  await raise("storage shared", "web2");
  await raise("host web2", "web1");
  await raise("config");
  await using _heartbeat = await at.start();
  expect((await catalog.hosts.all()).map(({ host }) => host)).toEqual(["web1"]);
  const open = (await catalog.alerts({ open: true })).map(({ key }) => key);
  expect(open.sort()).toEqual(["backup main/app", "config"]);
});

test("a daemon that has lost its lease leaves the record to the one that has it", async () => {
  await using at = await fixture();
  const heartbeat = await at.start();
  at.lease.abort(new Error("another daemon has it"));
  await at.clock.advance(2 * HEARTBEAT_MS);
  await heartbeat[Symbol.asyncDispose]();
  expect(await at.catalog.hosts.one("web1")).toMatchObject({
    heartbeat_at: "2026-11-23T00:00:00.000Z",
    stopped_at: null,
  });
});

test("a catalog that takes no record is logged once, and the record comes when it does again", async () => {
  await using at = await fixture();
  const { catalog, clock, warnings } = at;
  const put = catalog.hosts.put.bind(catalog.hosts);
  catalog.hosts.put = () => Promise.reject(new Error("the disk is full"));
  await using _heartbeat = await at.start();
  await clock.advance(3 * HEARTBEAT_MS);
  expect(warnings).toEqual(["the sign of life of this host could not be recorded"]);
  catalog.hosts.put = put;
  await clock.advance(HEARTBEAT_MS);
  expect(await catalog.hosts.one("web1")).toMatchObject({ heartbeat_at: "2026-11-23T00:04:00.000Z" });
});

test("a daemon records its host as soon as the catalog is reachable again", async () => {
  await using at = await fixture();
  const { catalog, clock } = at;
  let since: string | null = "2026-11-23T00:00:00.000Z";
  const outage = () => (since === null ? undefined : { since, reason: "no answer" });
  const seen = new Proxy(catalog, {
    get: (target, name) => (name === "spool" ? { outage } : boundTo(target, name)),
  });
  await using _heartbeat = await at.start(seen);
  await clock.advance(HEARTBEAT_MS + HEARTBEAT_MS / 4);
  expect(await catalog.hosts.one("web1")).toMatchObject({ heartbeat_at: "2026-11-23T00:01:00.000Z" });
  since = null;
  await clock.advance(HEARTBEAT_MS / 4);
  expect(await catalog.hosts.one("web1")).toMatchObject({ heartbeat_at: "2026-11-23T00:01:20.000Z" });
  await clock.advance(HEARTBEAT_MS);
  expect(await catalog.hosts.one("web1")).toMatchObject({ heartbeat_at: "2026-11-23T00:02:20.000Z" });
});

test("a server is named by its place, without a login", () => {
  expect(hostServer({ name: "main", host: "/run/postgresql", port: 5433 })).toEqual({
    name: "main",
    at: "/run/postgresql/.s.PGSQL.5433",
  });
});
