import { afterAll, beforeAll, expect, test } from "bun:test";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Notice } from "../../../src/notify/notice.ts";
import { Installation, type InstallationOptions, localStorage } from "../../lab/installation.ts";
import { flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import { type HttpReceiver, RECEIVERS } from "../../lab/servers/receivers.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
let hook: HttpReceiver;
let dead: HttpReceiver;
beforeAll(async () => {
  [hook, dead] = await Promise.all([RECEIVERS.webhook(), RECEIVERS.healthchecks()]);
});
afterAll(async () => {
  await Promise.all([hook[Symbol.asyncDispose](), dead[Symbol.asyncDispose]()]);
});

async function install(change: Partial<InstallationOptions> = {}): Promise<Installation> {
  const database = await postgres.createDatabase();
  const made = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory), localStorage("second", directory)],
    more: [
      notify("ops", "webhook", hook, 'min_level = "INFO"'),
      notify("dead-man", "healthchecks", dead, ""),
    ].join("\n"),
    ...change,
  });
  hook.requests.length = 0;
  dead.requests.length = 0;
  await hook.behave("take");
  return made;
}

function notify(name: string, type: string, { config }: HttpReceiver, more: string): string {
  if (!("url" in config) || typeof config.url === "string") throw new Error("no hook");
  return `[[notify]]\nname = "${name}"\ntype = "${type}"\nurl = ${JSON.stringify(config.url.reveal())}\n${more}`;
}

/** The notices that the webhook received since the last call: `raised WARNING backup`. */
function notices(): string[] {
  const received = hook.requests.map(({ body }) => JSON.parse(body) as Notice);
  hook.requests.length = 0;
  return received.map(({ event, level, job }) => `${event} ${level} ${job}`);
}

/** The sentences of the notices since the last call that are about problems. */
function problems(): string[] {
  const received = hook.requests.map(({ body }) => JSON.parse(body) as Notice);
  hook.requests.length = 0;
  return received.filter(({ level }) => level !== "INFO").map((one) => one.resolution ?? one.message);
}

function pings(): string[] {
  const paths = dead.requests.map(({ url }) => url.pathname.split("/").at(-1) ?? "");
  dead.requests.length = 0;
  return paths.map((last) => (["start", "fail"].includes(last) ? last : "success"));
}

test("a storage fails and comes back: one notice, counted and shown, and a notice when it is resolved", async () => {
  await using installation = await install();
  await installation.ok("backup");
  expect(notices()).toEqual(["raised INFO backup"]);
  expect(pings()).toEqual(["start", "success"]);

  const second = join(installation.directory, "second");
  await rename(second, `${second}-away`);
  await writeFile(second, "no directory");
  for (let run = 0; run < 2; run++) expect((await installation.run("backup")).exitCode).toBe(3);
  expect(notices()).toEqual(["raised WARNING backup"]);
  expect(pings()).toEqual(["start", "fail", "start", "fail"]);
  const [alert] = (await installation.ok("alerts", "--unacknowledged", "--json")).json.alerts;
  expect(alert).toMatchObject({
    level: "WARNING",
    count: 2,
    message: expect.stringContaining("1 of 2 copies failed"),
    metadata: { status: "PARTIAL", statistics: { partial: 1 } },
    deliveries: [{ notifier: "ops", event: "raised", state: "DELIVERED" }],
  });
  expect((await installation.ok("alerts", "ack", alert.id.slice(0, 8))).stdout).toContain(
    "acknowledged 1 alert",
  );
  expect((await installation.ok("alerts", "--unacknowledged")).stdout).toContain("no alerts");

  await Bun.file(second).delete();
  await rename(`${second}-away`, second);
  await installation.ok("backup");
  expect(notices()).toEqual(["resolved WARNING backup", "raised INFO backup"]);
  expect(pings()).toEqual(["start", "success"]);
});

test("one broken storage is one notice for all databases, of a backup and of a verification", async () => {
  const databases = [await postgres.createDatabase(), await postgres.createDatabase()];
  await using installation = await install({ databases });
  await installation.ok("backup");
  const second = join(installation.directory, "second");
  await rename(second, `${second}-away`);
  await writeFile(second, "no directory");
  notices();
  expect((await installation.run("backup")).exitCode).toBe(3);
  expect((await installation.run("verify", "--all")).exitCode).toBe(13);
  expect(problems()).toEqual([
    expect.stringMatching(/^2 databases could not be backed up to second: storage "second": /),
    expect.stringMatching(/^\d copies of 2 databases in second could not be checked: storage "second": /),
  ]);
  await Bun.file(second).delete();
  await rename(`${second}-away`, second);
  await installation.ok("repair");
  await installation.ok("verify", "--all");
  await installation.ok("backup");
  expect(problems()).toEqual([
    "the copies in second are good again",
    "every database is backed up to second again",
  ]);
});

