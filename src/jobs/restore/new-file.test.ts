import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processTag } from "../../base/files/private-files.ts";
import { writeNewFile } from "./new-file.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-export-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function* dump() {
  yield new TextEncoder().encode("PGDMP");
}

test("partial files of killed processes for the same name are removed, and nothing else", async () => {
  const own = processTag().split("-");
  const dead = own.with(-1, "1").join("-");
  const inOtherContainer = own.with(2, "4026539999");
  const abandoned = inOtherContainer.with(3, "77").join("-");
  const ended = Bun.spawnSync(["true"]).pid;
  const left = [`app.dump.pg321-${dead}.part`, `app.dump.pg321-${abandoned}.part`];
  const others = [
    `app.dump.pg321-${inOtherContainer.join("-")}.part`,
    `other.dump.pg321-${dead}.part`,
    `app.dump.pg321-${dead}.part.bak`,
    // Names that other programs use.
    `app.dump.${ended}.part`,
    "app.dump.part",
    "app.dump.pg321-x.part",
  ];
  for (const name of [...left, ...others]) await writeFile(join(directory, name), "plain");
  await utimes(join(directory, left[1] as string), new Date(0), new Date(0));
  const aDirectory = `app.dump.pg321-${own.with(-1, "2").join("-")}.part`;
  await mkdir(join(directory, aDirectory));
  expect(await writeNewFile(join(directory, "app.dump"), dump())).toBe(5);
  expect((await readdir(directory)).toSorted()).toEqual([...others, aDirectory, "app.dump"].toSorted());
});
