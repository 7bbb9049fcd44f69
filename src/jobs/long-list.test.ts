import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "bun";
import { silentLog } from "../base/log.ts";
import { LongList } from "./long-list.ts";
import { MARK, prepareTempDir } from "./temp-dir.ts";

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

test.skipIf(process.geteuid?.() !== 0)(
  "a long list works, and leaves nothing that is not removed later, if temp_dir lets nothing be removed now",
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "pg321-list-"));
    try {
      await $`chattr +a ${directory}`;
      {
        const { list, warnings } = await filled(directory);
        await using _ = list;
        expect(list.inMemory).toBeLessThanOrEqual(1_500);
        expect(await contents(list)).toEqual(Array.from({ length: ITEMS }, (_, n) => n));
        expect(warnings).toEqual([]);
      }
      expect(await readdir(directory)).toHaveLength(1);
      await $`chattr -a ${directory}`;
      // This is no directory of pg321's own: files in it may be anybody's.
      await prepareTempDir(directory, silentLog);
      expect((await readdir(directory)).filter((name) => name !== MARK)).toEqual([]);
    } finally {
      await $`chattr -a ${directory}`;
      await rm(directory, { recursive: true });
    }
  },
);

test("a short list needs no file, and is read item by item", async () => {
  await using list = new LongList<string>({ config: { temp_dir: "/nowhere" }, log: silentLog });
  await list.push("a", "b");
  expect(await Array.fromAsync(list)).toEqual(["a", "b"]);
});
