import { expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
/** The lines of the report, and the tests that prove the same here. */
const PAGE = join(import.meta.dir, "cleanup.md");
const NAMED = /`((?:test|src)\/[^`]+\.test\.ts)`: `([^`]+)`/g;

test("every test that the page names exists", async () => {
  const text = await Bun.file(PAGE).text();
  const named = [...text.matchAll(NAMED)].map(([, file = "", name = ""]) => ({ file, name }));
  expect(named.length).toBeGreaterThan(30);
  const absent: string[] = [];
  for (const { file, name } of named) {
    const source = Bun.file(join(ROOT, file));
    const isThere = (await source.exists()) && (await source.text()).includes(JSON.stringify(name));
    if (!isThere) absent.push(`${file}: ${name}`);
  }
  expect(absent).toEqual([]);
});

test("the 17 tests of the report are named on it, each once as itself", async () => {
  const text = await Bun.file(PAGE).text();
  const [, table = ""] = text.split("## Its 17 tests");
  const rows = table.split("## ")[0]?.match(/^\| (?:unit|integration|end to end) \d \|.*$/gm) ?? [];
  const names = rows.flatMap((row) => row.match(/`(test_\w+)`/)?.[1] ?? []);
  expect(names).toHaveLength(17);
  expect(new Set(names).size).toBe(17);
});
