import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Sql } from "postgres";
import type { FleetReport } from "../../../src/status/fleet/report.ts";
import type { StatusReport } from "../../../src/status/report.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { type Running, watched } from "../../lab/machine/running.ts";
import { type Scrape, scrapeOf, valueIn } from "../../lab/scrape.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);

/** Three real daemons with one catalog: what each says about itself, and about the others. */

const NAMES = ["web1", "web2", "web3"] as const;
type Name = (typeof NAMES)[number];

const postgres = usePostgres();
let sql: Sql;
const hosts = new Map<Name, { installation: Installation; daemon: Running }>();

beforeAll(async () => {
  const catalog = await postgres.createDatabase();
  sql = postgres.connect(catalog);
  let first: Installation | undefined;
  for (const name of NAMES) {
    const options = {
      ...{ postgres: postgres.address, databases: [await postgres.createDatabase()] },
      serverName: `db-${name}`,
      storages: (directory: string) => [localStorage(`disk-${name}`, directory)],
    };
    const installation: Installation = first
      ? await first.another(options)
      : await Installation.make(options);
    first ??= installation;
    const more = [
      ...["[catalog]", `url = "${postgres.url(catalog)}"`, "[fleet]", `host = "${name}"`],
      ...["[http]", `listen = "unix:${join(installation.directory, "http.sock")}"`],
    ];
    await installation.configure({ more: more.join("\n") });
    hosts.set(name, { installation, daemon: await started(installation) });
    await installation.backUp();
  }
});
afterAll(async () => {
  for (const { daemon } of hosts.values()) daemon.kill("SIGKILL");
  for (const { daemon, installation } of hosts.values()) {
    await daemon.ended;
    await installation[Symbol.asyncDispose]();
  }
});

async function started(installation: Installation): Promise<Running> {
  const daemon = watched(installation.start("run"));
  await daemon.says("started");
  return daemon;
}

function at(name: Name): { installation: Installation; daemon: Running } {
  const found = hosts.get(name);
  if (!found) throw new Error(name);
  return found;
}

const ask = (name: Name, path: string) =>
  fetch(`http://localhost${path}`, { unix: join(at(name).installation.directory, "http.sock") });
const json = async <T>(name: Name, path: string) => (await (await ask(name, path)).json()) as T;
const scrape = async (name: Name, path = "/metrics"): Promise<Scrape> =>
  scrapeOf(await (await ask(name, path)).text());
const states = async (name: Name) =>
  (await json<FleetReport>(name, "/status?fleet=1&format=json")).hosts.map(
    (host) => `${host.host} ${host.state} ${host.servers.map((server) => server.name)}`,
  );

test("every daemon shows all three, with their databases and last runs", async () => {
  const all = ["web1 up db-web1", "web2 up db-web2", "web3 up db-web3"];
  for (const name of NAMES) expect(await states(name)).toEqual(all);
  const { json: report } = await at("web2").installation.ok("status", "--fleet", "--json");
  expect(report.verdict).toMatchObject({
    level: "good",
    sentence: "3 hosts are up; 3 databases have a recent good backup.",
  });
  expect(report.databases.map(({ server, host }: Record<string, string>) => `${server} ${host}`)).toEqual([
    "db-web1 web1",
    "db-web2 web2",
    "db-web3 web3",
  ]);
  for (const host of report.hosts)
    expect(host).toMatchObject({ databases: { good: 1 }, last_runs: [{ job: "backup", outcome: "OK" }] });
});

