import { afterEach, beforeEach, expect, test } from "bun:test";
import { type AlertLab, alertLab } from "../../../test/lab/alert-context.ts";
import { type HttpReceiver, RECEIVERS } from "../../../test/lab/servers/receivers.ts";
import { runRecord } from "../../../test/suites/catalog/records.ts";
import { amendAlert, raiseAlert } from "../../alerts/alert.ts";
import { deliverAlerts } from "../../alerts/deliver.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { Notice } from "../../notify/notice.ts";
import { NoSinkLeftError } from "../../stream/fan-out.ts";
import { alertBackup } from "./alerts.ts";
import type { BackupResult } from "./report.ts";

const FULL = 'storage "disk": no space left on device';
let receiver: HttpReceiver;
let lab: AlertLab;
beforeEach(async () => {
  receiver = await RECEIVERS.webhook();
  lab = await alertLab(receiver.config);
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

function result(database: string, change: Partial<BackupResult> = {}): BackupResult {
  return {
    ...{ server: "main", database, backup_id: null, status: "VERIFIED", dump_bytes: 1, object_bytes: 1 },
    ...{ duration_ms: 1, warnings: [], standby_lag_ms: null, error: null, hint: null },
    copies: [copy("disk"), copy("other")],
    ...change,
  };
}
const copy = (storage: string, error: string | null = null): BackupResult["copies"][number] => ({
  storage,
  state: error === null ? "CONFIRMED" : "FAILED",
  error,
  hint: error === null ? null : "free some space",
});
const partial = (database: string, error = FULL): BackupResult =>
  result(database, { status: "PARTIAL", copies: [copy("disk", error), copy("other")] });
const failed = (database: string, cause: unknown): BackupResult =>
  result(database, { status: "FAILED", copies: [], error: "every storage failed", cause });

/** What people get after a run with these results: `raised WARNING backup storage disk`. */
async function told(...results: BackupResult[]): Promise<string[]> {
  const databases = results.flatMap(({ database }) => database ?? []);
  await lab.catalog.overview.seeDatabases("main", ["a", "b", "c"], lab.clock.now().toISOString());
  expect(databases.length).toBe(results.length);
  receiver.requests.length = 0;
  await alertBackup(lab, { run: runRecord({ outcome: "PARTIAL" }), results, globals: [], listed: ["main"] });
  await deliverAlerts(lab);
  return notices().map(({ event, level, key }) => `${event} ${level} ${key}`);
}

function notices(): Notice[] {
  return receiver.requests.map(({ body }) => JSON.parse(body));
}

const openKeys = async () => (await lab.catalog.alerts({ open: true })).map(({ key }) => key).sort();

test("a full disk is one notice for all databases, and it ends when each of them is stored there again", async () => {
  expect(await told(partial("a"), partial("b"), partial("c"))).toEqual([
    "raised WARNING backup storage disk",
  ]);
  expect(notices()[0]).toMatchObject({
    message: `3 databases could not be backed up to disk: ${FULL}`,
    metadata: { storage: "disk", databases: ["main/a", "main/b", "main/c"] },
  });
  expect(notices()[0]?.metadata["hint"]).toBe("free some space; then run: pg321 repair");
  expect(await told(partial("a"), partial("b"), partial("c"))).toEqual([]);
  // A run of a single database tells nothing about the others.
  expect(await told(result("a"))).toEqual([]);
  expect(await told(partial("b"))).toEqual([]);
  expect(await openKeys()).toEqual(["backup storage disk"]);
  expect(await told(result("b"), result("c"))).toEqual(["resolved WARNING backup storage disk"]);
  expect(notices()[0]?.resolution).toBe("every database is backed up to disk again");
});

test("one database alone is an alert of its own, until others fail in the same storage", async () => {
  expect(await told(partial("a"), result("b"))).toEqual(["raised WARNING backup main/a"]);
  expect(await told(partial("a"), partial("b"))).toEqual(["raised WARNING backup storage disk"]);
  // The alert about the storage replaces it, without the notice that it is over.
  expect(await openKeys()).toEqual(["backup storage disk"]);
});

test("when no storage is left the notice is CRITICAL and says how many databases have no backup", async () => {
  const none = new NoSinkLeftError([{ name: "disk", state: "failed", error: new Error(FULL) }]);
  const cause = new Pg321Error("storage", "every storage failed", { cause: none });
  expect(await told(failed("a", cause), failed("b", cause), result("c"))).toEqual([
    "raised CRITICAL backup storage disk",
  ]);
  expect(notices()[0]?.message).toBe(
    `2 databases could not be backed up to disk; 2 databases got no backup: ${FULL}`,
  );
});

test("another problem of a database stays an alert of its own", async () => {
  const both = result("c", { status: "PARTIAL", copies: [copy("disk", FULL), copy("other", "denied")] });
  const lost = failed("d", new Pg321Error("database", "connection lost"));
  expect(await told(partial("a"), partial("b"), both, lost)).toEqual([
    "raised CRITICAL backup main/d",
    "raised WARNING backup storage disk",
    "raised WARNING backup main/c",
  ]);
});

test("a database that also lacks its copy elsewhere keeps its own alert from run to run", async () => {
  const both = result("c", { status: "PARTIAL", copies: [copy("disk", FULL), copy("other", "denied")] });
  await told(partial("a"), partial("b"), both);
  const acknowledged_at = lab.clock.now().toISOString();
  await amendAlert(lab, "backup main/c", (open) => ({ ...open, acknowledged_at }));
  for (let run = 0; run < 2; run++) expect(await told(partial("a"), partial("b"), both)).toEqual([]);
  const own = (await lab.catalog.alerts({ open: true })).find(({ key }) => key === "backup main/c");
  expect(own).toMatchObject({ count: 3, acknowledged_at });
  // Once only the full disk is left, the alert about the storage replaces it.
  expect(await told(partial("a"), partial("b"), partial("c"))).toEqual([]);
  expect(await openKeys()).toEqual(["backup storage disk"]);
});

test("a storage without its marker does not end the alert about a copy that another storage lacks", async () => {
  const refused = { key: "storage disk", server: null, database: null, run_id: null, metadata: {} } as const;
  await raiseAlert(lab, { ...refused, level: "CRITICAL", job: "backup", message: "its marker is missing" });
  await deliverAlerts(lab);
  const both = result("c", { status: "PARTIAL", copies: [copy("disk", FULL), copy("other", "denied")] });
  expect(await told(both)).toEqual(["raised WARNING backup main/c"]);
  for (let run = 0; run < 2; run++) expect(await told(both)).toEqual([]);
});

test("a database that is gone, and a storage that is gone from the config, end it", async () => {
  await told(partial("a"), partial("b"));
  await lab.catalog.overview.seeDatabases("main", ["a"], lab.clock.now().toISOString());
  receiver.requests.length = 0;
  const listed = ["main"];
  await alertBackup(lab, {
    run: runRecord({ outcome: "PARTIAL" }),
    results: [result("a")],
    globals: [],
    listed,
  });
  await deliverAlerts(lab);
  expect(notices().map(({ event }) => event)).toEqual(["resolved"]);
  await told(partial("a"), partial("b"));
  lab.config.storage = lab.config.storage.map((storage) => ({ ...storage, name: "new" }));
  expect(await told(result("c", { copies: [copy("new")] }))).toEqual([
    "resolved WARNING backup storage disk",
  ]);
  expect(notices()[0]?.resolution).toBe("storage disk is no longer in the config");
});

test("a storage without its marker has one alert, unless a database got no backup because of it", async () => {
  const refused = { key: "storage disk", server: null, database: null, run_id: null, metadata: {} } as const;
  await raiseAlert(lab, { ...refused, level: "CRITICAL", job: "backup", message: "its marker is missing" });
  await deliverAlerts(lab);
  expect(await told(partial("a"), partial("b"))).toEqual([]);
  const none = new NoSinkLeftError([{ name: "disk", state: "failed", error: new Error("no marker") }]);
  const cause = new Pg321Error("storage", "every storage failed", { cause: none });
  expect(await told(failed("a", cause))).toEqual(["raised CRITICAL backup main/a"]);
});

test("a notifier for some databases gets it if it is about one of them", async () => {
  const [hook] = lab.config.notify;
  if (hook?.type !== "webhook") throw new Error("no hook");
  lab.config.notify = [{ ...hook, databases: ["c*"] }];
  expect(await told(partial("a"), partial("b"))).toEqual([]);
  lab.config.notify = [{ ...hook, databases: ["main/b"] }];
  await told(result("a"), result("b"));
  expect(await told(partial("a"), partial("b"))).toEqual(["raised WARNING backup storage disk"]);
});
