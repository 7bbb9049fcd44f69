import { afterAll, beforeAll, expect, test } from "bun:test";
import { documentedKeys, misfits } from "../lab/cli-docs.ts";
import { type EndpointLab, endpointLab } from "../lab/endpoint.ts";
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