test("each daemon reports only what is its own, unless it is asked for the fleet", async () => {
  for (const name of NAMES) {
    const status = await json<StatusReport>(name, "/status?format=json");
    expect(status.databases.map(({ server }) => server)).toEqual([`db-${name}`]);
    expect(status.storages.map((one) => [one.name, one.copies])).toEqual([[`disk-${name}`, 1]]);
    const found = await scrape(name);
    const servers = new Set(found.series.flatMap(({ labels }) => labels["server"] ?? []));
    expect([...servers]).toEqual([`db-${name}`]);
    expect(valueIn(found, "pg321_runs_total", { pg321_job: "backup", outcome: "OK" })).toBe(1);
    expect(found.series.some(({ labels }) => labels["host"] !== undefined && labels["host"] !== name)).toBe(
      false,
    );
  }
  const fleet = await scrape("web3", "/metrics?fleet=1");
  expect(valueIn(fleet, "pg321_fleet_hosts", { state: "up" })).toBe(3);
  expect(valueIn(fleet, "pg321_fleet_databases", { state: "good" })).toBe(3);
  expect(await (await ask("web1", "/")).text()).toContain('<a href="./?fleet=1">All hosts</a>');
  expect(await (await ask("web1", "/?fleet=1")).text()).toContain(">db-web3</bdi>");
});

test("an alert of one host is in the status of the fleet, and not in that of the others", async () => {
  const keysOf = ({ alerts }: Pick<StatusReport, "alerts">) => alerts.map(({ key }) => key);
  await sql`insert into pg321.alerts (id, key, level, job, message, metadata, count, created_at, last_at, reminders, host)
    values (gen_random_uuid(), 'reload', 'WARNING', 'backup', 'refused', '{}', 1, '2026-01-01T00:00:00.000Z',
    '2026-01-01T00:00:00.000Z', 0, 'web2')`;
  expect(keysOf(await json("web2", "/status?format=json"))).toEqual(["reload"]);
  expect(keysOf(await json("web1", "/status?format=json"))).toEqual([]);
  for (const name of NAMES)
    expect(keysOf(await json(name, "/status?fleet=1&format=json"))).toEqual(["reload"]);
  await sql`delete from pg321.alerts`;
});

test("a host that was killed is silent, until its daemon is back; one that was stopped is forgotten, its backups are not", async () => {
  at("web3").daemon.kill("SIGKILL");
  await at("web3").daemon.ended;
  // Ten minutes later.
  await sql`update pg321.hosts set heartbeat_at = replace(heartbeat_at, substr(heartbeat_at, 1, 19),
    to_char(substr(heartbeat_at, 1, 19)::timestamp - interval '10 minutes', 'YYYY-MM-DD"T"HH24:MI:SS'))
    where host = 'web3'`;
  expect((await states("web1"))[2]).toBe("web3 silent db-web3");
  const failing = await ask("web2", "/status?fleet=1&fail=1&format=text");
  expect([failing.status, await failing.text()]).toEqual([
    503,
    expect.stringMatching(/^Host web3 has been silent for 10m \d\ds\.\n/),
  ]);
  const { installation } = at("web3");
  hosts.set("web3", { installation, daemon: await started(installation) });
  expect((await states("web1"))[2]).toBe("web3 up db-web3");

  const refused = await at("web1").installation.run("forget-host", "web3");
  expect([refused.exitCode, refused.stderr]).toEqual([11, expect.stringContaining("was alive ")]);
  at("web3").daemon.kill("SIGTERM");
  expect((await at("web3").daemon.ended).exitCode).toBe(0);
  expect((await states("web2"))[2]).toBe("web3 stopped db-web3");
  const { stdout } = await at("web1").installation.ok("forget-host", "web3");
  expect(stdout).toStartWith("host web3 is forgotten; the 1 backup that it made and all copies stay");
  expect(await states("web2")).toEqual(["web1 up db-web1", "web2 up db-web2", "web3 never "]);
  const left = await at("web1").installation.ok("list", "--host", "web3", "--json");
  expect(left.json.backups).toMatchObject([
    { host: "web3", status: "VERIFIED", copies: [{ storage: "disk-web3", state: "CONFIRMED" }] },
  ]);
  expect(left.json.backups).toHaveLength(1);
  expect((await at("web1").installation.ok("list")).stdout).toMatch(/DATABASE +HOST +STARTED/);
});
