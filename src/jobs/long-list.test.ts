import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../base/log.ts";
import { LongList } from "./long-list.ts";

const ITEMS = 25_300;

async function filled(temp_dir: string) {
  const warnings: string[] = [];
  const log = { ...silentLog, warning: (message: string) => void warnings.push(message) };
  const list = new LongList<{ n: number }>({ config: { temp_dir }, log });
  for (let n = 0; n < ITEMS; n += 100)
    await list.push(...Array.from({ length: 100 }, (_, index) => ({ n: n + index })));
  return { list, warnings };
}

/** Reads it twice, because a list may be. */
async function contents(list: LongList<{ n: number }>): Promise<number[]> {
  for await (const _ of list.pages());
  const all: number[] = [];
  for await (const page of list.pages()) {
    expect(page.length).toBeLessThanOrEqual(500);
    all.push(...page.map(({ n }) => n));
  }
  return all;
}

test("a long list keeps its order, and little of it in memory and no file of a name", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-list-"));
  try {
    const { list, warnings } = await filled(directory);
    await using _ = list;
    expect(list).toHaveLength(ITEMS);
    expect(list.inMemory).toBeLessThanOrEqual(1_500);
    expect(await contents(list)).toEqual(Array.from({ length: ITEMS }, (_, n) => n));
    expect([await readdir(directory), warnings]).toEqual([[], []]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a long list stays in memory, complete, if it cannot be written", async () => {
  const { list, warnings } = await filled(join(tmpdir(), crypto.randomUUID()));
  await using _ = list;
  expect(await contents(list)).toEqual(Array.from({ length: ITEMS }, (_, n) => n));
  expect(warnings).toEqual(["a long list stays in memory: it could not be written to temp_dir"]);
});

test("a short list needs no file, and is read item by item", async () => {
  await using list = new LongList<string>({ config: { temp_dir: "/nowhere" }, log: silentLog });
  await list.push("a", "b");
  expect(await Array.fromAsync(list)).toEqual(["a", "b"]);
});
