import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { FLEET_SERIES_HOSTS_MAX } from "../../src/base/limits.ts";
import { renderFleetMetrics } from "../../src/http/metrics/fleet.ts";
import { FLEET_METRICS } from "../../src/http/metrics/list.ts";
import { METRICS_CONTENT_TYPE } from "../../src/http/metrics/metrics.ts";
import { fleetDatabase, fleetHost, fleetOf } from "../fixtures/fleet-report.ts";
import { fleetPageOf, pageOf } from "../fixtures/page-input.ts";
import { fullReport } from "../fixtures/status-report.ts";
import { documentedKeys, misfits } from "../lab/cli-docs.ts";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";
import { scrapeOf, valueIn } from "../lab/scrape.ts";
import { hostRecord } from "../suites/catalog/hosts.ts";
import { backupRecord, copyRecord } from "../suites/catalog/records.ts";

let lab: EndpointLab;
let address: string;

beforeAll(async () => {
  lab = await endpointLab({ more: '[fleet]\nhost = "web1"\n' });
  ({ address } = await lab.serve());
  const { catalog } = lab.context;
  const now = lab.clock.now().getTime();
  const ago = (minutes: number) => new Date(now - minutes * 60_000).toISOString();
  const common = { started_at: ago(600), problems: [] };
  await catalog.hosts.put(hostRecord({ ...common, host: "web1", heartbeat_at: ago(1) }));
  const servers = [{ name: "shop", at: "shop:5432" }];
  await catalog.hosts.put(hostRecord({ ...common, host: "web2", heartbeat_at: ago(90), servers }));
  for (const [host, server] of [
    ["web1", "main"],
    ["web2", "shop"],
  ] as const) {
    const backup = backupRecord({ host, server, status: "VERIFIED", started_at: ago(120) });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED", object_bytes: 10 }));
  }
});
afterAll(() => lab[Symbol.asyncDispose]());

const ask = (path: string, init?: RequestInit) => fetch(address + path, init);

test("/status?fleet=1 is about all hosts, in both formats and with fail, and its JSON is as documented", async () => {
  const json = await ask("/status?fleet=1&format=json&fail=1");
  expect(json.status).toBe(503);
  // biome-ignore lint/suspicious/noExplicitAny: a test reads it freely.
  const report = (await json.json()) as any;
  expect(misfits(report, documentedKeys("JSON of status --fleet"))).toEqual([]);
  expect(report.verdict.sentence).toBe("Host web2 has been silent for 1h 30m.");
  const hosts = report.hosts.map(({ host, state, databases }: Record<string, unknown>) => ({
    ...{ host, state, databases },
  }));
  expect(hosts).toMatchObject([
    { host: "web1", state: "up", databases: { good: 1 } },
    { host: "web2", state: "silent", databases: { good: 1 } },
  ]);
  const text = await ask("/status?fleet=1&format=text");
  expect([text.status, await text.text()]).toEqual([200, expect.stringContaining("\nHOSTS\nHOST ")]);
  expect((await ask("/status?fleet=all")).status).toBe(400);
  const one = (await (await ask("/status?fleet=0&format=json")).json()) as Record<string, unknown>;
  expect(one["hosts"]).toBeUndefined();
});

test("the page of all hosts has them in order of urgency, and leads back to this host", async () => {
  const answer = await ask("/?fleet=1&refresh=60");
  const html = await answer.text();
  expect(answer.headers.get("content-security-policy")).toContain("style-src 'sha256-");
  expect(html).toContain("<title>problem: pg321 on all hosts</title>");
  expect(html).toContain("Host web2 has been silent for 1h 30m.");
  const list = html.slice(html.indexOf('id="hosts"'));
  const at = [">web2</bdi>", ">web1</bdi>"].map((text) => list.indexOf(text));
  expect([at[0] !== -1, at[1] !== -1, Number(at[0]) < Number(at[1])]).toEqual([true, true, true]);
  expect(html).toContain('<a href="./">This host</a>');
  expect(html).toContain("./status?fleet=1&amp;format=json");
  expect(html).toContain("./?fleet=1&amp;refresh=60");
  expect((await ask("/?fleet=all")).status).toBe(200);
  // A catalog in a file has one host only.
  expect(await (await ask("/")).text()).not.toContain("fleet=1");
});

test("a page of a shared catalog leads to all hosts", () => {
  const shared = pageOf(fullReport(), "", { isShared: true });
  expect(shared).toContain('<a href="./?fleet=1">All hosts</a>');
  expect(pageOf(fullReport())).not.toContain("fleet=1");
});

test("a page of very many hosts and databases names those with problems and counts the rest", () => {
  const hosts = Array.from({ length: 400 }, (_, index) => fleetHost({ host: `up${index}` }));
  const databases = Array.from({ length: 2000 }, (_, index) => fleetDatabase({ database: `db${index}` }));
  const report = fleetOf({
    hosts: [...hosts, fleetHost({ host: "down", state: "silent" })],
    databases: [...databases, fleetDatabase({ database: "old", state: "stale" })],
  });
  const html = fleetPageOf(report);
  for (const text of [
    ">down</bdi>",
    ">old</bdi>",
    "101 more hosts not shown",
    "1,501 more databases not shown",
  ])
    expect(html).toContain(text);
});

