import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { quoteIdentifier } from "../../../src/postgres/archive/sql-text.ts";
import { DaemonLab, YEARLY } from "../../lab/daemon-lab.ts";
import { Installation, type InstallationOptions, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
/** Names used only by this test: other tests have databases on the server too. */
const prefix = `s${crypto.randomUUID().slice(0, 8)}_`;
const [stays, leaves] = [`${prefix}stays`, `${prefix}leaves`];

beforeAll(async () => {
  for (const name of [stays, leaves]) await postgres.createDatabase(name);
});

const drop = (name: string) =>
  postgres.connect().unsafe(`drop database ${quoteIdentifier(name)} with (force)`);

function install(databases: string[], change: Partial<InstallationOptions> = {}): Promise<Installation> {
  return Installation.make({
    postgres: postgres.address,
    databases,
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
    ...change,
  });
}

/**
 * The open alerts, as `WARNING key 1`; without those about lost marks, which test/e2e/storage/marks.test.ts tests, because
 * databases and storages change here.
 */
async function alerts(installation: Installation): Promise<string[]> {
  const { alerts } = (await installation.ok("alerts", "--json")).json;
  return alerts
    .filter(({ level, resolved_at }: Record<string, unknown>) => level !== "INFO" && resolved_at === null)
    .map(({ level, key, count }: Record<string, unknown>) => `${level} ${key} ${count}`)
    .filter((text: string) => !text.includes(" rule "))
    .sort();
}

test("a run that selects no database fails; its alert ends when the config is corrected", async () => {
  await using installation = await install([`${prefix}typo_*`]);
  const failed = await installation.run("backup");
  expect(failed.exitCode).toBe(10);
  expect(failed.stdout).toContain('server "main": the config selects no database');
  expect(failed.stdout).toContain(`"${prefix}typo_*" matches none`);
  expect(await alerts(installation)).toEqual([
    "CRITICAL backup main 1",
    `WARNING pattern server main ${prefix}typo_* 1`,
  ]);
  const { jobs } = (await installation.ok("status", "--json")).json;
  expect(jobs[0]).toMatchObject({ job: "backup", last_success_at: null, last_run: { outcome: "FAILED" } });

  await installation.configure({ databases: [stays], server: `exclude = ["${prefix}*"]` });
  const excluded = await installation.run("backup");
  expect(excluded.exitCode).toBe(10);
  expect(excluded.stdout).toContain("exclude leaves none");
  expect(await alerts(installation)).toEqual(["CRITICAL backup main 2"]);

  await installation.configure({ server: "" });
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([]);
});

test("a database that never existed fails the run; its alert ends when the config no longer names it", async () => {
  await using installation = await install([stays, `${prefix}tpyo`]);
  expect((await installation.run("backup")).exitCode).toBe(3);
  expect(await alerts(installation)).toContain(`CRITICAL backup main/${prefix}tpyo 1`);
  await installation.configure({ databases: [stays] });
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([]);
});

test("a second server that selects none makes the run PARTIAL", async () => {
  const { host: _host, ...address } = { host: "127.0.0.1", ...postgres.address };
  const second = [
    ...["[[server]]", 'name = "second"', 'host = "127.0.0.1"', `port = ${address.port}`],
    ...[`user = "${address.user}"`, `password = ${JSON.stringify(address.password)}`],
    `databases = ["${prefix}typo_*"]`,
  ];
  await using installation = await install([stays], { more: second.join("\n") });
  const partial = await installation.run("backup");
  expect(partial.exitCode).toBe(3);
  expect(partial.stdout).toContain('server "second": the config selects no database');
  // Databases named on the command line do not concern that server, and its problem is not over.
  await installation.ok("backup", stays);
  expect(await alerts(installation)).toEqual([
    "CRITICAL backup second 1",
    `WARNING pattern server second ${prefix}typo_* 1`,
  ]);
});

test("a pattern without a match, anywhere in the config, raises one alert until it matches or is removed", async () => {
  const more = [
    ...[
      "[[schedule.override]]",
      'name = "busy"',
      'databases = ["main/tpyo", "mian/*"]',
      'backup = "@hourly"',
    ],
    ...["[[notify]]", 'name = "ops"', 'type = "command"', 'argv = ["/bin/true"]'],
    `databases = ["${prefix}later"]`,
  ];
  await using installation = await install([stays, `${prefix}later*`], { more: more.join("\n") });
  for (let run = 0; run < 2; run++) await installation.ok("backup");
  expect(await alerts(installation)).toEqual([
    `WARNING pattern notifier ops ${prefix}later 1`,
    "WARNING pattern override busy main/tpyo 1",
    "WARNING pattern override busy mian/* 1",
    `WARNING pattern server main ${prefix}later* 1`,
  ]);
  const doctor = await installation.run("doctor");
  expect(doctor.stdout).toContain('"mian/*" in databases of the override "busy" matches no database');
  expect(doctor.stdout).toContain(`"${prefix}later" in databases of the notifier "ops" matches no database`);

  await postgres.createDatabase(`${prefix}later`);
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([
    "WARNING pattern override busy main/tpyo 1",
    "WARNING pattern override busy mian/* 1",
  ]);
  await installation.configure({ more: "" });
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([]);
});

test("a removed database that a glob matched raises one alert until it is back, forgotten or excluded", async () => {
  await using installation = await install([`${prefix}[sl]*s`]);
  const expected = [`WARNING gone main/${leaves} 1`];
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([]);
  await drop(leaves);
  for (let run = 0; run < 2; run++) await installation.ok("backup");
  expect(await alerts(installation)).toEqual(expected);
  const status = await installation.ok("status");
  expect(status.stdout).toContain(`Database main/${leaves} is no longer on its server`);

  await postgres.createDatabase(leaves);
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([]);

  await drop(leaves);
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual(expected);
  await installation.configure({ server: `exclude = ["${leaves}"]` });
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([]);

  await installation.configure({ server: "" });
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual(expected);
  await installation.ok("forget", leaves, "--yes", leaves);
  expect(await alerts(installation)).toEqual([]);
  await installation.ok("backup");
  expect(await alerts(installation)).toEqual([]);
});

test("a removed database that the config names has one alert, which keeps its acknowledgement, until it is removed there", async () => {
  const named = `${prefix}named`;
  await postgres.createDatabase(named);
  await using installation = await install([stays, named]);
  await installation.ok("backup");
  await drop(named);
  expect((await installation.run("backup")).exitCode).toBe(3);
  expect(await alerts(installation)).toEqual([`CRITICAL backup main/${named} 1`]);
  await installation.ok("alerts", "ack", "all");
  expect((await installation.run("backup")).exitCode).toBe(3);
  expect(await alerts(installation)).toEqual([`CRITICAL backup main/${named} 2`]);
  expect((await installation.ok("alerts", "--unacknowledged")).stdout).toContain("no alerts");

  await installation.configure({ server: `exclude = ["${named}"]` });
  for (let run = 0; run < 2; run++) {
    await installation.ok("backup");
    expect(await alerts(installation)).toEqual([]);
  }
});

test("a schedule without a database left is idle: neither a success nor a problem", async () => {
  const override = `[[schedule.override]]\nname = "all"\ndatabases = ["main/*"]\nbackup = "${YEARLY}"`;
  await using lab = await DaemonLab.make({
    postgres: postgres.address,
    databases: [stays],
    schedule: 'backup = "* * * * * *"\nverify = "* * * * * *"',
    more: override,
  });
  const daemon = await lab.start();
  for (const schedule of ["backup", "verify"]) await lab.until(daemon, schedule, "IDLE", 4);
  const { jobs, schedules, alerts } = await lab.status();
  expect(alerts).toEqual([]);
  expect(jobs.map(({ last_success_at }) => last_success_at)).toEqual(jobs.map(() => null));
  expect(schedules.find(({ name }) => name === "backup")).toMatchObject({ last_run: { outcome: "IDLE" } });
  expect(schedules.map(({ skipped }) => skipped > 2)).toEqual(schedules.map(() => false));
});

test("a verification without any copy is not a success", async () => {
  await using installation = await install([stays]);
  const none = await installation.run("verify", "--all");
  expect(none.exitCode).toBe(14);
  expect(none.stderr).toContain("there is no backup to verify");
  const [{ backup_id: id }] = (await installation.ok("backup", "--json")).json.backups;
  await installation.configure({
    storages: (directory) => [localStorage("usb", directory), localStorage("new", directory)],
  });
  const picked = await installation.run("verify", id, "--storage", "new");
  expect(picked.exitCode).toBe(2);
  expect(picked.stderr).toContain('no copy to verify in storage "new"');
  expect(await alerts(installation)).toEqual([]);
  expect((await installation.ok("verify", "--all")).stdout).toContain("good");
  await installation.configure({ storages: (directory) => [localStorage("new", directory)] });
  const unread = await installation.run("verify", "--all");
  expect(unread.exitCode).toBe(14);
  expect(unread.stderr).toContain("no usable storage has a copy of 1 backup");
  expect(await alerts(installation)).toEqual(["CRITICAL verify 1"]);
});

test("an invalid database is skipped, and how to drop it is said", async () => {
  const broken = `${prefix}Broken one`;
  await postgres.createDatabase(broken);
  const admin = postgres.connect();
  // As an interrupted DROP DATABASE leaves it.
  await admin`update pg_database set datconnlimit = -2 where datname = ${broken}`;
  await using installation = await install([stays, `${prefix}Broken*`]);
  const { stdout, stderr } = await installation.ok("backup");
  expect(stdout).not.toContain(broken);
  expect(stderr).toContain("an invalid database is skipped: a DROP DATABASE of it was interrupted");
  expect(stderr).toContain(`in psql: DROP DATABASE "${broken}"`);
  const { findings } = (await installation.run("doctor", "--json")).json;
  expect(findings).toContainEqual(
    expect.objectContaining({
      verdict: "warning",
      message: `database "${broken}" is invalid, because a DROP DATABASE of it was interrupted, and is skipped`,
      hint: `in psql: DROP DATABASE "${broken}"`,
    }),
  );
});
