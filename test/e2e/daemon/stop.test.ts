import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { DaemonLab, YEARLY } from "../../lab/daemon-lab.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { localStorage, s3Storage } from "../../lab/installation.ts";
import { leftovers, type Place, uploadsIn } from "../../lab/leftovers.ts";
import { pgDumpOf, type Running } from "../../lab/machine/running.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
let bulk: string;

beforeAll(async () => {
  bulk = await postgres.createDatabase();
  await fillBulk(postgres.connect(bulk), 30);
});

const EVERY_SECOND = 'backup = "* * * * * *"';

interface Fixture extends AsyncDisposable {
  lab: DaemonLab;
  daemon: Running;
  places: Place[];
}

/** A daemon whose first backup hangs in its middle, with a directory and a bucket as storages. */
async function inTheMiddle(schedule: string): Promise<Fixture> {
  const r2 = await rgw();
  const bucket = await r2.makeBucket();
  const lab = await DaemonLab.make({
    postgres: postgres.address,
    databases: [bulk],
    schedule,
    storages: (directory) => [localStorage("disk", directory), s3Storage("r2", r2, bucket)],
  });
  const daemon = await lab.startToTheMiddle();
  const place: Place = { name: "r2", lab: r2, bucket };
  await daemon.until("an upload is open", async () => (await uploadsIn(place)).length === 1);
  const dispose = () => lab[Symbol.asyncDispose]();
  return { lab, daemon, places: [lab.disk, place], [Symbol.asyncDispose]: dispose };
}

/** Starts the daemon again with nothing due for a year, and waits for the repeated run. */
async function madeUpFor({ lab, places }: Fixture): Promise<void> {
  const cutOff = (await lab.runs()).find(({ outcome }) => outcome === "INTERRUPTED");
  lab.toPostgres.pass();
  await lab.schedule(`backup = "${YEARLY}"`);
  const daemon = await lab.start();
  await lab.until(daemon, "backup", "OK");
  const made = (await lab.runs()).filter(({ outcome }) => outcome === "OK");
  expect(made).toMatchObject([{ scheduled_for: cutOff?.scheduled_for }]);
  daemon.kill("SIGTERM");
  expect((await daemon.ended).exitCode).toBe(0);
  expect(await leftovers(lab.installation, places)).toEqual([]);
}

test("SIGTERM lets a backup end that ends in time, and starts no other", async () => {
  await using fixture = await inTheMiddle(`${EVERY_SECOND}\nshutdown_grace = "1h"`);
  const { lab, daemon, places } = fixture;
  daemon.kill("SIGTERM");
  await daemon.says("stopping");
  expect((await lab.status()).daemon?.is_stopping).toBe(true);
  expect(pgDumpOf(daemon.pid)).toBeDefined();
  lab.toPostgres.pass();
  expect(await daemon.ended).toMatchObject({ exitCode: 0 });
  const runs = await lab.runs();
  expect(runs.filter(({ outcome }) => outcome !== "SKIPPED")).toMatchObject([{ outcome: "OK" }]);
  expect(await leftovers(lab.installation, places)).toEqual([]);
});

test("SIGTERM aborts a backup after the grace period, cleanly and without an alert; it runs again at the next start", async () => {
  await using fixture = await inTheMiddle(`${EVERY_SECOND}\nshutdown_grace = "1s"`);
  const { lab, daemon, places } = fixture;
  const dump = pgDumpOf(daemon.pid) as number;
  daemon.kill("SIGTERM");
  expect(await daemon.ended).toMatchObject({ exitCode: 0 });
  expect(() => process.kill(dump, 0)).toThrow();
  const runs = (await lab.runs()).filter(({ outcome }) => outcome !== "SKIPPED");
  expect(runs).toMatchObject([{ outcome: "INTERRUPTED", error: "ended by SIGTERM" }]);
  expect(await leftovers(lab.installation, places)).toEqual([]);
  const { alerts } = (await lab.installation.ok("alerts", "--json")).json;
  expect(
    alerts.filter(
      ({ job, key }: { job: string; key: string }) =>
        job === "backup" && !key.startsWith("schedule") && key !== "same device main",
    ),
  ).toEqual([]);
  await madeUpFor(fixture);
});

test("kill -9: the next start cleans up and runs the backup again", async () => {
  await using fixture = await inTheMiddle(EVERY_SECOND);
  const { lab, daemon, places } = fixture;
  const dump = pgDumpOf(daemon.pid) as number;
  daemon.kill("SIGKILL");
  expect((await daemon.ended).exitCode).toBe(137);
  // Nobody else ends pg_dump here; in the unit, systemd would.
  process.kill(dump, "SIGKILL");
  expect(await leftovers(lab.installation, places)).not.toEqual([]);
  lab.toPostgres.pass();
  await lab.schedule(`backup = "${YEARLY}"`);
  const next = await lab.start();
  await next.says("an interrupted backup was settled");
  await lab.until(next, "backup", "OK");
  const runs = (await lab.runs()).filter(({ outcome }) => outcome !== "SKIPPED");
  expect(runs).toMatchObject([
    { outcome: "INTERRUPTED", error: "the process ended before the run did" },
    { outcome: "OK", scheduled_for: runs[0]?.scheduled_for },
  ]);
  next.kill("SIGTERM");
  await next.ended;
  expect(await leftovers(lab.installation, places)).toEqual([]);
});

test("a second SIGTERM ends it at once", async () => {
  await using fixture = await inTheMiddle(`${EVERY_SECOND}\nshutdown_grace = "1h"`);
  const { daemon } = fixture;
  const dump = pgDumpOf(daemon.pid) as number;
  daemon.kill("SIGTERM");
  await daemon.says("stopping");
  daemon.kill("SIGTERM");
  expect((await daemon.ended).exitCode).toBe(143);
  process.kill(dump, "SIGKILL");
});