test("the title of the page says that databases wait for their first backup, and a run that is due is called so", () => {
  const waiting = fleetDatabase({ state: "never", newest_good: null });
  const [next] = fleetHost().next_runs;
  const due = fleetHost({ next_runs: next ? [{ ...next, at: fleetOf().now }] : [] });
  const html = (...databases: (typeof waiting)[]) =>
    fleetPageOf(fleetOf({ hosts: [due], alerts: [], databases }));
  expect(html(fleetDatabase())).toContain("all good");
  expect(html(fleetDatabase(), waiting)).not.toContain("all good");
  expect(html(fleetDatabase(), waiting)).toContain("good, 1 without a backup yet");
  expect(html(waiting)).toMatch(/Next run<\/dt>\s*<dd>due/);
});

test("names of hosts, servers and databases are shown as text", () => {
  const name = "<script>alert(1)</script>";
  const report = fleetOf({
    hosts: [fleetHost({ host: name, servers: [{ name, at: name }], problems: [name] })],
    databases: [fleetDatabase({ database: name, host: name })],
  });
  expect(fleetPageOf(report)).not.toContain("<script>");
});

test("/metrics?fleet=1 has the metrics of the fleet and no others; /metrics has none of them", async () => {
  const answer = await ask("/metrics?fleet=1");
  expect(answer.headers.get("content-type")).toBe(METRICS_CONTENT_TYPE);
  const found = scrapeOf(await answer.text());
  expect(valueIn(found, "pg321_fleet_hosts", { state: "silent" })).toBe(1);
  expect(valueIn(found, "pg321_fleet_host_state", { host: "web2", state: "silent" })).toBe(1);
  expect(valueIn(found, "pg321_fleet_host_databases", { host: "web1", state: "good" })).toBe(1);
  const plain = scrapeOf(await (await ask("/metrics")).text());
  expect(plain.series.filter(({ name }) => name.startsWith("pg321_fleet"))).toEqual([]);
  expect((await ask("/metrics?fleet=2")).status).toBe(400);
});

test("the metrics of the fleet are those of the list, with as many series for each host as documented", async () => {
  const found = scrapeOf(await renderFleetMetrics(fleetOf()));
  const names = new Set(found.series.map(({ name }) => name));
  expect([...names].sort()).toEqual(Object.keys(FLEET_METRICS).sort());
  const ofHost = found.series.filter(({ labels }) => labels["host"] === "web1").length;
  const others = found.series.filter(({ labels }) => labels["host"] === undefined).length;
  const docs = await Bun.file(join(import.meta.dir, "../../docs/metrics.md")).text();
  expect(docs.replaceAll(/\s+/g, " ")).toContain(`${ofHost} series for each host and ${others} more`);
  expect(docs).toContain(`At most ${FLEET_SERIES_HOSTS_MAX.toLocaleString("en")} hosts are exported`);
  for (const { labels } of found.series) expect(labels).not.toHaveProperty("database");
});

test("while the catalog is unreachable, no databases are counted but those of this host", async () => {
  const known_at = new Date(Date.parse(fleetOf().now) - 3_600_000).toISOString();
  const catalog = { ...fleetOf().catalog, unreachable_since: known_at, known_at };
  // This host has one of the servers of web2, too: what it remembers of them is a part.
  const hosts = [fleetHost({ host: "web1" }), fleetHost({ host: "web2", state: "silent", as_of: known_at })];
  const found = scrapeOf(await renderFleetMetrics(fleetOf({ host: "web1", catalog, hosts })));
  expect(valueIn(found, "pg321_fleet_known_timestamp_seconds")).toBe(Date.parse(known_at) / 1000);
  expect(valueIn(found, "pg321_fleet_host_state", { host: "web2", state: "silent" })).toBe(1);
  expect(valueIn(found, "pg321_fleet_host_databases", { host: "web1", state: "good" })).toBe(3);
  const counted = found.series.filter(({ name, labels }) =>
    labels["host"] === "web2" ? /databases|oldest|marks/.test(name) : name === "pg321_fleet_databases",
  );
  expect(counted).toEqual([]);
});

test("with too many hosts, those with a problem are exported", async () => {
  const hosts = Array.from({ length: FLEET_SERIES_HOSTS_MAX + 5 }, (_, index) =>
    fleetHost({ host: `h${index}` }),
  );
  hosts.push(fleetHost({ host: "down", state: "silent" }));
  const found = scrapeOf(await renderFleetMetrics(fleetOf({ hosts })));
  expect(valueIn(found, "pg321_fleet_hosts_left_out")).toBe(6);
  expect(valueIn(found, "pg321_fleet_host_state", { host: "down", state: "silent" })).toBe(1);
  const shown = new Set(found.series.flatMap(({ labels }) => labels["host"] ?? []));
  expect(shown.size).toBe(FLEET_SERIES_HOSTS_MAX);
});
