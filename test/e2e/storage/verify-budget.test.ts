import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { runScheduled } from "../../../src/daemon/schedule/scheduled-job.ts";
import { openContext } from "../../../src/jobs/context.ts";
import { silentProgress } from "../../../src/jobs/progress.ts";
import { schedulesOf } from "../../../src/jobs/schedules.ts";
import { binDir as binDirIn } from "../../lab/bin-dir.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** Verification within a budget covers a store over time; with the identity, pg_restore reads each dump to its end. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 1);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

interface Read {
  exitCode: number;
  /** `ID STORAGE` in the order in which they were read. */
  read: string[];
  bytes: number;
}

async function verify(...words: string[]): Promise<Read> {
  const { exitCode, json } = await installation.run("verify", "--json", ...words);
  const copies: { backup_id: string; storage: string; object_bytes: number }[] = json.copies;
  return {
    exitCode,
    read: copies.map(({ backup_id, storage }) => `${backup_id} ${storage}`),
    bytes: copies.reduce((sum, { object_bytes }) => sum + object_bytes, 0),
  };
}

async function coverage(): Promise<Record<string, number[]>> {
  const { storages } = (await installation.ok("status", "--json")).json;
  return Object.fromEntries(
    storages.map(({ name, coverage: all }: { name: string; coverage: { copies: number }[] }) => [
      name,
      all.map(({ copies }) => copies),
    ]),
  );
}

/** Runs the verification of the schedule, as the daemon does. */
async function scheduled(): Promise<string[]> {
  await using context = await openContext({
    ...{ config: await loadConfig(installation.configFile, { env: {} }), log: silentLog },
    ...{ clock: systemClock, signal: new AbortController().signal, progress: silentProgress },
  });
  const schedule = schedulesOf(context.config).find(({ name }) => name === "verify");
  if (!schedule) throw new Error("no schedule");
  const before = new Map<string, string | null>();
  const all = async () => {
    const backups = await context.catalog.backups({});
    return (await Promise.all(backups.map(({ id }) => context.catalog.copies(id)))).flat();
  };
  for (const copy of await all()) before.set(`${copy.backup_id} ${copy.storage}`, copy.verified_at);
  expect(
    await runScheduled(
      { ...context, schedule: { name: "verify", dueAt: new Date() } },
      schedule,
      async (round) => void (await round()),
    ),
  ).toBe("OK");
  return (await all())
    .filter((copy) => copy.verified_at !== before.get(`${copy.backup_id} ${copy.storage}`))
    .map(({ backup_id, storage }) => `${backup_id} ${storage}`)
    .sort();
}

describe("a budget", () => {
  test("reads the newest first, then the oldest unread, then the longest not read; never nothing", async () => {
    const [first, second, third] = [
      await installation.backUp(),
      await installation.backUp(),
      await installation.backUp(),
    ];
    expect(await coverage()).toEqual({ a: [0, 0], b: [0, 0] });
    expect(await verify("--sample", "3")).toMatchObject({
      exitCode: 0,
      read: [`${third} a`, `${third} b`, `${first} a`],
    });
    expect(await coverage()).toEqual({ a: [2, 2], b: [1, 1] });
    // Half of six.
    expect((await verify("--sample", "50%")).read).toEqual([`${first} b`, `${second} a`, `${second} b`]);
    expect((await verify("--sample", "1")).read).toEqual([`${third} a`]);
    expect((await verify("--max-bytes", "1B")).read).toEqual([`${third} b`]);
    const [{ object_bytes }] = (await installation.ok("list", "--json", "-n", "1")).json.backups;
    // The backups differ by some bytes.
    const { bytes, read } = await verify("--max-bytes", `${Math.floor(2.5 * object_bytes)}B`);
    expect(read).toEqual([`${first} a`, `${first} b`]);
    expect(bytes).toBeLessThanOrEqual(2.5 * object_bytes);
    const { read: ofOne } = await verify("--sample", "2", "--storage", "b");
    expect(ofOne.map((one) => one.slice(-2))).toEqual([" b", " b"]);
    expect(await coverage()).toEqual({ a: [3, 3], b: [3, 3] });
  });

  test("the schedule reads the newest backups whole, or as much as verify.bytes_per_run allows", async () => {
    const newest = await installation.backUp();
    expect(await scheduled()).toEqual([`${newest} a`, `${newest} b`]);
    const next = await installation.backUp();
    await installation.configure({ more: '[verify]\nbytes_per_run = "1B"' });
    expect(await scheduled()).toEqual([`${next} a`]);
    expect(await scheduled()).toEqual([`${next} b`]);
    // Everything is read by now, one copy a run: the oldest reading comes next.
    const [oldest] = await scheduled();
    expect(oldest).not.toContain(next);
    await installation.configure({ more: '[verify]\nbytes_per_run = "1GiB"' });
    expect(await scheduled()).toHaveLength(10);
    await installation.configure({ more: "" });
  });

  /** The open alerts about copies and marks. */
  const alerts = async (): Promise<string[]> => {
    const { json } = await installation.ok("alerts", "--json");
    const open = json.alerts.filter(
      ({ key, resolved_at }: { key: string; resolved_at: string | null }) =>
        /^(verify|repair|rule) /.test(key) && resolved_at === null,
    );
    return open.map(({ key }: { key: string }) => key).sort();
  };
  const newest = async () =>
    (await installation.ok("list", "--json", "-n", "1")).json.backups[0].id as string;
  const restore = async (id: string) => {
    const target = postgres.newName("found");
    return installation.ok("restore", id, "-t", `main/${target}`, "--create");
  };

  test.each<[string, string, (id: string, copies: LocalCopies) => Promise<unknown>]>([
    ["this verification", "b", () => installation.run("verify", "--max-bytes", "1GiB", "--storage", "b")],
    ["a restore", "a", restore],
    [
      "a repair that reads it",
      "a",
      async (id, copies) => {
        // Repair reads "a" to fill "b", and finds out.
        copies.remove(copies.object("b"));
        await installation.run("verify", id, "--storage", "b");
        copies.heal();
        copies.damage("a", flippedInTheMiddle);
        copies.remove(copies.object("b"));
        expect((await installation.run("repair")).exitCode).toBe(3);
        copies.heal();
        copies.damage("a", flippedInTheMiddle);
      },
    ],
  ])("damage found by %s is repaired by the next repair, and the alerts end", async (_, storage, find) => {
    const id = await newest();
    const copies = new LocalCopies(installation, id);
    copies.damage(storage, flippedInTheMiddle);
    await find(id, copies);
    expect(await alerts()).toContain(`verify main/${source} ${storage}`);
    expect((await installation.run("repair", "--dry-run", "--json")).json.copies).toContainEqual(
      expect.objectContaining({ backup_id: id, storage, state: "DAMAGED" }),
    );
    await installation.run("repair");
    await installation.ok("repair");
    expect(await alerts()).toEqual([]);
    expect((await installation.ok("verify", id)).exitCode).toBe(0);
  });

  test.each([
    [["--sample", "0"], '--sample is "0"'],
    [["--sample", "101%"], '--sample is "101%"'],
    [["--sample", "1.5"], '--sample is "1.5"'],
    [["--max-bytes", "20"], '--max-bytes is "20"'],
    [["--max-bytes", "0"], '--max-bytes is "0"'],
    [["--sample", "3", "3f2a"], "--sample or --max-bytes cannot be used with an id"],
  ])("%j is refused", async (words, message) => {
    const { exitCode, stderr } = await installation.run("verify", ...words);
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(message) });
  });
});

