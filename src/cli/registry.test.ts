import { expect, test } from "bun:test";
import { join } from "node:path";
import { Glob, Transpiler } from "bun";
import { COMMANDS } from "./registry.ts";

const FOLDER = join(import.meta.dir, "commands");

test("every command is the file of its name, and every file in the folder is a command", async () => {
  const files = await Array.fromAsync(new Glob("*.ts").scan({ cwd: FOLDER }));
  expect(COMMANDS.map(({ name }) => `${name}.ts`).sort()).toEqual(files.sort());
  for (const { name, load } of COMMANDS)
    expect((await load()).command).toBe((await import(join(FOLDER, `${name}.ts`))).command);
});

test("no command is loaded before it is called", async () => {
  const loaded = await modulesFrom(join(import.meta.dir, "../main.ts"));
  expect(loaded).toContain(join(import.meta.dir, "registry.ts"));
  expect([...loaded].filter((path) => path.startsWith(FOLDER))).toEqual([]);
  expect([...loaded].filter((path) => path.includes("/src/storage/"))).toEqual([]);
});

/** The files that a file loads at start: no imports of types, and no dynamic imports. */
async function modulesFrom(path: string, found = new Set<string>()): Promise<Set<string>> {
  if (found.has(path)) return found;
  found.add(path);
  if (!path.endsWith(".ts")) return found;
  const imports = new Transpiler({ loader: "ts" }).scanImports(await Bun.file(path).text());
  for (const { kind, path: target } of imports)
    if (kind === "import-statement" && target.startsWith("."))
      await modulesFrom(join(path, "..", target), found);
  return found;
}
