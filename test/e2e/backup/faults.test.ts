import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { MIB } from "../../../src/base/limits.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { keysIn, leftovers, type Place, uploadsIn, withCatalog } from "../../lab/leftovers.ts";
import { descendants, pgDumpOf, type Running, startedWith, watched } from "../../lab/machine/running.ts";
import { type FaultProxy, startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { freePort } from "../../lab/servers/free-port.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";
import { rgw, type S3Lab } from "../../lab/servers/s3.ts";

/** The bytes that pg_dump has sent when the test stops it: enough for an upload to be in progress. */
const MIDDLE_BYTES = 20 * MIB;

setDefaultTimeout(60_000);

let postgres: LabPostgres;
let r2: S3Lab;

beforeAll(async () => {
  [postgres, r2] = [await startPostgres(), await rgw()];
  await administer("create database bulk");
  const sql = connectTo(postgres.address, "bulk");
  // Far more than what the sockets between the server and pg_dump hold.
  await fillBulk(sql, 100);
  await sql.end();
});
afterAll(() => postgres[Symbol.asyncDispose]());

async function administer(...statements: string[]): Promise<void> {
  const admin = connectTo(postgres.address, "postgres");
  for (const statement of statements) await admin.unsafe(statement);
  await admin.end();
}

async function backendsOfDump(): Promise<number[]> {
  const admin = connectTo(postgres.address, "postgres");
  const found = await admin`select pid from pg_stat_activity where application_name in ('pg321', 'pg_dump')`;
  await admin.end();
  return found.map(({ pid }) => Number(pid));
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has noticed on its own.
  }
}

/** An installation that reaches PostgreSQL through a proxy, with a directory and a bucket. */
interface Fixture extends AsyncDisposable {
  installation: Installation;
  toPostgres: FaultProxy;
  places: Place[];
}

async function install(databases = ["bulk"], more = ""): Promise<Fixture> {
  const toPostgres = await startFaultProxy(postgres.address.port);
  const bucket = await r2.makeBucket();
  const installation = await Installation.make({
    postgres: { ...postgres.address, port: toPostgres.port },
    databases,
    storages: (dir) => [localStorage("disk", dir), s3Storage("r2", r2, bucket)],
    more: `[compression]\nalgorithm = "none"\n${more}`,
  });
  const places: Place[] = [
    { name: "disk", directory: join(installation.directory, "disk") },
    { name: "r2", lab: r2, bucket },
  ];
  return {
    installation,
    toPostgres,
    places,
    async [Symbol.asyncDispose]() {
      await installation[Symbol.asyncDispose]();
      await toPostgres.stop();
    },
  };
}

/** A backup that is stopped in the middle: pg_dump waits for the server, an upload is open. */
async function startToTheMiddle({ installation, toPostgres, places }: Fixture): Promise<Running> {
  toPostgres.stallAnswersAfter(MIDDLE_BYTES);
  const running = watched(installation.start("backup", "--json"));
  await running.until(
    "an upload is open",
    async () => (await uploadsIn(places[1] as Place)).length === 1 && pgDumpOf(running.pid) !== undefined,
  );
  // Otherwise the rest of a small table may be on its way already, and pg_dump needs nothing more.
  await running.until("the server waits for pg_dump to read", async () => {
    const admin = connectTo(postgres.address, "postgres");
    const waiting =
      await admin`select from pg_stat_activity where query like 'COPY%' and wait_event = 'ClientWrite'`;
    await admin.end();
    return waiting.length > 0;
  });
  return running;
}

async function expectNothingStored({ installation, places }: Fixture): Promise<void> {
  expect(await leftovers(installation, places)).toEqual([]);
  for (const place of places) expect(await keysIn(place)).toEqual([]);
}

async function backupTold({ installation }: Fixture) {
  const { backups } = (await installation.ok("list", "--json")).json;
  expect(backups).toHaveLength(1);
  return (await installation.ok("show", backups[0].id, "--json")).json;
}

/** pg_dump reports the server's last message if it still arrived. */
const CONNECTION_LOST =
  /pg_dump ended with exit code 1: .*(server closed the connection|terminating connection)/;

