import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import type { Sql } from "postgres";
import { dumpStreams, plantStreams } from "../../lab/data/planted-streams.ts";
import { addLargeTable, fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { ended, Installation, localStorage } from "../../lab/installation.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);
const postgres = usePostgres();
let admin: Sql;
let installation: Installation;
let source: string;
let archives: [string, Buffer][];
let backupId: string;

beforeAll(async () => {
  admin = postgres.connect();
  source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  await fillSampleDatabase(sql, 0.05);
  await addLargeTable(sql);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
  });
  // The storages get their markers.
  await installation.ok("backup");
  archives = await dumpStreams(sql, postgres.address, source, 4);
  backupId = await plantStreams(installation, ["a", "b"], archives, { database: source });
});
afterAll(() => installation[Symbol.asyncDispose]());

/** Its own connection: the one of a locked transaction cannot do anything else. */
async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}

async function sessions(): Promise<number> {
  const [{ count = 0 } = {}] = await admin<{ count: number }[]>`
    select count(*)::int from pg_stat_activity where application_name like 'pg321 restore %'`;
  return count;
}

/** A database with empty tables of which one is locked, and a restore of rows that waits for it. */
async function stalled(options: string[] = []) {
  const name = postgres.newName(source);
  await installation.ok("restore", backupId, "--target", `main/${name}`, "--create", "--schema-only");
  const blocker = postgres.connect(name);
  const lock = Promise.withResolvers<void>();
  const isLocked = Promise.withResolvers<void>();
  const blocking = blocker.begin(async (sql) => {
    // The check of the target may read it, but nobody may fill it.
    await sql`lock table public.large in exclusive mode`;
    isLocked.resolve();
    await lock.promise;
  });
  await isLocked.promise;
  const tables = ["public.large", "log.event", "Mixed Case.*"].flatMap((table) => ["--table", table]);
  const words = ["restore", backupId, "-t", `main/${name}`, "--data-only", "--into-existing", ...tables];
  const child = installation.start(...words, ...options);
  const sql = postgres.connect(name);
  const [{ count: expected = 0 } = {}] = await postgres.connect(source)<{ count: number }[]>`
    select count(*)::int from log.event`;
  await waitFor(async () => {
    const [{ waiting = false } = {}] = await sql<{ waiting: boolean }[]>`
      select exists (select from pg_stat_activity where application_name like 'pg321 restore %'
        and wait_event_type = 'Lock' and datname = ${name}) as waiting`;
    if (child.exitCode !== null) throw new Error((await ended(child)).stderr);
    return waiting;
  });
  const release = async () => {
    lock.resolve();
    await blocking;
  };
  return { name, child, sql, expected, release };
}

test("a stream whose session waits for a lock does not stop the others, and goes on afterwards", async () => {
  const { child, sql, expected, release } = await stalled(["--json"]);
  await waitFor(async () => {
    const [{ count = 0 } = {}] = await sql<{ count: number }[]>`select count(*)::int from log.event`;
    return count === expected;
  });
  expect(child.exitCode).toBeNull();
  await release();
  const { exitCode, stdout } = await ended(child);
  expect({ exitCode, outcome: JSON.parse(stdout).outcome }).toEqual({ exitCode: 0, outcome: "OK" });
  expect(await sql`select count(*)::int from public.large`).toEqual([{ count: 25_000 }] as never);
});

test("a wait for a lock that lasts too long ends all streams, and names the holder", async () => {
  await installation.configure({ more: '[dump]\nlock_wait_timeout = "1s"' });
  const { child, release } = await stalled();
  const { exitCode, stderr } = await ended(child);
  await installation.configure({ more: "" });
  expect({ exitCode, stderr }).toEqual({ exitCode: 10, stderr: expect.stringContaining("held by pid") });
  expect(stderr).toContain("relation public.large");
  await waitFor(async () => (await sessions()) === 0);
  await release();
  expect(await installation.temporaryFiles()).toEqual([]);
});

test.each([["SIGINT", 130] as const, ["SIGTERM", 143] as const])(
  "%s ends all streams",
  async (signal, code) => {
    const { child, release } = await stalled();
    child.kill(signal);
    expect((await ended(child)).exitCode).toBe(code);
    await waitFor(async () => (await sessions()) === 0);
    await release();
    expect(await installation.temporaryFiles()).toEqual([]);
  },
);

test("after kill -9 the file with the schema is removed by the next job, and the restore can be repeated", async () => {
  const { child, release } = await stalled();
  child.kill("SIGKILL");
  await child.exited;
  expect((await installation.temporaryFiles()).some((file) => file.includes("spool"))).toBe(true);
  await release();
  const name = postgres.newName(source);
  await installation.ok("restore", backupId, "--target", `main/${name}`, "--create");
  expect(await installation.temporaryFiles()).toEqual([]);
  expect((await compareByName(postgres, source, name)).differences).toEqual([]);
});

const broken = [
  ["without its end", (whole: Buffer) => whole.subarray(0, -9), "cut off"],
  ["cut in half", (whole: Buffer) => whole.subarray(0, whole.length / 2), "cut off"],
  ["with bytes after its end", (whole: Buffer) => Buffer.concat([whole, whole]), "bytes after its end"],
  ["that is one archive", () => archives[0]?.[1] ?? Buffer.alloc(0), "one archive"],
] as const;

test.each([...broken])(
  "a container %s is no backup: exit 14, from restore, verify and --output",
  async (_, container, why) => {
    const id = await plantStreams(installation, ["a"], archives, { database: source, container });
    const name = postgres.newName(source);
    const restored = await installation.run("restore", id, "--target", `main/${name}`, "--create");
    expect({ exitCode: restored.exitCode, stderr: restored.stderr }).toEqual({
      exitCode: 14,
      stderr: expect.stringContaining(why),
    });
    const written = await installation.run("restore", id, "--output", `${installation.directory}/broken`);
    expect({ exitCode: written.exitCode, stderr: written.stderr }).toEqual({
      exitCode: 14,
      stderr: expect.stringContaining(why),
    });
    expect((await readdir(installation.directory)).filter((file) => file.startsWith("broken"))).toEqual([]);
    const verified = await installation.run("verify", id);
    expect({ exitCode: verified.exitCode, stdout: verified.stdout }).toEqual({
      exitCode: 14,
      stdout: expect.stringContaining(why),
    });
    await waitFor(async () => (await sessions()) === 0);
    await installation.ok("delete", id);
  },
);

test("a stream that pg_restore cannot read is named by verify", async () => {
  const damaged = archives.map(([name, bytes]): [string, Buffer] => [
    name,
    name === "data-2" ? bytes.subarray(0, -2000) : bytes,
  ]);
  const id = await plantStreams(installation, ["a"], damaged, { database: source });
  const { exitCode, stdout } = await installation.run("verify", id);
  expect({ exitCode, stdout }).toEqual({ exitCode: 14, stdout: expect.stringContaining("stream data-2") });
  const restored = await installation.run(
    "restore",
    id,
    "--target",
    `main/${postgres.newName(source)}`,
    "--create",
  );
  expect(restored.exitCode).not.toBe(0);
  await installation.ok("delete", id);
});

test("an unencrypted backup of several streams is restored too, one stream after the other if need be", async () => {
  await installation.configure({ encryption: "none" });
  const planting = { database: source, encryption: "none" as const, membersAtOnce: 1 };
  const id = await plantStreams(installation, ["a"], archives, planting);
  const name = postgres.newName(source);
  await installation.ok("restore", id, "--target", `main/${name}`, "--create");
  expect((await compareByName(postgres, source, name)).differences).toEqual([]);
});
