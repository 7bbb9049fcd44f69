import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copy, errorOf, useCatalogs } from "../../../test/lab/data/catalogs.ts";
import { backupRecord, copyRecord, ELSEWHERE } from "../../../test/suites/catalog/records.ts";
import { systemClock as clock } from "../../base/clock.ts";
import type { CatalogConfig } from "../../config/config.ts";
import { openCatalog } from "../open.ts";
import { contentOf, pagesOf, rowText } from "./content.ts";
import { sharedTables } from "./place.ts";
import { readPlace } from "./places.ts";

const { file, inPostgres, filled } = useCatalogs();

test("every column of every table counts in the comparison", async () => {
  await using place = await readPlace(await filled(), clock);
  if (!place) throw new Error();
  for (const table of await sharedTables(place, { kind: "postgres" })) {
    const [row = {}] = await place.page(table, undefined, 1);
    for (const column of table.columns)
      expect(rowText(table, { ...row, [column]: "other" })).not.toBe(rowText(table, row));
  }
});

test("a page may end between rows whose keys begin alike, and rows that a page leaves out are noticed", async () => {
  const source = file("source.db");
  {
    await using catalog = await openCatalog(source, { clock });
    for (let index = 0; index < 40; index++) {
      const backup = backupRecord();
      await catalog.insertBackup(backup);
      for (const storage of ["a", "b", "c"]) await catalog.putCopy(copyRecord(backup, { storage }));
    }
  }
  const server = await inPostgres();
  await copy(source, server);
  for (const config of [source, server]) {
    await using place = await readPlace(config, clock);
    const copies = (await place?.tables())?.find(({ name }) => name === "copies");
    if (!place || !copies) throw new Error();
    const pages = await Array.fromAsync(pagesOf(place, copies));
    expect(pages[0]).toHaveLength(50);
    expect(new Set(pages.flat().map((row) => `${row["backup_id"]} ${row["storage"]}`)).size).toBe(120);
    const lacking = {
      ...place,
      page: async (...given: Parameters<typeof place.page>) => (await place.page(...given)).slice(1),
    };
    expect(await errorOf(contentOf(lacking, copies, () => {}))).toMatchObject({ code: "verification" });
  }
});

test("a copy that somebody has changed meanwhile differs, and does not become a catalog", async () => {
  const to = file("changed.db");
  const onProgress = (work: string, done: number, total: number) => {
    if (work !== "copy" || done < total) return;
    using database = new Database(to.path);
    database.run("UPDATE hosts SET version = 'other'");
  };
  const error = await errorOf(copy(await filled(), to, { onProgress }));
  expect(error).toMatchObject({ code: "verification" });
  expect(error.message).toContain("differs from its source: hosts (3 records, copied 3)");
  expect(await errorOf(openCatalog(to, { clock }))).toMatchObject({ code: "usage" });
});

test("tokens of leases go on after those of the source: what was written under an old one stays refused", async () => {
  const now = new Date().toISOString();
  const tokenIn = async (config: CatalogConfig) => {
    await using catalog = await openCatalog(config, { clock });
    const lease = {
      ...ELSEWHERE,
      name: "main/app",
      run_id: crypto.randomUUID(),
      acquired_at: now,
      expires_at: now,
    };
    await catalog.acquireLease(lease, now, () => "dead");
    return Number(await catalog.leaseToken(lease.name, lease.run_id));
  };
  const [first, second, third] = [file("source.db"), await inPostgres(), file("third.db")];
  for (let count = 0; count < 5; count++) await tokenIn(first);
  const last = await tokenIn(first);
  await copy(first, second);
  await copy(second, third);
  expect([await tokenIn(second), await tokenIn(third)].every((token) => token > last)).toBe(true);
});
