import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Sql } from "postgres";
import { DAY_MS, MINUTE_MS } from "../../../src/base/limits.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import { ownView } from "../../../src/catalog/fleet/host-view.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { keysIn } from "../../lab/leftovers.ts";
import { daemonInProcess } from "../../lab/machine/daemon-in-process.ts";
import { JumpingClock } from "../../lab/machine/jumping-clock.ts";
import { eventually, watched } from "../../lab/machine/running.ts";
import { stopped } from "../../lab/machine/two-hosts.ts";
import { startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);

/** Two hosts that share the backups of a server, of which one dies. */

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
const more = (host: string) => `
[catalog]
url = "${url}"
[fleet]
host = "${host}"
workers = "any"
[schedule]
backup = "${PATTERN}"
cleanup = "off"
verify = "off"
repair = "off"
[http]
listen = "off"`;

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