describe("an interrupted dump is no backup", () => {
  test.each<[string, (running: Running, database: string) => Promise<void>, RegExp]>([
    [
      "pg_dump is killed",
      async (running) => void process.kill(pgDumpOf(running.pid) as number, "SIGKILL"),
      /pg_dump was killed by SIGKILL/,
    ],
    [
      "its backend is terminated",
      async () =>
        administer(
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name in ('pg321', 'pg_dump')",
        ),
      CONNECTION_LOST,
    ],
    [
      "its database is dropped",
      async (_, database) => administer(`drop database ${database} with (force)`),
      CONNECTION_LOST,
    ],
    [
      "the server is restarted",
      async () => {
        await postgres.stop();
        await postgres.start();
      },
      CONNECTION_LOST,
    ],
    [
      "the server crashes",
      async () => {
        // A backend outlives its postmaster as long as it never waits.
        const backends = await backendsOfDump();
        await postgres.kill();
        for (const pid of backends) killIfThere(pid);
        await postgres.start();
      },
      CONNECTION_LOST,
    ],
  ])("when %s", async (_, fault, message) => {
    const database = `copy_${crypto.randomUUID().slice(0, 8)}`;
    await administer(`create database ${database} template bulk`);
    await using fixture = await install([database]);
    const running = await startToTheMiddle(fixture);
    await fault(running, database);
    fixture.toPostgres.pass();
    const { exitCode, json } = await running.ended;
    expect(exitCode).toBe(10);
    expect(json.outcome).toBe("FAILED");
    expect(json.backups[0].error).toMatch(message);
    expect(json.backups[0].error).toStartWith(`server "main": dump of database "${database}" failed: `);
    expect(await backupTold(fixture)).toMatchObject({ status: "FAILED", error: json.backups[0].error });
    await expectNothingStored(fixture);
    await administer(`drop database if exists ${database}`);
  });

  test("when the server sends nothing any more for dump.stall_timeout", async () => {
    await using fixture = await install(["bulk"], '[dump]\nstall_timeout = "1s"');
    const { exitCode, json } = await (await startToTheMiddle(fixture)).ended;
    expect(exitCode).toBe(10);
    expect(json.backups[0].error).toContain("pg_dump sent no byte for 1 s");
    await expectNothingStored(fixture);
  });

  test("when it takes longer than dump.run_timeout", async () => {
    await using fixture = await install(["bulk"], '[dump]\nrun_timeout = "3s"');
    const { exitCode, json } = await (await startToTheMiddle(fixture)).ended;
    expect(exitCode).toBe(10);
    expect(json.backups[0].error).toBe("backup of main/bulk took longer than dump.run_timeout (3 s)");
    expect(await backupTold(fixture)).toMatchObject({ status: "FAILED", error: json.backups[0].error });
    await expectNothingStored(fixture);
  });

  test.each([
    ["SIGINT", 130, "interrupted by hand"],
    ["SIGTERM", 143, "ended by SIGTERM"],
  ] as const)("when %s ends the run", async (signal, code, error) => {
    await using fixture = await install();
    const running = await startToTheMiddle(fixture);
    const pgDump = pgDumpOf(running.pid) as number;
    running.kill(signal);
    const { exitCode, stderr } = await running.ended;
    expect(exitCode).toBe(code);
    expect(stderr).toContain(`error: ${error}`);
    expect(startedWith(pgDump).cmdline).toBe("");
    expect(await backupTold(fixture)).toMatchObject({ status: "FAILED", error });
    const [run] = await withCatalog(fixture.installation, (catalog) => catalog.runs({}));
    expect(run).toMatchObject({ job: "backup", outcome: "FAILED", error });
    await expectNothingStored(fixture);
  });
});

describe("a server that rejects the connection", () => {
  test.each([
    [
      "refuses the connection",
      async () => ({ port: await freePort() }),
      /cannot connect .* ECONNREFUSED/,
      "runs and listens",
    ],
    [
      "refuses the password",
      async () => ({ password: "wrong-secret-word" }),
      /password authentication failed/,
      "check user and password",
    ],
  ])(
    "because it %s: exit 10, and nothing is left that looks like a backup",
    async (_, change, message, hint) => {
      await using fixture = await install();
      await fixture.installation.configure({ postgres: { ...postgres.address, ...(await change()) } });
      const { exitCode, json, stderr } = await fixture.installation.run("backup", "--json");
      expect(exitCode).toBe(10);
      expect(json).toMatchObject({ outcome: "FAILED", backups: [{ status: "FAILED", backup_id: null }] });
      expect(json.backups[0].error).toMatch(message);
      expect(json.backups[0].hint).toContain(hint);
      expect(json.backups[0].hint).not.toContain("restore");
      expect(json.backups[0].error + stderr).not.toContain("wrong-secret-word");
      expect((await fixture.installation.ok("list", "--json")).json.backups).toEqual([]);
      await expectNothingStored(fixture);
    },
  );
});

