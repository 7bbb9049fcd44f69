import { afterEach, beforeEach, expect, test } from "bun:test";
import { type AlertLab, alertLab, alertRequest } from "../../test/lab/alert-context.ts";
import { type HttpReceiver, RECEIVERS } from "../../test/lab/servers/receivers.ts";
import { backupRecord, tombstoneOf } from "../../test/suites/catalog/records.ts";
import { DAY_MS, HOUR_MS } from "../base/limits.ts";
import type { BackupRecord } from "../catalog/records.ts";
import type { Notice } from "../notify/notice.ts";
import { amendAlert, raiseAlert } from "./alert.ts";
import { deliverAlerts } from "./deliver.ts";
import { alertSelection, endGone } from "./selection-alerts.ts";

let receiver: HttpReceiver;
let lab: AlertLab;
let backup: BackupRecord;
beforeEach(async () => {
  receiver = await RECEIVERS.webhook();
  lab = await alertLab(receiver.config);
  lab.config.server = lab.config.server.map((server) => ({ ...server, databases: ["app*", "typo_*"] }));
  backup = backupRecord({ database: "app", status: "VERIFIED" });
  await lab.catalog.insertBackup(backup);
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

/** Lists the databases of the server, and returns the notices: `raised gone main/app`. */
async function listing(
  databases: string[],
  idle: string[] = [],
  failing: { server: string; database: string }[] = [],
): Promise<string[]> {
  await lab.catalog.overview.seeDatabases("main", databases, lab.clock.now().toISOString());
  await alertSelection(lab, new Map([["main", idle]]), failing);
  return await received();
}

async function received(): Promise<string[]> {
  receiver.requests.length = 0;
  await deliverAlerts(lab);
  return receiver.requests.map(({ body }) => {
    const { event, key, resolution } = JSON.parse(body) as Notice;
    return `${event} ${key}${resolution === null ? "" : `: ${resolution}`}`;
  });
}

async function acknowledge(key: string): Promise<void> {
  const acknowledged_at = lab.clock.now().toISOString();
  await amendAlert(lab, key, (open) => ({ ...open, acknowledged_at }));
}

const openKeys = async () => (await lab.catalog.alerts({ open: true })).map(({ key }) => key).sort();

test("a dropped database and an idle pattern get one notice each, without reminders, until they end", async () => {
  expect(await listing(["app"], ["typo_*"])).toEqual(["raised pattern server main typo_*"]);
  expect(await listing([], ["typo_*"])).toEqual(["raised gone main/app"]);
  for (let hour = 0; hour < 10 * 24; hour += 6) {
    await lab.clock.advance(6 * HOUR_MS);
    expect(await listing([], ["typo_*"])).toEqual([]);
  }
  expect(await openKeys()).toEqual(["gone main/app", "pattern server main typo_*"]);
  expect(await listing(["app", "typo_1"])).toEqual([
    "resolved gone main/app: main/app is back on its server",
    'resolved pattern server main typo_*: "typo_*" in databases of the server "main" matches a database now, or was removed from the config',
  ]);
});

test("the alert that a database is gone replaces the one that its backup failed", async () => {
  await listing(["app"]);
  await raiseAlert(lab, alertRequest());
  await received();
  expect(await listing([])).toEqual([
    "raised gone main/app",
    "resolved backup main/app: main/app is no longer on its server",
  ]);
  await lab.clock.advance(DAY_MS);
  expect(await received()).toEqual([]);
});

test.each(["app", "=app"])(
  "a database that the config names as %s has one alert while its backups fail",
  async (name) => {
    lab.config.server = lab.config.server.map((server) => ({ ...server, databases: [name, "a*"] }));
    await listing(["app"]);
    expect(await listing([])).toEqual(["raised gone main/app"]);
    const told: string[] = [];
    for (let night = 0; night < 3; night++) {
      told.push(...(await listing([])));
      // The run that has listed the server fails for it.
      await raiseAlert(lab, alertRequest({ message: 'server "main": no database "app"' }));
      told.push(...(await received()));
      if (night === 0) await acknowledge("backup main/app");
      for (let check = 0; check < 4; check++) told.push(...(await listing([])));
      await lab.clock.advance(DAY_MS);
    }
    expect(told).toEqual(["raised backup main/app"]);
    expect(await openKeys()).toEqual(["backup main/app"]);
    const [alert] = await lab.catalog.alerts({ open: true });
    expect(alert).toMatchObject({ count: 3, acknowledged_at: expect.any(String) });
  },
);

test("reminders of a named database that is missing go on while nobody has acknowledged its alert", async () => {
  lab.config.server = lab.config.server.map((server) => ({ ...server, databases: ["app"] }));
  await listing(["app"]);
  await raiseAlert(lab, alertRequest());
  expect(await listing([])).toEqual(["raised backup main/app"]);
  await lab.clock.advance(HOUR_MS);
  expect(await listing([])).toEqual(["reminder backup main/app"]);
});

test("the run that fails for a missing database does not also send that it is gone", async () => {
  const app = { server: "main", database: "app" };
  lab.config.server = lab.config.server.map((server) => ({ ...server, databases: ["app"] }));
  await listing(["app"]);
  expect(await listing([], [], [app])).toEqual([]);
  // A check between the runs sends it, and the next run leaves it open until its own alert is.
  expect(await listing([])).toEqual(["raised gone main/app"]);
  expect(await listing([], [], [app])).toEqual([]);
  expect(await openKeys()).toEqual(["gone main/app"]);
});

test("once its last backup is forgotten, every alert about its backups ends", async () => {
  await listing(["app"]);
  await listing([]);
  for (const key of ["shrunk main/app", "verify main/app disk", "cleanup guard main/app"])
    await raiseAlert(lab, alertRequest({ key, level: "WARNING" }));
  await raiseAlert(lab, alertRequest({ key: "verify main/apple disk", database: "apple" }));
  await endGone(lab, { server: "main", database: "app" });
  expect(await openKeys()).toHaveLength(5);
  await lab.catalog.removeBackup(tombstoneOf(backup));
  await endGone(lab, { server: "main", database: "app" });
  expect(await openKeys()).toEqual(["verify main/apple disk"]);
});

test("an alert about a server ends when the config no longer has it", async () => {
  await raiseAlert(lab, alertRequest({ key: "backup old", server: "old", database: null }));
  await raiseAlert(lab, alertRequest({ key: "passwords old", server: "old", database: null }));
  await raiseAlert(lab, alertRequest({ key: "backup old (globals)", server: "old", database: null }));
  await raiseAlert(lab, alertRequest({ key: "backup main", database: null }));
  await received();
  expect((await listing(["app"])).toSorted()).toEqual([
    "resolved backup old (globals): the config no longer selects old",
    "resolved backup old: the config no longer selects old",
    "resolved passwords old: the config no longer selects old",
  ]);
  expect(await openKeys()).toEqual(["backup main"]);
});
