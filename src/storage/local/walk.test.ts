import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { compareKeys } from "../key.ts";
import { namesIn } from "./names.ts";
import { type Walk, walk } from "./walk.ts";

const KEYS = [
  ...Array.from({ length: 700 }, (_, n) => `main/app/backup_${(n * 37) % 700}.zst`),
  ...Array.from({ length: 90 }, (_, n) => `main/app/folder-${n % 9}/file-${n}`),
  ...[
    "main/app/backup_3",
    "main/app/backup_3-a",
    "main/app/backup_33/deeper",
    "main/app.json",
    "main/zz",
    "a",
  ],
  ...[
    "main/app/ünï 日本-😀",
    "main/app/\ufffd",
    "main/app/.pg321-0123456789abcdef.tmp",
    "main/app/line\nfeed",
  ],
];
const SORTED = KEYS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "pg321-walk-"));
  for (const key of KEYS) {
    await mkdir(join(root, dirname(key)), { recursive: true });
    await writeFile(join(root, key), "x");
  }
  await mkdir(join(root, "main/app/empty"));
  await symlink("/etc", join(root, "main/app/link-to-directory"));
  await symlink("/etc/hostname", join(root, "main/app/link-to-file"));
});
afterAll(() => rm(root, { recursive: true }));

function place(namesMax: number): Walk {
  return { root, namesMax, run: (operation) => operation() };
}

async function keysOf(walk: AsyncIterable<{ key: string }>): Promise<string[]> {
  return (await Array.fromAsync(walk)).map(({ key }) => key);
}

test.each([20_000, 1_000, 100, 7])(
  "every file comes once, in key order, with %p names in memory",
  async (namesMax) => {
    expect(await keysOf(walk(place(namesMax), "", { prefix: "", after: "" }))).toEqual(SORTED);
  },
);

test.each([20_000, 40])(
  "a walk begins after any key, and under any prefix (%p names in memory)",
  async (namesMax) => {
    const at = place(namesMax);
    for (const after of [
      "main/app",
      "main/app/",
      "main/app/backup_3",
      "main/app/backup_33/",
      "main/app/folder-4/zzz",
      "zz",
    ])
      for (const prefix of ["", "main/app/backup_3", "main/app/folder-", "main/app/folder-8/", "none"]) {
        const expected = SORTED.filter((key) => key.startsWith(prefix) && compareKeys(key, after) > 0);
        expect(await keysOf(walk(at, "", { prefix, after }))).toEqual(expected);
      }
  },
);

test("names are read by find, which reads a directory that is a link and no other one", async () => {
  const names: string[] = [];
  await symlink(join(root, "main/app"), join(root, "link"));
  const run: Walk["run"] = (operation) => operation();
  expect(await namesIn(join(root, "link"), run, (name) => names.push(name))).toBe(true);
  const expected = SORTED.filter((key) => key.startsWith("main/app/")).map((key) => {
    const [name, below] = key.slice("main/app/".length).split("/");
    return below === undefined ? name : `${name}/`;
  });
  expect(names.toSorted()).toEqual([...new Set([...expected, "empty/"])].toSorted() as string[]);
  expect(await namesIn(join(root, "absent"), run, () => {})).toBe(false);
  await rm(join(root, "link"));
});

test("a directory that disappears holds nothing", async () => {
  for (const namesMax of [20_000, 1])
    expect(await keysOf(walk(place(namesMax), "gone/", { prefix: "", after: "" }))).toEqual([]);
});
