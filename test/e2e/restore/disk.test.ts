import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MARK } from "../../../src/jobs/temp-dir.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { LocalCopies } from "../../lab/local-copies.ts";
import { databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";

/** The disk for a spool or an exported dump is too small, or fills up meanwhile. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let small: string;
let backupId: string;

const isRoot = process.getuid?.() === 0;
const mount = (...words: string[]) => {
  const run = Bun.spawnSync(words);
  if (!run.success) throw new Error(`${words.join(" ")}: ${run.stderr}`);
};

/** Files that pg321 and PostgreSQL's programs leave there, without pg321's own mark. */
const filesIn = (directory: string) => readdirSync(directory).filter((name) => name !== MARK);

// Only root mounts a small disk.
describe.if(isRoot)("a disk of 8 MiB", () => {
  beforeAll(async () => {
    source = await postgres.createDatabase();
    await fillNoiseDatabase(postgres.connect(source), 12);
    installation = await Installation.make({
      postgres: postgres.address,
      databases: [source],
      storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
    });
    small = join(installation.directory, "small");
    mkdirSync(small);
    mount("mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "pg321-test", small);
    const config = readFileSync(installation.configFile, "utf8");
    writeFileSync(installation.configFile, `temp_dir = ${JSON.stringify(small)}\n${config}`);
    backupId = await installation.backUp();
  });
  beforeEach(() => expect(filesIn(small)).toEqual([]));
  afterAll(async () => {
    mount("umount", small);
    await installation[Symbol.asyncDispose]();
  });

  test("is too small for --jobs: reported before anything is changed", async () => {
    const target = postgres.newName();
    const words = ["restore", backupId, "-t", `main/${target}`, "--create", "--jobs", "2"];
    const { exitCode, stderr } = await installation.run(...words);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 13 });
    expect(stderr).toMatch(
      /error: temp_dir .*small: \S+ \w+ needed, \S+ \w+ free\nhint: free some space, or set temp_dir/,
    );
    expect(await databaseNames(postgres)).not.toContain(target);
    expect(filesIn(small)).toEqual([]);
    // Without a spool it is large enough.
    await installation.ok("restore", backupId, "-t", `main/${target}`, "--create");
  });

  test("is too small for an unencrypted backup: no copy is blamed", async () => {
    await using plain = await Installation.make({
      postgres: postgres.address,
      databases: [source],
      storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
      encryption: "none",
    });
    const config = readFileSync(plain.configFile, "utf8");
    writeFileSync(plain.configFile, `temp_dir = ${JSON.stringify(small)}\n${config}`);
    const id = await plain.backUp();
    expect(readFileSync(new LocalCopies(plain, id).object("a")).length).toBeGreaterThan(8 * 1024 * 1024);
    const { exitCode, stderr } = await plain.run("restore", id, "-t", "main/never_made", "--create");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 13 });
    expect(stderr).toMatch(/error: temp_dir .*\d \w+ needed/);
    expect(stderr).not.toContain("no copy can be read");
    expect(await databaseNames(postgres)).not.toContain("never_made");
  });

  test("fills up under --output: exit 13, no file, no stack trace", async () => {
    const { exitCode, stderr } = await installation.run(
      "restore",
      backupId,
      "--output",
      join(small, "x.dump"),
    );
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 13 });
    expect(stderr).toMatch(/error: .*x\.dump: .*no space left.*\nhint: /i);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});
