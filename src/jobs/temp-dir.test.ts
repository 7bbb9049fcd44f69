import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountTmpfs } from "../../test/lab/machine/mounts.ts";
import { processTag } from "../base/files/private-files.ts";
import { createLog, silentLog } from "../base/log.ts";
import { removeTemporaryFiles } from "./cleanup/temporary-files.ts";
import { isOwnTempDir, MARK, prepareTempDir } from "./temp-dir.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "pg321-temp-dir-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const own = processTag().split("-");
const dead = own.with(-1, "1").join("-");
const inOtherContainer = own.with(2, "4026539999").join("-");
const HOUR_S = 3_600;
const isRoot = process.geteuid?.() === 0;

function makeDirectory(path: string, mode = 0o700, ageHours = 0): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
  writeFileSync(join(path, "spool"), "secret");
  const at = Date.now() / 1000 - ageHours * HOUR_S;
  utimesSync(path, at, at);
}

test("removes directories of dead processes, and nothing else", async () => {
  const path = join(root, "swept");
  const kept = [
    `pg321-spool-${own.join("-")}-bbbbbb`,
    // Of another container: nobody can see whether its process lives, but it is touched.
    `pg321-spool-${inOtherContainer}-cccccc`,
    `pg321-spool-${dead}`,
    `pg321-libpq-${process.ppid}-aaaaaa`,
  ];
  const gone = [`pg321-spool-${dead}-dddddd`, `pg321-libpq-${dead}-eeeeee`];
  for (const name of [...kept, ...gone]) makeDirectory(join(path, name));
  makeDirectory(join(path, `pg321-libpq-${inOtherContainer}-gggggg`), 0o700, 2);
  // The name alone does not make it ours: these are open to others, which ours never are, or no directories.
  makeDirectory(join(path, `pg321-spool-${dead}-hhhhhh`), 0o755);
  writeFileSync(join(path, `pg321-spool-${dead}-ffffff`), "a file, not a directory");
  symlinkSync(root, join(path, `pg321-spool-${dead}-iiiiii`));
  await prepareTempDir(path, silentLog);
  const others = ["ffffff", "hhhhhh", "iiiiii"].map((end) => `pg321-spool-${dead}-${end}`);
  expect(readdirSync(path).sort()).toEqual([...kept, ...others].sort());
});

test.skipIf(!isRoot)("says which directory of a dead process it could not remove (root only)", async () => {
  const path = join(root, "stuck");
  const name = `pg321-spool-${dead}-dddddd`;
  makeDirectory(join(path, name));
  const lines: string[] = [];
  const log = createLog({ format: "text", level: "warning", write: (line) => void lines.push(line) });
  {
    await using _ = await mountTmpfs(join(path, name), 1);
    chmodSync(join(path, name), 0o700);
    await prepareTempDir(path, log);
  }
  expect(lines.join("")).toContain("what a killed process left could not be removed");
  expect(lines.join("")).toContain(name);
  expect(readdirSync(path)).toContain(name);
});

test.skipIf(!isRoot)("leaves another user's directory alone, whatever its name (root only)", async () => {
  const path = join(root, "of-others");
  const name = `pg321-spool-${dead}-aaaaaa`;
  makeDirectory(join(path, name));
  chownSync(join(path, name), 65534, 65534);
  await prepareTempDir(path, silentLog);
  expect(readdirSync(path)).toEqual([name]);
});

test("is private and marked if pg321 creates it, and unchanged if it existed", async () => {
  const [made, shared] = [join(root, "made/deep"), join(root, "shared")];
  await prepareTempDir(made, silentLog);
  expect(statSync(made).mode & 0o777).toBe(0o700);
  expect(await isOwnTempDir(made)).toBe(true);
  expect(statSync(join(made, MARK)).mode & 0o777).toBe(0o600);
  mkdirSync(shared);
  chmodSync(shared, 0o1777);
  await prepareTempDir(shared, silentLog);
  expect(statSync(shared).mode & 0o7777).toBe(0o1777);
  expect(readdirSync(shared)).toEqual([]);
});

test("is marked later if it is private and holds nothing of others, as one made by 0.1.0", async () => {
  const [old, somebodys] = [join(root, "old"), join(root, "somebodys")];
  for (const path of [old, somebodys]) mkdirSync(path, { mode: 0o700 });
  makeDirectory(join(old, `pg321-libpq-${process.ppid}-aaaaaa`));
  writeFileSync(join(somebodys, "notes.txt"), "mine");
  for (const path of [old, somebodys]) await prepareTempDir(path, silentLog);
  expect([await isOwnTempDir(old), await isOwnTempDir(somebodys)]).toEqual([true, false]);
});

test("old temporary files are removed only from a directory that is marked, private and ours", async () => {
  const NAMES = ["a.tmp", "b.temp", "test_restore_x"];
  const sweep = async (path: string) => {
    for (const name of [...NAMES, "young.tmp", "notes.txt"]) {
      writeFileSync(join(path, name), "somebody's");
      if (name !== "young.tmp") utimesSync(join(path, name), 1, 1);
    }
    makeDirectory(join(path, `pg321-spool-${dead}-aaaaaa`));
    const before = new Date(Date.now() - 24 * HOUR_S * 1000);
    const count = await removeTemporaryFiles(path, before, (file, error) => {
      throw new Error(`${file}: ${error}`);
    });
    return {
      count,
      left: readdirSync(path)
        .filter((name) => name !== MARK)
        .toSorted(),
    };
  };
  const all = [...NAMES, "notes.txt", "young.tmp"].toSorted();
  const make = async (name: string) => {
    const path = join(root, name);
    await prepareTempDir(path, silentLog);
    return path;
  };
  expect(await sweep(await make("marked"))).toEqual({ count: 4, left: ["notes.txt", "young.tmp"] });
  const opened = await make("opened");
  chmodSync(opened, 0o755);
  const unmarked = await make("unmarked");
  rmSync(join(unmarked, MARK));
  const linked = await make("linked");
  rmSync(join(linked, MARK));
  symlinkSync("/etc/hostname", join(linked, MARK));
  // Private directories of our dead processes are removed anyway.
  for (const path of [opened, unmarked, linked]) expect(await sweep(path)).toEqual({ count: 1, left: all });
  if (!isRoot) return;
  const given = await make("given");
  chownSync(given, 65534, 65534);
  expect(await sweep(given)).toEqual({ count: 1, left: all });
});

test("a file in its place is an error with a hint", async () => {
  const path = join(root, "file");
  writeFileSync(path, "");
  await expect(prepareTempDir(join(path, "below"), silentLog)).rejects.toMatchObject({
    code: "storage",
    hint: expect.any(String),
  });
});
