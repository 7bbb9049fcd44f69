import { Database } from "bun:sqlite";
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Sql } from "postgres";
import { DAY_MS, MINUTE_MS } from "../../../src/base/limits.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import { ownView } from "../../../src/catalog/fleet/host-view.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import { loadConfig } from "../../../src/config/load.ts";
import type { FleetReport } from "../../../src/status/fleet/report.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { keysIn } from "../../lab/leftovers.ts";
import { daemonInProcess } from "../../lab/machine/daemon-in-process.ts";
import { JumpingClock } from "../../lab/machine/jumping-clock.ts";
import { eventually, watched } from "../../lab/machine/running.ts";
import { stopped } from "../../lab/machine/two-hosts.ts";
import { startCommitRelay } from "../../lab/servers/commit-relay.ts";
import { startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);

/** Two hosts that share the backups of a server: one dies, or the catalog of both is unreachable. */

const postgres = usePostgres();
let source = "";
let sql: Sql;
let url = "";

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres.connect(source)`
    create table t as select n, md5(n::text) as text from generate_series(1, 1000) as n`;
  const catalog = await postgres.createDatabase();
  url = postgres.url(catalog);
  sql = postgres.connect(catalog);
});

/** Once a day, half a day from now, so that no due time comes in the test. */
const PATTERN = `0 ${(new Date().getHours() + 12) % 24} * * *`;
const more = (host: string, { pattern = PATTERN, retries = 2, catalog = url, http = "off" } = {}) => `
[catalog]
url = "${catalog}"
[fleet]
host = "${host}"
workers = "any"
[schedule]
backup = "${pattern}"
retries = ${retries}
cleanup = "off"
verify = "off"
repair = "off"
[http]
listen = "${http}"`;

/** Counts how often a daemon looks for due times that others have left. */
function counting(catalog: Catalog, counted: () => void): Catalog {
  const slots = new Proxy(catalog.slots, {
    get: (target, name) => {
      if (name === "newest") counted();
      return Reflect.get(target, name);
    },
  });
  return Object.assign(catalog, { slots });
}

test("a host that dies in the middle of a backup: another one makes it once the lease is over, not at the next due time", async () => {
  await using toSource = await startFaultProxy(postgres.address.port);
  const options = (host: string, port: number) => ({
    ...{ postgres: { ...postgres.address, port }, databases: [source], more: more(host) },
    storages: (directory: string) => [localStorage(`disk-${host}`, directory)],
  });
  await using a = await Installation.make(options("a", toSource.port));
  await using b = await a.another(options("b", postgres.address.port));
  const disk = { name: "disk-a", directory: join(a.directory, "disk-a") };
  await using catalog = await openCatalog(
    { type: "postgres", url: new Secret(url) },
    { clock: new JumpingClock() },
  );
  // Its daemon has missed a run.
  const config = await loadConfig(a.configFile, { env: {} });
  const yesterday = new Date(Date.now() - DAY_MS).toISOString();
  await ownView(catalog, config).overview.seeSchedule("backup", `${PATTERN} ${config.timezone}`, yesterday);
  toSource.stallAnswersAfter(20_000);
  const first = watched(a.start("run"));
  await first.until(
    "a dump stands still",
    async () => toSource.isStalled() && (await keysIn(disk)).some((key) => key.endsWith(".tmp")),
  );

  const clock = new JumpingClock();
  let looks = 0;
  await using host = await daemonInProcess(b, clock, (one) => counting(one, () => looks++));
  const look = async () => {
    const before = looks;
    // A tick while the look before is under way does nothing.
    await eventually(async () => {
      clock.jump(MINUTE_MS / 2);
      await catalog.leases();
      return looks > before;
    });
  };
  const runsOf = async (name: string) =>
    (await catalog.runs({ job: "backup", host: name })).map(
      ({ outcome, schedule, scheduled_for, error }) => ({
        ...{ outcome, schedule, scheduled_for, error },
      }),
    );
  const [begun] = await runsOf("a");
  expect(begun).toMatchObject({ outcome: "RUNNING", schedule: "backup", scheduled_for: expect.any(String) });
  await look();
  first.kill("SIGKILL");
  await first.ended;
  // The lease is not over yet.
  await look();
  await look();
  expect([await runsOf("b"), host.daemon.running()]).toEqual([[], []]);

  const before = "2026-01-01T00:00:00.000Z";
  await sql`update pg321.leases set expires_at = ${before} where host = 'a'`;
  await sql`update pg321.slots set claimed_at = ${before}`;
  await look();
  await look();
  await eventually(async () => (await catalog.countBackups({ host: "b", status: ["VERIFIED"] })) === 1);
  await eventually(() => host.daemon.running().length === 0);
  const due = { schedule: "backup", scheduled_for: begun?.scheduled_for ?? null, error: null };
  expect(await runsOf("b")).toEqual([{ ...due, outcome: "OK" }]);
  // Once.
  await look();
  await look();
  expect(await runsOf("b")).toHaveLength(1);

  // The host is back: it settles what it has left, and does not make that backup again.
  toSource.pass();
  const second = watched(a.start("run"));
  await second.says("a run has ended");
  await stopped(second);
  expect(await runsOf("a")).toMatchObject([
    { outcome: "IDLE", error: 'this scheduled time was taken by host "b"' },
    { outcome: "INTERRUPTED" },
  ]);
  expect(await catalog.countBackups({ status: ["VERIFIED"] })).toBe(1);
  expect(await keysIn(disk)).toEqual([]);
});

