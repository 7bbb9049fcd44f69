import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { DaemonLab, YEARLY } from "../../lab/daemon-lab.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { leftovers } from "../../lab/leftovers.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
let small: string;
let other: string;
let bulk: string;

beforeAll(async () => {
  [small, other, bulk] = [
    await postgres.createDatabase(),
    await postgres.createDatabase(),
    await postgres.createDatabase(),
  ];
  await fillBulk(postgres.connect(bulk), 30);
});

function make(schedule: string, databases: readonly string[], more = ""): Promise<DaemonLab> {
  return DaemonLab.make({ postgres: postgres.address, databases, schedule, more });
}

const EVERY_SECOND = "* * * * * *";

test("every job runs when it is due, next to commands, and a stop leaves nothing behind", async () => {
  const schedule = ["backup", "cleanup", "verify", "repair"].map((job) => `${job} = "*/2 * * * * *"`);
  await using lab = await make(schedule.join("\n"), [small]);
  const daemon = await lab.start();
  for (const job of ["backup", "cleanup", "verify", "repair"]) await lab.until(daemon, job, "OK", 2);
  // A command has no schedule, and the daemon may hold the lease.
  expect((await lab.installation.run("backup")).exitCode).toBeOneOf([0, 11]);
  for (const run of await lab.runs()) {
    const { job, scheduled_for, started_at, outcome } = run;
    // A verification may be due before there is a backup, and a backup while the command has the lease.
    const other = job === "backup" ? "FAILED" : "IDLE";
    expect(outcome).toBeOneOf(["OK", "RUNNING", "SKIPPED", other]);
    expect(scheduled_for).toMatch(/[02468]\.000Z$/);
    expect((scheduled_for ?? "") <= started_at).toBe(true);
  }
  daemon.kill("SIGTERM");
  expect(await daemon.ended).toMatchObject({ exitCode: 0, stdout: "" });
  const errors = daemon.stderr().match(/^.* error .*$/gm) ?? [];
  expect(errors.filter((line) => !line.includes("held by run"))).toEqual([]);
  expect(await leftovers(lab.installation, [lab.disk])).toEqual([]);
});

test("only the override backs up its databases; a job that is off never runs", async () => {
  const override = `[[schedule.override]]\nname = "busy"\ndatabases = ["main/${small}"]\nbackup = "${EVERY_SECOND}"`;
  await using lab = await make(`backup = "${YEARLY}"`, [small, other], override);
  const daemon = await lab.start();
  await lab.until(daemon, "backup busy", "OK", 2);
  const { backups } = (await lab.installation.ok("list", "--json")).json;
  expect(new Set(backups.map(({ database }: { database: string }) => database))).toEqual(new Set([small]));
  expect(new Set((await lab.runs()).map(({ schedule }) => schedule))).toEqual(new Set(["backup busy"]));
  const { databases, schedules } = await lab.status();
  // The override's run listed both databases when it looked for its own.
  expect(databases.map(({ database }) => database).sort()).toEqual([small, other].sort());
  expect(schedules.map(({ name }) => name)).toEqual(["backup busy", "backup"]);
});

test("an unreachable server does not affect a schedule without any of its databases", async () => {
  const away = `[[server]]\nname = "away"\nhost = "127.0.0.1"\nport = 1\ndatabases = ["far"]`;
  const override = `[[schedule.override]]\nname = "busy"\ndatabases = ["main/*"]\nbackup = "${EVERY_SECOND}"`;
  await using lab = await make(`backup = "${YEARLY}"`, [small], `${override}\n${away}`);
  const daemon = await lab.start();
  await lab.until(daemon, "backup busy", "OK", 2);
  expect((await lab.status()).alerts).toEqual([]);
});

test("backups run even if the address of the endpoint is in use", async () => {
  await using lab = await make(`backup = "${EVERY_SECOND}"`, [small]);
  using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { configFile } = lab.installation;
  const config = await Bun.file(configFile).text();
  await Bun.write(configFile, config.replace(/^listen = .*$/m, `listen = "127.0.0.1:${taken.port}"`));
  const daemon = await lab.start();
  expect(daemon.stderr()).toContain("the HTTP endpoint could not be opened; trying again every minute");
  await lab.until(daemon, "backup", "OK");
  daemon.kill("SIGTERM");
  expect((await daemon.ended).exitCode).toBe(0);
});

