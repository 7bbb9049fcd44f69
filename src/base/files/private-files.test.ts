import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { HOUR_MS } from "../limits.ts";
import { processIdentity } from "../process/identity.ts";
import { isInUse, makePrivateDirectory, makerOfDirectory, makerOfTag, processTag } from "./private-files.ts";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "pg321-private-"));
});
afterAll(() => rm(root, { recursive: true }));

const hoursAgo = (hours: number) => Date.now() - hours * HOUR_MS;

test("a private directory has its maker in its name, is closed to others, and is removed with its contents", async () => {
  for (const kind of ["spool", "libpq"] as const) {
    const directory = await makePrivateDirectory(root, kind);
    expect(makerOfDirectory(basename(directory.path))).toEqual(processIdentity());
    expect((await stat(directory.path)).mode & 0o777).toBe(0o700);
    await Bun.write(join(directory.path, "file"), "secret");
    await directory[Symbol.asyncDispose]();
  }
  expect(await readdir(root)).toEqual([]);
});

test("a directory of a living process is in use however old it is; one of a dead process is not, however young", async () => {
  const own = makerOfTag(processTag());
  if (!own) throw new Error("no tag");
  expect(isInUse(own, 0)).toBe(true);
  expect(isInUse({ ...own, pid_start: 1 }, Date.now())).toBe(false);
});

test("a directory of an unseen process is in use while it is touched", () => {
  const own = processTag().split("-");
  const elsewhere = makerOfTag(own.with(2, "4026539999").join("-"));
  const rebooted = makerOfTag(own.with(0, "00000000").with(1, "11111111").join("-"));
  const unknown = makerOfTag("x-x-x-1-x");
  for (const maker of [elsewhere, rebooted]) {
    if (!maker) throw new Error("no tag");
    expect([0.9, 1.1].map((hours) => isInUse(maker, hoursAgo(hours)))).toEqual([true, false]);
  }
  expect(unknown).toEqual({ pid: 1, pid_start: null, host_id: null, boot_id: null, pid_namespace: null });
});

test("a directory of 0.1.0, named by pid only, is in use while that pid lives or for a day", async () => {
  const child = Bun.spawn(["sleep", "60"]);
  const living = makerOfDirectory(`pg321-spool-${child.pid}-aB3dE6`);
  const ours = makerOfDirectory(`pg321-libpq-${process.pid}-aB3dE6`);
  if (!living || !ours) throw new Error("no maker");
  expect(isInUse(living, 0)).toBe(true);
  child.kill("SIGKILL");
  await child.exited;
  for (const maker of [living, ours])
    expect([23, 25].map((hours) => isInUse(maker, hoursAgo(hours)))).toEqual([true, false]);
});

test("no other name counts as pg321's", () => {
  const others = ["pg321-spool-12", "pg321-spool-aaaaaa", "pg321-other-12-aaaaaa", "x-pg321-spool-12-aaaaaa"];
  for (const name of [...others, `pg321-spool-${processTag()}`, "pg321-spool-1-2-3-4-5-aaaaaa"])
    expect(makerOfDirectory(name)).toBeUndefined();
  for (const tag of ["12", "", "x-x-x-x-x", `${processTag()}-1`]) expect(makerOfTag(tag)).toBeUndefined();
});
