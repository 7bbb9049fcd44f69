import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { DaemonLab, YEARLY } from "../../lab/daemon-lab.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { localStorage } from "../../lab/installation.ts";
import { leftovers } from "../../lab/leftovers.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
let small: string;
let bulk: string;

beforeAll(async () => {
  [small, bulk] = [await postgres.createDatabase(), await postgres.createDatabase()];
  await fillBulk(postgres.connect(bulk), 30);
});

const EVERY_SECOND = 'backup = "* * * * * *"';
const NEVER = `backup = "${YEARLY}"`;

test("a new schedule is followed from the reload on, and has missed nothing", async () => {
  await using lab = await DaemonLab.make({ postgres: postgres.address, databases: [small], schedule: NEVER });
  const daemon = await lab.start();
  const before = await lab.status();
  expect(before.daemon?.last_reload).toBeNull();
  await lab.schedule('cleanup = "* * * * * *"');
  daemon.kill("SIGHUP");
  await lab.until(daemon, "cleanup", "OK");
  const after = await lab.status();
  expect(after.daemon?.last_reload).toMatchObject({ is_ok: true, errors: [] });
  expect(after.daemon?.config_checksum).not.toBe(before.daemon?.config_checksum as string);
  expect(after.schedules.map(({ name }) => name)).toEqual(["cleanup"]);
  expect(await lab.runs("backup")).toEqual([]);
});

test("a config with mistakes is refused with all of them, and the previous one stays in force", async () => {
  await using lab = await DaemonLab.make({
    postgres: postgres.address,
    databases: [small],
    schedule: EVERY_SECOND,
  });
  const daemon = await lab.start();
  const { daemon: before } = await lab.status();
  await lab.schedule('backup = "61 * * * *"\njiter = "1m"');
  daemon.kill("SIGHUP");
  await daemon.says("the new config was refused");
  await daemon.until("the reload is reported", async () => (await lab.status()).daemon?.last_reload !== null);
  const { daemon: after } = await lab.status();
  expect(after?.config_checksum).toBe(before?.config_checksum as string);
  expect(after?.last_reload).toMatchObject({ is_ok: false });
  expect(after?.last_reload?.errors.join("\n")).toMatch(/schedule\.backup: .*\n.*schedule\.jiter: /);
  const count = (await lab.runs("backup")).length;
  await lab.until(daemon, "backup", "OK", count + 1);

  await lab.schedule(NEVER);
  daemon.kill("SIGHUP");
  await daemon.says("a new config is in force");
});

test("a config with another catalog, or with an address that cannot be bound, is refused", async () => {
  await using lab = await DaemonLab.make({ postgres: postgres.address, databases: [small], schedule: NEVER });
  const daemon = await lab.start();
  const { directory } = lab.installation;
  await lab.schedule(NEVER, `[catalog]\npath = "${join(directory, "other.db")}"`);
  daemon.kill("SIGHUP");
  await daemon.says("the catalog cannot be changed");
  const config = await Bun.file(lab.installation.configFile).text();
  await Bun.write(
    lab.installation.configFile,
    config
      .replace(/^listen = .*$/m, `listen = "unix:${directory}/none/http.sock"`)
      .replace(/^path = ".*other\.db"$/m, ""),
  );
  daemon.kill("SIGHUP");
  await daemon.until("it is refused", () => daemon.stderr().split("the new config was refused").length === 3);
  expect((await lab.status()).daemon?.last_reload).toMatchObject({ is_ok: false });
});

test("a daemon without a signing key says so at its start, long before a backup is due, until a reload finds the key", async () => {
  await using lab = await DaemonLab.make({ postgres: postgres.address, databases: [small], schedule: NEVER });
  const key = join(lab.installation.directory, "signing.key");
  await rename(key, `${key}.away`);
  const daemon = await lab.start();
  await daemon.says("every scheduled backup will fail");
  expect(daemon.stderr()).toContain(`no signing key at ${key}`);
  expect(daemon.stderr()).toContain("pg321 key generate");
  const keys = async () => (await lab.status()).alerts.map((alert) => `${alert.level} ${alert.key}`);
  await daemon.until("the alert is open", async () => (await keys()).includes("CRITICAL signing key"));
  await rename(`${key}.away`, key);
  daemon.kill("SIGHUP");
  await daemon.until("the alert is resolved", async () => (await keys()).length === 0);
});

