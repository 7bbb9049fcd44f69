import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeNewFile } from "./export-dump.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-export-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function* dump() {
  yield new TextEncoder().encode("PGDMP");
}

test("what killed ones have left of the same file goes, and nothing else", async () => {
  const child = Bun.spawn(["true"]);
  await child.exited;
  const path = join(directory, "app.dump");
  const left = [`app.dump.${child.pid}.part`, `app.dump.${process.pid}.part`];
  const others = [
    `app.dump.${process.ppid}.part`,
    `other.dump.${child.pid}.part`,
    `app.dump.${child.pid}.part.bak`,
    "app.dump.x.part",
  ];
  for (const name of [...left, ...others]) await writeFile(join(directory, name), "plain");
  // By an earlier process that had our pid, as every one in a container has.
  await utimes(join(directory, left[1] as string), new Date(0), new Date(0));
  const child2 = Bun.spawn(["true"]);
  await child2.exited;
  const aDirectory = `app.dump.${child2.pid}.part`;
  await mkdir(join(directory, aDirectory));
  expect(await writeNewFile(path, dump())).toBe(5);
  expect((await readdir(directory)).toSorted()).toEqual([...others, aDirectory, "app.dump"].toSorted());
});
