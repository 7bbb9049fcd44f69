import { beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { localStorage } from "../../lab/installation.ts";
import { onTerminal, screenOf } from "../../lab/machine/terminal.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

const postgres = usePostgres();
/** One storage takes only so many bytes in a second, so that there is something to watch. */
const SLOW = (directory: string) => [
  localStorage("disk", directory),
  localStorage("slow", directory, { rate_limit: "256KiB/s", min_rate: "1KiB/s" }),
];
const installation = useInstallation(postgres, { storages: SLOW });
let database = "";

beforeAll(async () => {
  database = await postgres.createDatabase();
  // Text that does not shrink much: some 2 MiB when stored.
  await postgres.connect(database).unsafe(`create table noise as
    select i, md5(i::text) || md5((i * 7)::text) || md5((i * 13)::text) as text from generate_series(1, 30000) i`);
});

/** Holds a lock that the dump waits for. */
async function locked(): Promise<{ begun: Promise<void>; end: () => Promise<void> }> {
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const holding = postgres.connect(database).begin(async (sql) => {
    await sql`lock table noise in access exclusive mode`;
    begun.resolve();
    await ended.promise;
  });
  const end = async () => {
    ended.resolve();
    await holding;
  };
  return { begun: begun.promise, end };
}

interface ProgressLine {
  state: string;
  work: string;
  bytes: number;
  expected_from: string;
  storages: { storage: string; state: string }[];
}

/** Runs a command whose stderr must hold nothing but lines of progress. */
async function progressOf(...words: string[]): Promise<ProgressLine[]> {
  const { stdout, stderr } = await installation().ok(...words, "--quiet", "--progress=json");
  expect(stdout).toBe("");
  const lines = stderr.trimEnd().split("\n");
  const documented = documentedKeys("Progress for programs");
  return lines.map((line) => {
    const object = JSON.parse(line);
    expect(misfits(object, documented)).toEqual([]);
    return object;
  });
}

test("on a terminal a backup into a slow storage shows share, rate, time and each storage", async () => {
  const { begun, end } = await locked();
  await begun;
  const shown = onTerminal(["backup", database], { PG321_CONFIG: installation().configFile });
  await shown.shows(
    /backup main\/\w+\S* {2}0 B, 0% of about [\d.]+ MiB {2}0 B\/s {2}[\d.]+ s {2}disk 0 B {2}slow 0 B/,
  );
  await end();
  await shown.shows(/ slow [\d.]+ [KM]iB/);
  await shown.shows(/disk stored/);
  // The dump has been read, its size is known, and one storage still writes.
  await shown.shows(/, 100% of [\d.]+ MiB .*\s+\S*disk stored\S* {2}slow /);
  const { exitCode, written } = await shown.ended;
  expect(exitCode).toBe(0);
  // Nothing of it stays, only the result.
  const screen = screenOf(written);
  expect(screen.join("\n")).not.toContain("% of");
  expect(screen.at(-1)).toMatch(/ disk, slow$/);
}, 60_000);

describe("for programs each line is an object", () => {
  test("backup, with the size of the last backup as expectation", async () => {
    const lines = await progressOf("backup", database);
    expect(lines[0]).toMatchObject({ state: "running", work: `backup main/${database}`, bytes: 0 });
    expect(lines[0]).toMatchObject({ expected_from: "last_backup", storages: [{ storage: "disk" }, {}] });
    expect(lines.length).toBeGreaterThan(3);
    const ends = lines.filter(({ state }) => state === "ended");
    expect(ends[0]?.storages.map(({ state }) => state)).toEqual(["stored", "stored"]);
    expect(ends[0]).toMatchObject({ share: 1 });
  }, 60_000);

  test.each([
    ["verify", ["verify", "--storage", "disk"]],
    ["restore", ["restore", "latest", "-d", "DATABASE", "--target", "main/made_for_progress", "--create"]],
    ["read", ["restore", "latest", "-d", "DATABASE", "--output", "FILE"]],
    ["restore-test", ["restore-test", "DATABASE"]],
  ])(
    "%s %p",
    async (work, words) => {
      const file = join(installation().directory, "dump");
      const all = words.map((word) => word.replace("DATABASE", database).replace("FILE", file));
      const lines = await progressOf(...all);
      expect(lines[0]).toMatchObject({ state: "running", expected_from: "backup" });
      expect(lines[0]?.work).toStartWith(`${work} `);
      expect(lines.at(-1)).toMatchObject({ state: "ended", share: 1 });
    },
    60_000,
  );

  test("unseal", async () => {
    const at = installation().directory;
    const [object = ""] = (await installation().files("disk")).filter((file) => file.endsWith(".enc"));
    const words = ["unseal", join(at, "disk", object), "-i", installation().identityFile];
    const lines = await progressOf(...words, "--output", join(at, "unsealed"));
    expect(lines[0]).toMatchObject({ work: `unseal ${basename(object)}`, expected_from: "backup" });
    expect(lines.at(-1)).toMatchObject({ state: "ended", share: 1 });
  });

  test("recovery-kit, which counts the databases that it is done with", async () => {
    const small = await postgres.createDatabase();
    await installation().backUp(small);
    const lines = await progressOf("recovery-kit", join(installation().directory, "kit"), "--no-record");
    const databases = { databases: 2, expected_databases: 2 };
    expect(lines.at(-1)).toMatchObject({ state: "ended", work: "recovery kit", ...databases });
  });

  test("repair, and cleanup that adopts what has no record", async () => {
    await rm(join(installation().directory, "disk/main"), { recursive: true });
    await installation().run("verify", "--storage", "disk", "--quiet");
    const lines = await progressOf("repair");
    expect(lines.at(-1)).toMatchObject({ state: "ended", storages: [{ storage: "disk" }] });
    expect(lines[0]?.work).toMatch(/^repair .* in disk$/);
    await rm(join(installation().directory, "state"), { recursive: true });
    const adopted = await progressOf("cleanup", "--adopt");
    expect(adopted[0]).toMatchObject({ work: "look at objects without a record in disk", bytes: null });
    // Each backup is an object and its manifest.
    const objects = 2 * (await installation().ok("list", "--json", "--storage", "disk")).json.backups.length;
    expect(objects).toBeGreaterThan(0);
    const end = adopted.find(({ state }) => state === "ended");
    expect(end).toMatchObject({ objects, expected_objects: objects, share: 1 });
  }, 60_000);
});

test("quiet prints errors only, and what --json asks for; without progress there is only the result", async () => {
  expect(await installation().run("verify", "--quiet", "-n", "1")).toMatchObject({ stdout: "" });
  const { json, stderr } = await installation().ok("verify", "-q", "--json", "--storage", "disk");
  expect(json.copies.length).toBeGreaterThan(0);
  expect(stderr).toBe("");
  const failed = await installation().run("backup", "nowhere", "--quiet");
  expect(failed).toMatchObject({ exitCode: 2, stdout: "" });
  expect(failed.stderr).toStartWith("error: ");
  const shown = onTerminal(["verify", "--progress", "none"], { PG321_CONFIG: installation().configFile });
  expect((await shown.ended).written).not.toContain("% of");
  const wrong = await installation().run("verify", "--progress", "jsno");
  expect(wrong.exitCode).toBe(2);
  expect(wrong.stderr).toStartWith(
    'error: verify: --progress is "jsno", expected one of auto, none, json\nhint: did you mean json?\n',
  );
}, 60_000);
