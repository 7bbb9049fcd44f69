import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareTempDir } from "./temp-dir.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "pg321-temp-dir-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

test("removes what dead processes left, and nothing else", async () => {
  const path = join(root, "swept");
  const ended = Bun.spawnSync(["true"]).pid;
  const old = `pg321-spool-${process.pid}-aaaaaa`;
  const kept = [
    `pg321-spool-${process.pid}-bbbbbb`,
    `pg321-spool-${process.ppid}-cccccc`,
    `pg321-spool-${ended}`,
  ];
  const gone = [`pg321-spool-${ended}-dddddd`, `pg321-libpq-${ended}-eeeeee`, old];
  for (const name of [...kept, ...gone]) {
    mkdirSync(join(path, name), { recursive: true });
    writeFileSync(join(path, name, "spool"), "secret");
  }
  // Made by an earlier process that had our pid.
  utimesSync(join(path, old), new Date(0), new Date(0));
  writeFileSync(join(path, `pg321-spool-${ended}-ffffff`), "a file, not a directory");
  await prepareTempDir(path);
  expect(readdirSync(path).sort()).toEqual([...kept, `pg321-spool-${ended}-ffffff`].sort());
});

test("is private when it is made, and left as it is when it was there", async () => {
  const [made, shared] = [join(root, "made/deep"), join(root, "shared")];
  await prepareTempDir(made);
  expect(statSync(made).mode & 0o777).toBe(0o700);
  mkdirSync(shared);
  Bun.spawnSync(["chmod", "1777", shared]);
  await prepareTempDir(shared);
  expect(statSync(shared).mode & 0o7777).toBe(0o1777);
});

test("a file in its place is told with what to do", async () => {
  const path = join(root, "file");
  writeFileSync(path, "");
  await expect(prepareTempDir(join(path, "below"))).rejects.toMatchObject({
    code: "storage",
    hint: expect.any(String),
  });
});