test("a database that fails does not stop the others", async () => {
  await administer("create database a_broken template bulk", "create database z_whole template bulk");
  const sql = connectTo(postgres.address, "a_broken");
  const [row] = await sql<{ path: string }[]>`select pg_relation_filepath('bulk') as path`;
  await sql.end();
  await administer("checkpoint");
  rmSync(join(postgres.address.data_dir, row?.path as string));

  await using fixture = await install(["a_broken", "gone", "z_whole"]);
  const { exitCode, json } = await fixture.installation.run("backup", "--json");
  expect(exitCode).toBe(3);
  expect(json.outcome).toBe("PARTIAL");
  const byDatabase = Object.fromEntries(
    json.backups.map((backup: { database: string; status: string; error: string | null }) => [
      backup.database,
      `${backup.status} ${backup.error ?? ""}`,
    ]),
  );
  expect(byDatabase["a_broken"]).toMatch(/^FAILED .*could not open file/);
  expect(byDatabase["gone"]).toBe('FAILED server "main": no database "gone"');
  expect(byDatabase["z_whole"]).toBe("VERIFIED ");
  expect(await leftovers(fixture.installation, fixture.places)).toEqual([]);
  for (const place of fixture.places) {
    const keys = await keysIn(place);
    expect(keys).toHaveLength(2);
    for (const key of keys) expect(key).toStartWith("main/z_whole/backup_z_whole_");
  }
  await administer("drop database a_broken", "drop database z_whole");
});

test("a second run of the same database is refused and shows which run holds it", async () => {
  await using fixture = await install();
  const first = await startToTheMiddle(fixture);
  await fixture.installation.configure({ postgres: postgres.address });
  const second = await fixture.installation.run("backup", "--json");
  expect(second.exitCode).toBe(11);
  const [run] = await withCatalog(fixture.installation, (catalog) => catalog.runs({ outcome: "RUNNING" }));
  expect(second.json.backups[0].error).toContain(
    `held by run ${run?.id} (pid ${first.pid} on ${hostname()})`,
  );

  fixture.toPostgres.pass();
  expect((await first.ended).exitCode).toBe(0);
  expect(await backupTold(fixture)).toMatchObject({ status: "VERIFIED" });
  expect(await leftovers(fixture.installation, fixture.places)).toEqual([]);
  expect((await fixture.installation.run("backup")).exitCode).toBe(0);
});

test("no process shows a secret during a backup, and no output or file contains one afterwards", async () => {
  await using fixture = await install();
  const { installation, toPostgres } = fixture;
  const identity = await readFile(installation.identityFile, "utf8");
  const signingKey = await readFile(join(installation.directory, "signing.key"), "utf8");
  const secrets = [
    postgres.address.password,
    r2.secret_access_key,
    /AGE-SECRET-KEY-\w+/.exec(identity)?.[0] ?? expect.unreachable("no identity"),
    ...signingKey.split("\n").filter((line) => !line.startsWith("#") && line.length > 20),
  ];
  expect(secrets.length).toBeGreaterThan(3);
  const leaked = (text: string) => secrets.filter((secret) => text.includes(secret));

  const running = await startToTheMiddle(fixture);
  const processes = [running.pid, ...descendants(running.pid)];
  expect(processes.length).toBeGreaterThan(1);
  for (const pid of processes) {
    const { cmdline, environ } = startedWith(pid);
    expect(cmdline).not.toBe("");
    expect(leaked(cmdline + environ)).toEqual([]);
  }
  toPostgres.pass();
  const outputs = [await running.ended];
  // Failures print more.
  await installation.configure({ postgres: { ...postgres.address, user: "nobody_here" } });
  outputs.push(await installation.run("backup", "--log-level", "debug"));
  for (const words of [["list", "--json"], ["check"], ["verify", "--log-level", "debug"]])
    outputs.push(await installation.run(...words));
  for (const { stdout, stderr } of outputs) expect(leaked(stdout + stderr)).toEqual([]);
  for (const directory of ["state", "disk"]) {
    for (const entry of await readdir(join(installation.directory, directory), {
      recursive: true,
      withFileTypes: true,
    })) {
      if (!entry.isFile()) continue;
      expect(leaked(await readFile(join(entry.parentPath, entry.name), "latin1"))).toEqual([]);
    }
  }
});
