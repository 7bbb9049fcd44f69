import { expect, test } from "bun:test";
import { loadToml, MINIMAL } from "../../test/fixtures/config-file.ts";
import { type AlertLab, alertLab } from "../../test/lab/alert-context.ts";
import { hostRecord } from "../../test/suites/catalog/hosts.ts";
import { alertRecord } from "../../test/suites/catalog/records.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../base/limits.ts";
import { type HostRecord, WITHOUT_DAEMON } from "../catalog/hosts.ts";
import type { NotifyConfig } from "../config/config.ts";
import { remindOfAlerts } from "./alert.ts";
import { alertHosts, resolveAlertsOfForgotten } from "./host-alerts.ts";

const [OPS] = (
  await loadToml(`${MINIMAL}[[notify]]
name = "ops"
type = "webhook"
url = "http://127.0.0.1:9/"
`)
).notify as [NotifyConfig];

/** Records a host whose last heartbeat was so long ago. */
async function put(lab: AlertLab, host: string, agoMs: number, change: Partial<HostRecord> = {}) {
  const at = new Date(lab.clock.now().getTime() - agoMs).toISOString();
  const servers = [{ name: `db-${host}`, at: `${host}:5432` }];
  const stopped = change.stopped_at === undefined ? {} : { stopped_at: at };
  await lab.catalog.hosts.put(
    hostRecord({ host, servers, started_at: at, heartbeat_at: at, ...change, ...stopped }),
  );
}

const look = (lab: AlertLab, mayAccuse = true) => alertHosts(lab, { now: lab.clock.now(), mayAccuse });
const open = async (lab: AlertLab) => await lab.catalog.alerts({ open: true });
const STOPPED = { stopped_at: "then" };

test("a silent host raises one alert, whoever looks and however often, until it works again", async () => {
  await using lab = await alertLab(OPS);
  await put(lab, "here", 0);
  await put(lab, "web2", 4 * MINUTE_MS);
  await lab.catalog.overview.seeDatabases("db-web2", ["app", "shop"], lab.clock.now().toISOString());
  await look(lab);
  expect(await open(lab)).toEqual([]);
  await put(lab, "web2", 6 * MINUTE_MS);
  for (const host of ["here", "web3", "here"]) await look({ ...lab, host });
  expect(await open(lab)).toMatchObject([
    {
      ...{ key: "host web2", level: "CRITICAL", count: 1, server: null },
      message: "host web2 has been silent for 6m 00s: its 2 databases (server db-web2) are not backed up",
      metadata: { silent_host: "web2", servers: ["db-web2"], databases: 2 },
    },
  ]);
  await put(lab, "web2", 0);
  await look(lab, false);
  expect(await open(lab)).toEqual([]);
  expect(await lab.catalog.alerts({ key: "host web2" })).toMatchObject([
    { resolved_at: lab.clock.now().toISOString() },
  ]);
});

test("the alerts of a forgotten host are resolved, and neither those of another host nor those of all hosts", async () => {
  await using lab = await alertLab(OPS);
  const raise = async (key: string, host: string | undefined) => {
    const scope = host === undefined ? undefined : { host, isShared: () => false };
    const alert = alertRecord({ key, message: `${key} of ${host}` });
    await lab.catalog.changeAlert(key, () => ({ alert, deliveries: [] }), scope);
    return alert;
  };
  const [gone] = [await raise("backup db4/app", "web4"), await raise("cleanup", "web4")];
  await raise("backup db4/app", "web2");
  await raise("cleanup", undefined);
  await raise("storage s3", undefined);
  await resolveAlertsOfForgotten(lab, "web4");
  expect((await open(lab)).map(({ message }) => message).sort()).toEqual([
    ...["backup db4/app of web2", "cleanup of undefined", "storage s3 of undefined"],
  ]);
  const notices = await lab.catalog.deliveries({ alert_id: gone.id });
  expect(notices.map(({ notifier, notice }) => [notifier, notice["event"]])).toEqual([["ops", "resolved"]]);
});

test("a host is not accused by itself, nor by a daemon that could not have seen its heartbeats", async () => {
  await using lab = await alertLab(OPS);
  await put(lab, "here", 10 * MINUTE_MS);
  await put(lab, "web2", 10 * MINUTE_MS);
  await look(lab, false);
  expect(await open(lab)).toEqual([]);
  await look(lab);
  expect((await open(lab)).map(({ key }) => key)).toEqual(["host web2"]);
});

test("a silent host whose servers another one has is only a warning", async () => {
  await using lab = await alertLab(OPS);
  await put(lab, "here", 0, { servers: [{ name: "db-web2", at: "web2:5432" }] });
  await put(lab, "web2", 10 * MINUTE_MS);
  await look(lab);
  expect(await open(lab)).toMatchObject([
    {
      level: "WARNING",
      message: "host web2 has been silent for 10m 00s: its servers are also on other hosts",
    },
  ]);
});

test("a host that was stopped for a day is a warning if nobody else has its servers", async () => {
  await using lab = await alertLab(OPS);
  await put(lab, "here", 0, { servers: [{ name: "db-web3", at: "web3:5432" }] });
  for (const host of ["web2", "web3"]) await put(lab, host, DAY_MS - MINUTE_MS, STOPPED);
  await look(lab);
  expect(await open(lab)).toEqual([]);
  for (const host of ["web2", "web3"]) await put(lab, host, DAY_MS + MINUTE_MS, STOPPED);
  await look(lab);
  expect(await open(lab)).toMatchObject([
    {
      ...{ key: "host web2", level: "WARNING" },
      message:
        "host web2 had its daemon stopped 24h 01m ago: its 0 databases (server db-web2) are not backed up",
      metadata: { hint: expect.stringContaining("systemctl start pg321") },
    },
  ]);
});

test("the alert about a host that was forgotten is resolved", async () => {
  await using lab = await alertLab(OPS);
  await put(lab, "here", 0);
  await put(lab, "web2", 10 * MINUTE_MS);
  await look(lab);
  await lab.catalog.hosts.forget("web2", lab.clock.now().toISOString());
  await look(lab);
  expect(await open(lab)).toEqual([]);
});

test("a daemon without a notifier lets another one raise the alert and send its reminders", async () => {
  await using lab = await alertLab(OPS);
  const silent = { ...lab, config: { ...lab.config, notify: [] } };
  await put(lab, "here", 0);
  await put(lab, "web2", 6 * MINUTE_MS);
  await alertHosts(silent, { now: lab.clock.now(), mayAccuse: true });
  expect(await open(lab)).toEqual([]);
  await look(lab);
  expect(await lab.catalog.deliveries({})).toHaveLength(1);
  await lab.clock.advance(2 * HOUR_MS);
  await remindOfAlerts(silent);
  expect(await lab.catalog.deliveries({})).toHaveLength(1);
  await remindOfAlerts(lab);
  expect(await lab.catalog.deliveries({})).toHaveLength(2);
  await put(lab, "web3", 9 * MINUTE_MS);
  await alertHosts(silent, { now: lab.clock.now(), mayAccuse: true });
  expect((await open(lab)).map(({ key }) => key)).toContain("host web3");
});

test("a host that only runs commands is not accused", async () => {
  await using lab = await alertLab(OPS);
  await put(lab, "here", 0);
  await put(lab, "web2", 2 * DAY_MS, { ...STOPPED, pid: WITHOUT_DAEMON });
  await look(lab);
  expect(await open(lab)).toEqual([]);
});