describe("a backup that fails", () => {
  const failing = async (retries: number) => {
    const lab = await make(`backup = "${EVERY_SECOND}"\nretries = ${retries}\nretry_delay = "1s"`, [small]);
    lab.toPostgres.cutAfter(0);
    return lab;
  };

  test("is retried within its run until PostgreSQL is back: one run, no alert", async () => {
    await using lab = await failing(10);
    const daemon = await lab.start();
    await daemon.until("the second attempt has failed", () => daemon.stderr().includes("retry=2"));
    expect((await lab.status()).running).toMatchObject([{ job: "backup", schedule: "backup" }]);
    lab.toPostgres.pass();
    await lab.until(daemon, "backup", "OK");
    const first = (await lab.runs()).filter(({ outcome }) => outcome !== "SKIPPED")[0];
    expect(first).toMatchObject({ outcome: "OK", error: null, statistics: { verified: 1, failed: 0 } });
    expect((await lab.status()).alerts.map(({ key }) => key)).not.toContain("backup main");
  });

  test("has failed when its retries are used up, with one alert", async () => {
    await using lab = await failing(1);
    const daemon = await lab.start();
    await lab.until(daemon, "backup", "FAILED");
    expect(daemon.stderr()).toContain("retry=1 retries=1");
    expect(daemon.stderr()).not.toContain("retry=2");
    await daemon.until("the alert is open", async () => (await lab.status()).alerts.length > 0);
    const alert = (await lab.status()).alerts.find(({ key }) => key === "backup main");
    expect(alert).toMatchObject({ level: "CRITICAL", message: expect.stringContaining("main failed") });
  });

  test("is not retried if a key is missing", async () => {
    await using lab = await make(`backup = "${EVERY_SECOND}"\nretries = 5\nretry_delay = "1h"`, [small]);
    await Bun.file(`${lab.installation.directory}/signing.key`).delete();
    const daemon = await lab.start();
    await lab.until(daemon, "backup", "FAILED");
    expect(daemon.stderr()).not.toContain("will be retried");
  });
});

test("runs that are due while the previous one hangs are skipped, with an alert until it ends", async () => {
  await using lab = await make(`backup = "${EVERY_SECOND}"`, [bulk]);
  const daemon = await lab.startToTheMiddle();
  await lab.until(daemon, "backup", "SKIPPED", 3);
  const keys = async () => (await lab.status()).alerts.map(({ key }) => key);
  await daemon.until("the alert is open", async () => (await keys()).includes("schedule backup"));
  const { running, schedules } = await lab.status();
  expect(running).toMatchObject([{ state: "running", progress: [{ title: `backup main/${bulk}` }] }]);
  expect(schedules[0]?.skipped).toBeGreaterThanOrEqual(3);
  lab.toPostgres.pass();
  await lab.until(daemon, "backup", "OK", 2);
  await daemon.until("the alert is resolved", async () => !(await keys()).includes("schedule backup"));
});

test("a second daemon on the same catalog is refused, with the holder of the lease", async () => {
  await using lab = await make(`backup = "${YEARLY}"`, [small]);
  const daemon = await lab.start();
  const { exitCode, stderr } = await lab.installation.run("run");
  expect(exitCode).toBe(11);
  expect(stderr).toContain(`error: daemon: held by run`);
  expect(stderr).toContain(`(pid ${daemon.pid} on `);
  daemon.kill("SIGKILL");
  await daemon.ended;
  // A killed daemon blocks nobody.
  const next = await lab.start();
  next.kill("SIGINT");
  expect((await next.ended).exitCode).toBe(0);
});

test("an invalid config ends it with 2, before anything else", async () => {
  await using lab = await make(`backup = "${YEARLY}"`, [small]);
  await lab.schedule('backup = "61 * * * *"');
  expect(await lab.installation.run("run")).toMatchObject({ exitCode: 2, stdout: "" });
  await lab.installation.configure({
    recipients: ["age1dqr8fshknnl78nhw6lm53afd5y2atjdxuh75r97wmtxw5a4pw5lszdf67r"],
  });
  await lab.schedule(`backup = "${YEARLY}"`);
  const { exitCode, stderr } = await lab.installation.run("run");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("whose secret key nobody has");
});
