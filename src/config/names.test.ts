import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfigNames } from "./names.ts";

test("databases that only the config names: of a server, of [[database]] tables with a server and without", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-names-"));
  const file = join(directory, "config.toml");
  const tables = [
    '[[server]]\nname = "main"\ndatabases = ["app", "shop_*"]',
    '[[server]]\nname = "two"',
    '[[database]]\nserver = "two"\nname = "stock"',
    '[[database]]\nname = "everywhere"',
    '[[database]]\nname = "log_*"',
  ];
  await writeFile(file, ['[catalog]\nurl = "postgres://catalog/pg321"', ...tables].join("\n"));
  const { catalog, databases } = await readConfigNames(file, {});
  expect(catalog).toBeUndefined();
  expect(databases.map(({ server, database }) => `${server}/${database}`)).toEqual([
    ...["main/app", "main/everywhere", "two/stock", "two/everywhere"],
  ]);
  await rm(directory, { recursive: true });
});
