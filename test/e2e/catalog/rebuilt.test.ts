import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { Secret } from "../../../src/base/secret.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import type { CatalogConfig } from "../../../src/config/config.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { runRecord } from "../../suites/catalog/records.ts";

/** A lost catalog, rebuilt from the storages in either kind; and one that is among the databases that it records. */

const postgres = usePostgres();
let installation: Installation;
let source: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres.connect(source)`create table t as select n from generate_series(1, 1000) as n`;
  const [s3] = await Promise.all([rgw()]);
  const bucket = await s3.makeBucket();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory), s3Storage("bucket", s3, bucket)],
    globals: true,
  });
  await installation.ok("backup");
  await installation.ok("backup");
}, 60_000);
afterAll(() => installation?.[Symbol.asyncDispose]());

/** Everything that the storages say about the backups, without what only this catalog can know. */
async function rebuilt(config: CatalogConfig) {
  await using catalog = await openCatalog(config, { clock: systemClock });
  const backups = await catalog.backups({});
  const copies = await Promise.all(backups.map(({ id }) => catalog.copies(id)));
  const identities = await catalog.identities.all();
  return {
    installation: await catalog.installation(),
    backups: backups.map(({ run_id: _, ...backup }) => backup),
    copies: copies.flat().map(({ locked_checked_at: _, ...copy }) => copy),
    totals: await catalog.overview.copyTotals(systemClock.now()),
    identities: identities.map(({ marked_at: _, ...identity }) => identity),
  };
}

test("an empty catalog in PostgreSQL is rebuilt from the storages as a file is", async () => {
  const file = { type: "sqlite", path: join(installation.directory, "state", "rebuilt.db") } as const;
  await installation.configure({ more: `[catalog]\npath = '${file.path}'` });
  const first = await installation.ok("cleanup", "--adopt", "--json");
  const url = postgres.url(await postgres.createDatabase());
  await installation.configure({ more: `[catalog]\nurl = '${url}'` });
  const second = await installation.ok("cleanup", "--adopt", "--json");
  expect(second.json.adopted).toBe(8);
  expect(second.json.adopted).toBe(first.json.adopted);
  const [inFile, inPostgres] = [
    await rebuilt(file),
    await rebuilt({ type: "postgres", url: new Secret(url) }),
  ];
  expect(inPostgres.backups).toHaveLength(4);
  expect(inPostgres.copies).toHaveLength(8);
  expect(inPostgres).toEqual(inFile);
  await installation.ok("verify", "--all");
  await installation.ok(
    "restore",
    "latest",
    "-d",
    source,
    "--create",
    "--target",
    postgres.url(postgres.newName()),
  );
});

test("a backup of the catalog's own database, written to meanwhile, passes its restore test row by row", async () => {
  const own = await postgres.createDatabase();
  const url = postgres.url(own);
  await installation.configure({ databases: [own], more: `[catalog]\nurl = '${url}'` });
  await installation.ok("cleanup", "--adopt");
  await using catalog = await openCatalog({ type: "postgres", url: new Secret(url) }, { clock: systemClock });
  let isRunning = true;
  const backup = installation.ok("backup", own, "--json").finally(() => {
    isRunning = false;
  });
  let written = 0;
  for (; isRunning; written++) await catalog.insertRun(runRecord({ outcome: "OK" }));
  expect((await backup).json.backups).toMatchObject([{ database: own, status: "VERIFIED" }]);
  const [record] = await catalog.backups({ database: own });
  const tables = (record?.facts?.["tables"] ?? []) as { schema: string; name: string; rows: number }[];
  const counted = tables.find(({ schema, name }) => schema === "pg321" && name === "runs")?.rows ?? 0;
  expect(counted).toBeGreaterThan(0);
  expect(counted).toBeLessThan(written);
  await installation.configure({
    more: `[catalog]\nurl = '${url}'\n[restore_test]\nserver = '${postgres.url("postgres")}'\nmax_bytes = "1GiB"`,
  });
  const { json } = await installation.ok("restore-test", own, "--json");
  expect(json.tests).toMatchObject([{ outcome: "PASSED" }]);
  expect(json.tests[0].checks.every(({ is_ok }: { is_ok: boolean }) => is_ok)).toBe(true);
});
