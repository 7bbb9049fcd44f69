import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { RANKS } from "../scripts/check.ts";

const ROOT = join(import.meta.dir, "..");
const PAGE = await Bun.file(join(ROOT, "docs/architecture.md")).text();

function section(title: string): string {
  return PAGE.split(`## ${title}`)[1]?.split("\n## ")[0] ?? "";
}

test("the modules of docs/architecture.md are those of the check, in the order of their ranks", () => {
  const lines = section("Modules")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      [...(line.split("|")[1] ?? "").matchAll(/`([^`]+?)(?:\.ts|\/)?`/g)].map(([, name = ""]) => name),
    );
  const byRank = Map.groupBy(Object.keys(RANKS), (name) => RANKS[name] ?? -1);
  const expected = [...byRank].sort(([a], [b]) => b - a).map(([, names]) => names.toSorted());
  expect(lines.map((names) => names.toSorted())).toEqual(expected);
});

test("each file in docs/architecture.md exists, and exports the functions that the page names", async () => {
  const paths = [...PAGE.matchAll(/`((?:[\w-]+\/)+[\w.-]*|[\w-]+\.toml)`/g)].map(([, path = ""]) => path);
  expect(paths.length).toBeGreaterThan(40);
  const absent = paths.filter(
    (path) => !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, "src", path)),
  );
  expect(absent).toEqual([]);
  const named = [...section("Five walkthroughs").matchAll(/`([\w/-]+\.tsx?)`\s+`(\w+)`/g)];
  expect(named.length).toBeGreaterThan(15);
  for (const [, path = "", name = ""] of named) {
    const text = await Bun.file(join(ROOT, "src", path)).text();
    expect(text, `${path} exports ${name}`).toMatch(new RegExp(`^export .*\\b${name}\\b`, "m"));
  }
});

test("every decision is in the index of docs/adr", async () => {
  const folder = join(ROOT, "docs/adr");
  const index = await Bun.file(join(folder, "README.md")).text();
  const pages = (await readdir(folder)).filter((name) => name !== "README.md").sort();
  const lines: string[] = [];
  for (const page of pages) {
    const [title = ""] = (await Bun.file(join(folder, page)).text()).split("\n");
    lines.push(`- [${title.replace("# ", "")}](${page})`);
  }
  expect([...(index.match(/^- .*$/gm) ?? [])]).toEqual(lines);
});
