import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountTmpfs } from "../../../../test/lab/machine/mounts.ts";
import { systemClock } from "../../../base/clock.ts";
import { createLog } from "../../../base/log.ts";
import { openCatalog } from "../../open.ts";
import { APPLICATION_ID } from "./first-migrations.ts";
import { migrate } from "./migrate.ts";
import { MIGRATIONS } from "./migrations.ts";
import { copiesBesideIt } from "./upgrade-copy.ts";

const OLD = MIGRATIONS.length - 1;
const FUTURE = [...MIGRATIONS, "CREATE TABLE future (a)"];

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-upgrade-"));
  path = join(directory, "catalog.db");
});
afterEach(() => rm(directory, { recursive: true }));

/** A catalog as the previous version of the program left it. */
function makeOld(padding = 0): void {
  using database = new Database(path);
  database.run("PRAGMA journal_mode = WAL");
  migrate(database, path, { migrations: MIGRATIONS.slice(0, OLD) });
  database.run("INSERT INTO installation VALUES (1, 'kept')");
  // The log of the steps would be larger with each step of the schema.
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  if (padding > 0) database.run(`CREATE TABLE padding AS SELECT randomblob(${padding}) AS bytes`);
}

/** A file whose header is that of a copy of that version. */
async function writeCopy(version: number, name = `version-${version}`): Promise<void> {
  const header = Buffer.alloc(100);
  header.writeUInt32BE(version, 60);
  header.writeUInt32BE(APPLICATION_ID, 68);
  await writeFile(`${path}.${name}`, Buffer.concat([header, Buffer.from(name)]));
}

function versionOf(file: string): number | undefined {
  using database = new Database(file, { readonly: true });
  return database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version;
}

const lines: string[] = [];
const log = createLog({ format: "text", level: "info", write: (line) => lines.push(line) });
const open = () => openCatalog({ type: "sqlite", path }, { clock: systemClock, log });
const copies = async () => (await readdir(directory)).filter((name) => name.includes(".version-")).sort();

test("an older catalog is copied before it is migrated, once, whole and private, and this is logged", async () => {
  makeOld();
  for (let opened = 0; opened < 2; opened++) {
    await using catalog = await open();
    expect(await catalog.installation()).toBe("kept");
  }
  expect(await copies()).toEqual([`catalog.db.version-${OLD}`]);
  const copy = join(directory, `catalog.db.version-${OLD}`);
  expect([versionOf(copy), versionOf(path)]).toEqual([OLD, MIGRATIONS.length]);
  using database = new Database(copy, { readonly: true });
  expect(database.query("SELECT id FROM installation").get()).toEqual({ id: "kept" });
  expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  expect((await stat(copy)).mode & 0o777).toBe(0o600);
  expect(lines.filter((line) => line.includes("catalog copied before its upgrade"))).toHaveLength(1);
});

test("a new catalog has nothing to copy", async () => {
  await (await open())[Symbol.asyncDispose]();
  expect(await copies()).toEqual([]);
});

test("if several processes open an old catalog at once, one of them copies it", async () => {
  makeOld(2_000_000);
  const program = join(import.meta.dir, "../../../../test/fixtures/catalog-process.ts");
  const children = Array.from({ length: 4 }, () =>
    Bun.spawn([process.execPath, program, "write", path, "1"], { stdout: "ignore", stderr: "inherit" }),
  );
  expect(await Promise.all(children.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
  expect(await copies()).toEqual([`catalog.db.version-${OLD}`]);
  expect(versionOf(join(directory, `catalog.db.version-${OLD}`))).toBe(OLD);
});

test("no copy is overwritten, three are kept, and the leftover of a killed process is removed", async () => {
  makeOld();
  for (const [age, name] of [`version-${OLD}`, "version-1", "version-2-2", "version-2"].entries()) {
    await writeCopy(Number(name.split("-")[1]), name);
    await utimes(`${path}.${name}`, 1_700_000_000 - age, 1_700_000_000 - age);
  }
  await writeFile(`${path}.version-${OLD}.tmp`, "half");
  await (await open())[Symbol.asyncDispose]();
  expect(await copies()).toEqual(
    ["catalog.db.version-1", `catalog.db.version-${OLD}`, `catalog.db.version-${OLD}-2`].sort(),
  );
  expect(await Bun.file(`${path}.version-${OLD}`).text()).toEndWith(`version-${OLD}`);
  expect(versionOf(`${path}.version-${OLD}-2`)).toBe(OLD);
});

test("a file of another kind or version with such a name is left alone and not counted", async () => {
  makeOld();
  for (const version of [1, 2, 3]) await writeCopy(version);
  await writeFile(`${path}.version-4`, "notes of mine");
  await writeCopy(3, "version-1-7");
  await mkdir(`${path}.version-90`);
  const others = ["version-4", "version-1-7", "version-90"];
  for (const name of others) await utimes(`${path}.${name}`, 1, 1);
  for (const version of [1, 2, 3]) await utimes(`${path}.version-${version}`, version, version);
  await (await open())[Symbol.asyncDispose]();
  const left = [...others, "version-2", "version-3", `version-${OLD}`];
  expect(await copies()).toEqual(left.map((name) => `catalog.db.${name}`).sort());
});

test("an upgrade that fails repeatedly leaves no copies, and removes no older one", async () => {
  makeOld();
  for (const version of [1, 2, 3]) await writeCopy(version);
  const broken = [...MIGRATIONS.slice(0, OLD), "CREATE TABLE broken ("];
  for (let tried = 0; tried < 3; tried++) {
    using database = new Database(path);
    expect(() => migrate(database, path, { migrations: broken, ...copiesBesideIt(path) })).toThrow();
  }
  expect(await copies()).toEqual([1, 2, 3].map((version) => `catalog.db.version-${version}`));
  await (await open())[Symbol.asyncDispose]();
  expect(await copies()).toContain(`catalog.db.version-${OLD}`);
  expect(await copies()).toHaveLength(3);
});

test("a newer catalog is refused with a hint that names the copy to go back to, which works", async () => {
  makeOld();
  await (await open())[Symbol.asyncDispose]();
  {
    using database = new Database(path);
    migrate(database, path, { migrations: FUTURE, ...copiesBesideIt(path) });
  }
  const copy = `${path}.version-${MIGRATIONS.length}`;
  expect(await open().catch((error) => error)).toMatchObject({
    code: "usage",
    message: expect.stringContaining("written by a newer pg321"),
    hint: expect.stringContaining(`copy ${copy} to ${path}`),
  });
  await mkdir(join(directory, "away"));
  for (const name of await readdir(directory))
    if (/^catalog\.db(-wal|-shm)?$/.test(name))
      await rename(join(directory, name), join(directory, "away", name));
  await copyFile(copy, path);
  await using catalog = await open();
  expect(await catalog.installation()).toBe("kept");
});

test.skipIf(process.getuid?.() !== 0)(
  "without room for the copy the catalog is not changed (mounting needs root)",
  async () => {
    const small = join(directory, "small");
    await mkdir(small);
    await using _mount = await mountTmpfs(small, 4);
    path = join(small, "catalog.db");
    makeOld(1_500_000);
    await writeFile(join(small, "ballast"), Buffer.alloc(1_000_000));
    expect(await open().catch((error) => error)).toMatchObject({
      code: "storage",
      message: expect.stringMatching(/copy it to .*version-\d+ before its upgrade: the disk is full/),
    });
    expect(versionOf(path)).toBe(OLD);
    expect((await readdir(small)).filter((name) => name.includes("version"))).toEqual([]);
  },
);
