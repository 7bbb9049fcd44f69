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
const FIXTURES: { readonly [T in keyof typeof CATALOGS]: (owns: boolean) => Promise<CatalogFixture> } = {
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
  // The fixtures are used one after the other: a new schema is made faster than a new database. Their roles have only the
  // rights that docs/limits.md names: `owns` the schema, or those that its owner grants.
  postgres: async (owns) => {
    database ??= await postgres.createDatabase();
    const role = `least_${crypto.randomUUID().slice(0, 8)}`;
    const url = new Secret(postgres.url(database).replace(/\/\/[^@]*@/, `//${role}:secret@`));
    await using admin = disposable(connectTo(postgres.address, database));
    await admin.sql.unsafe(`
      revoke all on database ${database} from public; revoke all on schema public from public;
      drop schema if exists pg321 cascade;
      create role ${role} login password 'secret'; grant connect on database ${database} to ${role};
      ${owns ? `create schema pg321 authorization ${role}` : ""}`);
    if (!owns) {
      const asOwner = new Secret(postgres.url(database));
      await (await openCatalog({ type: "postgres", url: asOwner }, { clock: systemClock }))[
        Symbol.asyncDispose
      ]();
      await admin.sql.unsafe(`
        grant usage on schema pg321 to ${role};
        grant select, insert, update, delete on all tables in schema pg321 to ${role};
        grant usage on all sequences in schema pg321 to ${role}`);
    }
    return {
      open: () => openCatalog({ type: "postgres", url }, { clock: systemClock }),
      async change(sql) {
        await using changing = disposable(connectTo(postgres.address, String(database)));
        return [...(await changing.sql.unsafe(`SET search_path = pg321; ${sql}`)).flat().values()];
      },
      async [Symbol.asyncDispose]() {
        await using dropping = disposable(connectTo(postgres.address, String(database)));
        await dropping.sql.unsafe(`drop owned by ${role} cascade; drop role ${role}`);
      },
    };
  },
};

for (const [type, fixture] of Object.entries(FIXTURES)) {
  catalogConformance(type, () => fixture(false));
  overviewConformance(type, () => fixture(true));
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