const binDir = (scripts: Parameters<typeof binDirIn>[1]) => binDirIn(installation.directory, scripts);

describe("the dump in a copy", () => {
  test("a pg_restore that cannot do it says nothing about the copy", async () => {
    const id = await installation.backUp();
    expect((await installation.ok("verify", id)).stdout).toContain("hash, every segment, dump");
    const broken = await binDir({ pg_restore: 'echo "pg_restore: error: out of memory" >&2; exit 1' });
    await installation.configure({ server: `bin_dir = "${broken}"` });
    const { stdout } = await installation.ok("verify", id);
    expect(stdout).toMatch(/hash, every segment \(dump not read: pg_restore 1\S+ failed: out of memory\)/);
    const { json } = await installation.ok("verify", id, "--json");
    expect(json.copies).toMatchObject([
      { storage: "a", verdict: "good", segments_checked: true, archive_checked: false },
      { storage: "b", verdict: "good", segments_checked: true, archive_checked: false },
    ]);
    await installation.configure({ server: "" });
  });

  test("a dump that pg_restore cannot read is damaged everywhere, and repair does not copy it around", async () => {
    const good = await installation.backUp();
    const cutting = await binDir({ pg_dump: 'set -o pipefail\n"REAL" "$@" | head -c -3000' });
    await installation.configure({ server: `bin_dir = "${cutting}"` });
    const cut = await installation.backUp();
    await installation.configure({ server: "" });
    const found = await installation.run("verify", cut, "--storage", "a", "--json");
    expect(found.exitCode).toBe(14);
    expect(found.json.copies).toMatchObject([
      { storage: "a", verdict: "damaged", error: expect.stringContaining("cannot read the dump") },
    ]);
    const shown = async () => {
      const { json } = await installation.ok("show", cut, "--json");
      return [json.status, ...json.copies.map(({ state }: { state: string }) => state), json.error];
    };
    expect(await shown()).toEqual([
      "FAILED",
      "DAMAGED",
      "DAMAGED",
      expect.stringContaining("cannot read the dump"),
    ]);
    const critical = (await installation.ok("alerts", "--json")).json.alerts.find(
      ({ key }: { key: string }) => key === `verify main/${source} a`,
    );
    expect(critical).toMatchObject({ level: "CRITICAL", metadata: { lost: 1 } });
    expect(critical.metadata.hint).toContain("make a new backup now");

    expect((await installation.ok("repair", "--json")).json.copies).toEqual([]);
    expect((await installation.ok("repair", "--dry-run", "--json")).json.copies).toEqual([]);
    expect((await shown()).slice(0, 3)).toEqual(["FAILED", "DAMAGED", "DAMAGED"]);
    const latest = (await installation.ok("status", "--json")).json.databases[0];
    expect(latest.newest_good.id).toBe(good);
    // Without a pg_restore the bytes alone do not make it good again.
    const none = await binDir({ pg_restore: "exit 1" });
    await installation.configure({ server: `bin_dir = "${none}"` });
    expect((await installation.run("verify", cut)).exitCode).toBe(14);
    await installation.configure({ server: "" });
  });
});