test("while the catalog is unreachable for both, each makes the backups, and all are delivered", async () => {
  await using relay = await startCommitRelay(postgres.address.port);
  const direct = postgres.url(await postgres.createDatabase());
  const catalogUrl = `${direct.replace(`:${postgres.address.port}/`, `:${relay.port}/`)}?sslmode=disable`;
  let shared = "";
  const options = {
    ...{ postgres: postgres.address, databases: [source], serverName: "main" },
    storages: (directory: string) => {
      shared ||= join(directory, "shared");
      return [`[[storage]]\nname = "shared"\ntype = "local"\npath = ${JSON.stringify(shared)}`];
    },
  };
  await using a = await Installation.make(options);
  await using b = await a.another(options);
  const daemons = [];
  for (const host of [a, b]) {
    const http = `unix:${join(host.directory, "http.sock")}`;
    const own = { pattern: "*/3 * * * * *", retries: 0, catalog: catalogUrl, http };
    await host.configure({ more: more(host === a ? "a" : "b", own) });
    const daemon = watched(host.start("run"));
    await daemon.says("started");
    daemons.push(daemon);
  }
  await using catalog = await openCatalog(
    { type: "postgres", url: new Secret(direct) },
    { clock: new JumpingClock() },
  );
  const good = async (host: string) => (await catalog.backups({ host, status: ["VERIFIED"] })).length;
  await eventually(async () => (await good("a")) + (await good("b")) >= 1);

  const cutAt = new Date().toISOString();
  relay.cut();
  const known = <R>(host: Installation, query: string) => {
    using file = new Database(join(host.directory, "state", "spool.db"), { readonly: true });
    return file.query<R, []>(query).all();
  };
  const made = (host: Installation) =>
    known<{ due: string }>(
      host,
      `SELECT scheduled_for AS due FROM runs WHERE outcome = 'OK' AND started_at > '${cutAt}'`,
    ).map(({ due }) => due);
  await eventually(() => made(a).some((due) => made(b).includes(due)));
  // The other host is shown as of the last look.
  const unix = join(b.directory, "http.sock");
  const answer = await fetch("http://localhost/status?fleet=1&format=json", { unix });
  const fleet = (await answer.json()) as FleetReport;
  expect(fleet.hosts.map(({ host, state, as_of }) => [host, state, as_of])).toEqual([
    ["a", "up", expect.any(String)],
    ["b", "up", null],
  ]);

  relay.pass();
  for (const host of [a, b])
    await eventually(() => known(host, "SELECT 1 FROM journal LIMIT 1").length === 0);
  for (const daemon of daemons) await stopped(daemon);
  for (const host of [a, b]) expect(known(host, "SELECT * FROM refused")).toEqual([]);
  // What is in the storage is in the catalog, and good.
  const backups = await catalog.backups({ status: ["VERIFIED"] });
  const keys = (await keysIn({ name: "shared", directory: shared })).filter((key) => !key.endsWith(".json"));
  expect(backups.map(({ object_key }) => object_key).toSorted()).toEqual(keys.toSorted());
  for (const { id } of backups) expect(await catalog.copies(id)).toMatchObject([{ state: "CONFIRMED" }]);
  const runs = await catalog.runs({ job: "backup" });
  expect(runs.filter(({ outcome }) => outcome === "OK")).toHaveLength(backups.length);
  // A due time that both have taken has two backups.
  const twice = [...Map.groupBy(runs, (run) => run.scheduled_for).values()]
    .map((of) => of.filter(({ outcome }) => outcome === "OK").map(({ host }) => host))
    .filter((of) => of.length > 1);
  expect(twice.length).toBeGreaterThan(0);
  for (const of of twice) expect(of.toSorted()).toEqual(["a", "b"]);
});
