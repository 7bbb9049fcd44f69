import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { CATALOGS, openCatalog } from "../src/catalog/open.ts";
import { type CatalogFixture, catalogConformance } from "./suites/catalog/conformance.ts";
import { overviewConformance } from "./suites/catalog/overview.ts";

/** One fixture for each registered type: a type without one does not compile. */
const FIXTURES: { readonly [T in keyof typeof CATALOGS]: () => Promise<CatalogFixture> } = {
  sqlite: async () => {
    const directory = await mkdtemp(join(tmpdir(), "pg321-catalog-"));
    const config = { type: "sqlite", path: join(directory, "state", "catalog.db") } as const;
    return {
      open: () => openCatalog(config, { clock: systemClock }),
      [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
    };
  },
};

for (const [type, fixture] of Object.entries(FIXTURES)) {
  catalogConformance(type, fixture);
  overviewConformance(type, fixture);
}

test("every driver file is registered and thus covered by the conformance suite", async () => {
  const directory = join(import.meta.dir, "../src/catalog");
  const drivers: string[] = [];
  for (const file of await readdir(directory, { recursive: true })) {
    if (!file.endsWith(".ts")) continue;
    if (/\bimplements Catalog\b/.test(await Bun.file(join(directory, file)).text())) drivers.push(file);
  }
  expect(drivers.map((file) => basename(file, ".ts")).sort()).toEqual(Object.keys(CATALOGS).sort());
  expect(Object.keys(FIXTURES).sort()).toEqual(Object.keys(CATALOGS).sort());
});
