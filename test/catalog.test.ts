import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { Secret } from "../src/base/secret.ts";
import { CATALOGS, openCatalog } from "../src/catalog/open.ts";
import { connectTo, disposable } from "./lab/servers/postgres.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";
import { type CatalogFixture, catalogConformance } from "./suites/catalog/conformance.ts";
import { overviewConformance } from "./suites/catalog/overview.ts";

const postgres = usePostgres();
let database: string | undefined;

/** One fixture for each registered type: a type without one does not compile. */
const FIXTURES: { readonly [T in keyof typeof CATALOGS]: () => Promise<CatalogFixture> } = {
  sqlite: async () => {
    const directory = await mkdtemp(join(tmpdir(), "pg321-catalog-"));
    const config = { type: "sqlite", path: join(directory, "state", "catalog.db") } as const;
    return {
      open: () => openCatalog(config, { clock: systemClock }),
      async change(sql) {
        using file = new Database(config.path);
        return file.query(sql).all();
      },
      [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
    };
  },
  // The fixtures are used one after the other: a new schema is made faster than a new database.
  postgres: async () => {
    database ??= await postgres.createDatabase();
    const url = new Secret(postgres.url(database));
    await using admin = disposable(connectTo(postgres.address, database));
    await admin.sql`drop schema if exists pg321 cascade`;
    return {
      open: () => openCatalog({ type: "postgres", url }, { clock: systemClock }),
      async change(sql) {
        await using changing = disposable(connectTo(postgres.address, String(database)));
        return [...(await changing.sql.unsafe(`SET search_path = pg321; ${sql}`)).flat().values()];
      },
      [Symbol.asyncDispose]: async () => {},
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