test("PostgreSQL and the notifier are unreachable: the exit code is the job's, and the notice is not lost", async () => {
  await using installation = await install();
  await hook.behave("fail");
  const { port, ...address } = postgres.address;
  await installation.configure({ postgres: { ...address, port: 1 } });
  const failed = await installation.run("backup", "--json");
  expect(failed.exitCode).toBe(10);
  expect(pings()).toEqual(["start", "fail"]);
  const [alert] = (await installation.ok("alerts", "--json")).json.alerts;
  expect(alert).toMatchObject({
    level: "CRITICAL",
    server: "main",
    database: null,
    deliveries: [{ state: "PENDING", attempts: 1, error: "status 503" }],
  });
  expect((await installation.ok("alerts")).stdout).toContain("to ops: next attempt at");
  expect((await installation.ok("alerts")).stdout).toContain(
    "1 notice to notifier ops could not be delivered, the oldest since",
  );
  const { notifiers } = (await installation.ok("status", "--json")).json;
  expect(notifiers).toMatchObject([
    { name: "ops", type: "webhook", waiting: 1, given_up: 0, error: "status 503" },
    { name: "dead-man", waiting: 0, error: null, last_delivered_at: expect.any(String) },
  ]);
  expect((await installation.ok("status")).stdout).toContain(
    "1 notice to notifier ops could not be delivered: status 503",
  );
  const everything = JSON.stringify([failed, alert, hook.requests, dead.requests.map(({ body }) => body)]);
  expect(everything).not.toContain(address.password);
  await installation.configure({ postgres: { ...address, port } });
});

test("a backup of a named database sends no ping: the ping is about all databases", async () => {
  await using installation = await install();
  const [database] = (await installation.ok("backup", "--json")).json.backups.map(
    (backup: { database: string }) => backup.database,
  );
  pings();
  await installation.ok("backup", database);
  expect(pings()).toEqual([]);
});

test("a database that was emptied: its small dump is an open alert until somebody acknowledges it", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await sql.unsafe("create table t as select md5(i::text) from generate_series(1, 20000) i");
  await using installation = await install({ databases: [database] });
  await installation.ok("backup");
  await sql.unsafe("truncate t");
  notices();
  await installation.ok("backup");
  expect(notices()).toEqual(["raised WARNING backup", "raised INFO backup"]);
  const [alert] = (await installation.ok("alerts", "--unacknowledged", "--json")).json.alerts;
  expect(alert).toMatchObject({
    key: `shrunk main/${database}`,
    message: expect.stringContaining("% of its usual size"),
  });
  await installation.ok("alerts", "ack", "all");
  await installation.ok("backup");
  expect(notices()).toEqual(["resolved WARNING backup", "raised INFO backup"]);
});

test("damage that verify finds is an alert until it is repaired; a restore sends a notice, a dry run does not", async () => {
  await using installation = await install();
  const [{ backup_id: id, database }] = (await installation.ok("backup", "--json")).json.backups;
  new LocalCopies(installation, id).damage("disk", flippedInTheMiddle);
  notices();
  expect((await installation.run("verify", "--all")).exitCode).toBe(14);
  expect(notices()).toEqual(["raised WARNING verify"]);
  await installation.ok("repair");
  expect(notices()).toEqual(["resolved WARNING verify", "raised INFO repair"]);

  const made = `${database}_new`;
  postgres.dropAtEnd(made);
  const words = ["restore", id, "--target", `main/${made}`, "--create"];
  await installation.ok(...words, "--dry-run");
  expect(notices()).toEqual([]);
  await installation.ok(...words);
  expect(notices()).toEqual(["raised INFO restore"]);
  expect((await installation.run(...words)).exitCode).toBe(10);
  // Refused before anything was changed: recorded for those who look, and no reason to wake anybody.
  expect(notices()).toEqual([]);
  const [refused] = (await installation.ok("alerts", "--json")).json.alerts;
  expect(refused).toMatchObject({
    level: "WARNING",
    key: "restore",
    message: expect.stringContaining("exists"),
  });
});

test("invalid arguments of alerts are refused with its usage", async () => {
  await using installation = await install();
  for (const words of [["ack"], ["ack", "zzz"], ["nonsense"]]) {
    const refused = await installation.run("alerts", ...words);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain("pg321 alerts [ack ID|all]");
  }
});