test("a running run keeps the config with which it started; the next run has the new one", async () => {
  await using lab = await DaemonLab.make({
    postgres: postgres.address,
    databases: [bulk],
    schedule: EVERY_SECOND,
  });
  const daemon = await lab.startToTheMiddle();
  await lab.installation.configure({
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
  });
  daemon.kill("SIGHUP");
  await daemon.says("a new config is in force");
  expect((await lab.status()).storages.map(({ name }) => name)).toEqual(["disk", "usb"]);
  lab.toPostgres.pass();
  await lab.until(daemon, "backup", "OK", 2);
  daemon.kill("SIGTERM");
  await daemon.ended;
  const { backups } = (await lab.installation.ok("list", "--json")).json;
  const storages = backups.map(({ copies }: { copies: { storage: string }[] }) =>
    copies.map(({ storage }) => storage),
  );
  expect(storages.at(-1)).toEqual(["disk"]);
  expect(storages.at(-2)).toEqual(["disk", "usb"]);
  const usb = { name: "usb", directory: join(lab.installation.directory, "usb") };
  expect(await leftovers(lab.installation, [lab.disk, usb])).toEqual([]);
});

test("a database with a schedule of its own leaves the shared one, with its next run in the status", async () => {
  const other = await postgres.createDatabase();
  const databases = [small, other];
  await using lab = await DaemonLab.make({ postgres: postgres.address, databases, schedule: EVERY_SECOND });
  const daemon = await lab.start();
  await lab.until(daemon, "backup", "OK");
  await lab.schedule(NEVER, `[[database]]\nserver = "main"\nname = "${other}"\nschedule = "* * * * * *"\n`);
  daemon.kill("SIGHUP");
  const own = `backup database main/${other}`;
  await lab.until(daemon, own, "OK", 2);
  const { databases: states, schedules } = await lab.status();
  const next = (name: string) => states.find(({ database }) => database === name)?.next_backup_at;
  expect(schedules.map(({ name }) => name)).toEqual([own, "backup"]);
  expect(next(other)).toBe(schedules[0]?.next_run_at as string);
  expect(next(small)).toBe(schedules[1]?.next_run_at as string);

  const runs = new Map((await lab.runs()).map((run) => [run.id, run]));
  const { backups } = (await lab.installation.ok("list", "--json")).json;
  const made = backups.map(({ database, run_id }: { database: string; run_id: string }) => ({
    ...{ database, run: runs.get(run_id) },
  }));
  // No moment has two backups of one database, and each run has only its own.
  const moments = made.map(({ database, run }: (typeof made)[number]) => `${database} ${run?.scheduled_for}`);
  expect(new Set(moments).size).toBe(moments.length);
  const ofOwn = made.filter(({ run }: (typeof made)[number]) => run?.schedule === own);
  expect(new Set(ofOwn.map(({ database }: (typeof made)[number]) => database))).toEqual(new Set([other]));
  const dues = (schedule: string) =>
    [...runs.values()].flatMap((run) => (run.schedule === schedule ? (run.scheduled_for ?? "") : [])).sort();
  // Its own schedule begins after the last shared run.
  expect((dues(own)[0] ?? "") > (dues("backup").at(-1) ?? "")).toBe(true);
});

test("a run that waits when the config moves its database to another schedule still backs it up", async () => {
  const other = await postgres.createDatabase();
  await using lab = await DaemonLab.make({
    postgres: postgres.address,
    databases: [bulk, other],
    schedule: EVERY_SECOND,
    more: `[[schedule.override]]\nname = "other"\ndatabases = ["main/${other}"]\nbackup = "* * * * * *"\n`,
  });
  const daemon = await lab.startToTheMiddle();
  const waiting = "backup other";
  await daemon.until("the other run waits", async () => {
    const { running } = await lab.status();
    return running.some(({ schedule, state }) => schedule === waiting && state === "queued");
  });
  const before = (await lab.runs(waiting)).filter(({ outcome }) => outcome === "OK").length;
  await lab.schedule(NEVER, `[[database]]\nserver = "main"\nname = "${other}"\nschedule = "${YEARLY}"\n`);
  daemon.kill("SIGHUP");
  await daemon.says("a new config is in force");
  lab.toPostgres.pass();
  await lab.until(daemon, waiting, "OK", before + 1);
  const run = (await lab.runs(waiting)).at(-1);
  const { backups } = (await lab.installation.ok("list", "--json")).json;
  const made = backups.filter(({ run_id }: { run_id: string }) => run_id === run?.id);
  expect(run?.outcome).toBe("OK");
  expect(made.map(({ database }: { database: string }) => database)).toEqual([other]);
});
