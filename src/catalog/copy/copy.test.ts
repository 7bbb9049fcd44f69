import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copy, errorOf, useCatalogs } from "../../../test/lab/data/catalogs.ts";
import { backupRecord, copyRecord, ELSEWHERE, runRecord } from "../../../test/suites/catalog/records.ts";
import { systemClock as clock } from "../../base/clock.ts";
import type { CatalogConfig } from "../../config/config.ts";
import type { Catalog } from "../catalog.ts";
import { examineCatalog, openCatalog } from "../open.ts";
import type { LeaseHolder } from "../records.ts";
import { pagesOf } from "./content.ts";
import { shapeOf } from "./judge.ts";
import { POSITIONED, sharedTables } from "./place.ts";
import { readPlace } from "./places.ts";
import { previewCopy } from "./preview.ts";

const { file, inPostgres, filled, onDatabase } = useCatalogs();

test("both kinds of catalog have the same tables, columns and keys", async () => {
  const [one, other] = [file("one.db"), await inPostgres()];
  for (const config of [one, other]) await (await openCatalog(config, { clock }))[Symbol.asyncDispose]();
  await using sqlite = await readPlace(one, clock);
  await using server = await readPlace(other, clock);
  if (!sqlite || !server) throw new Error();
  expect(shapeOf(await sharedTables(sqlite, server))).toBe(shapeOf(await sharedTables(server, sqlite)));
  const numbered = await onDatabase(
    other,
    (sql) => sql`select table_name as table, column_name as column from information_schema.columns
      where table_schema = 'pg321' and is_identity = 'YES' order by 1`,
  );
  expect(numbered.map(({ table, column }) => [table, column])).toEqual(
    Object.entries(POSITIONED).map(([table, { postgres: column }]) => [table, column]),
  );
});

test("a copy has every record of every table, into PostgreSQL, between databases and back into a file", async () => {
  const [source, first, second, back, beside] = [
    await filled(),
    await inPostgres(),
    await inPostgres(1),
    file("back.db"),
    file("beside.db"),
  ];
  const done: [number, number][] = [];
  const onProgress = (_: string, count: number, total: number) => void done.push([count, total]);
  const report = await copy(source, first, { onProgress });
  expect(report).toMatchObject({ outcome: "copied", daemons: [], from: source.path });
  expect(report.tables.map(({ name }) => name).slice(0, 3)).toEqual(["installation", "backups", "alerts"]);
  expect(report.tables.every(({ rows }) => rows > 0)).toBe(true);
  expect(done.at(-1)).toEqual([report.rows, report.rows]);
  // Only catalogs in PostgreSQL have these.
  await onDatabase(first, (sql) => sql`insert into pg321.spools values ('spool', 'here', 7, now())`);
  for (const [from, to] of [
    [first, second],
    [second, back],
    [source, beside],
  ] as const) {
    const { outcome, tables, sha256 } = await copy(from, to);
    const shared = tables.filter(({ name }) => name !== "spools");
    expect({ outcome, shared }).toEqual({ outcome: "copied", shared: report.tables });
    expect(sha256 === report.sha256).toBe(to !== second);
  }
  expect(await onDatabase(second, (sql) => sql`select delivered::int from pg321.spools`)).toMatchObject([
    { delivered: 7 },
  ]);
  using database = new Database(beside.path);
  expect(database.query("SELECT error FROM runs WHERE id = 'id-2'").get()).toEqual({ error: "a\u0000b" });
  for (const config of [first, back]) {
    await using catalog = await openCatalog(config, { clock });
    expect(await catalog.leases()).toEqual([]);
    expect((await catalog.deliveries({})).map(({ id }) => id)).toEqual(["id-1", "id-2", "id-3"]);
  }
});

test("a copied catalog goes on as one that was never copied: its sums count, its numbers continue", async () => {
  const source = file("source.db");
  const good = backupRecord({ status: "VERIFIED", started_at: "2026-01-02T00:00:00.000Z" });
  {
    await using catalog = await openCatalog(source, { clock });
    await catalog.belongTo("mine");
    await catalog.insertBackup(good);
    await catalog.putCopy(copyRecord(good, { state: "CONFIRMED", object_bytes: 10, error: "slow" }));
    await catalog.insertRun(runRecord({ outcome: "OK" }));
    await catalog.recoveryKits.record({ made_at: "2026-01-01T00:00:00.000Z", fingerprint: "a" });
  }
  const next = async (catalog: Catalog) => {
    const backup = backupRecord({ status: "VERIFIED", started_at: "2026-01-03T00:00:00.000Z" });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED", object_bytes: 5 }));
    await catalog.recoveryKits.record({ made_at: "2026-01-05T00:00:00.000Z", fingerprint: "b" });
    const [total] = await catalog.overview.copyTotals(new Date());
    await using plan = await catalog.retained();
    const retained = (await Array.fromAsync(plan.backups())).flat();
    expect(retained.map(({ id, copies }) => [id, copies.length])).toEqual([
      [backup.id, 1],
      [good.id, 1],
    ]);
    const storages = (await catalog.overview.storages()).map(({ name, errors }) => [name, errors]);
    return { total, storages, kit: await catalog.recoveryKits.last() };
  };
  for (const to of [file("copy.db"), await inPostgres()]) {
    await copy(source, to);
    await using catalog = await openCatalog(to, { clock });
    expect(await next(catalog)).toMatchObject({
      total: { copies: 2, bytes: 15, newest_started_at: "2026-01-03T00:00:00.000Z" },
      storages: [["local", 1]],
      kit: { fingerprint: "b" },
    });
  }
});

test("a file that a command writes to while it is copied is refused, and the next copy has everything", async () => {
  for (const [index, to] of [file("late.db"), await inPostgres()].entries()) {
    const source = await filled(`source-${index}.db`);
    const [known, late] = [backupRecord({ status: "VERIFIED" }), backupRecord({ status: "VERIFIED" })];
    await using original = await openCatalog(source, { clock });
    await original.insertBackup(known);
    await original.putCopy(copyRecord(known, { state: "CONFIRMED" }));
    let writing: Promise<void> | undefined;
    const write = async () => {
      await using catalog = await openCatalog(source, { clock });
      await catalog.updateBackup(known.id, { hold_reason: "needed" });
      await catalog.insertBackup(late);
    };
    // The snapshot of the copy is older than this, whenever it becomes durable before the end.
    const onProgress = () => {
      writing ??= write();
    };
    const error = await errorOf(copy(source, to, { onProgress }));
    await writing;
    expect(error).toMatchObject({ code: "locked", exitCode: 11 });
    expect(error.message).toContain("has changed since it was read: backups");
    expect(await errorOf(openCatalog(to, { clock }))).toMatchObject({ code: "usage" });
    expect(await copy(source, to)).toMatchObject({ outcome: "started_over" });
    await using catalog = await openCatalog(to, { clock });
    expect((await catalog.backup(late.id))?.id).toBe(late.id);
    // The table that is not copied is made anew, too.
    const retained = async (one: Catalog) => {
      await using plan = await one.retained();
      return (await Array.fromAsync(plan.backups())).flat();
    };
    expect(await retained(original)).toMatchObject([{ id: known.id, hold_reason: "needed" }]);
    expect(await retained(catalog)).toEqual(await retained(original));
  }
});

test("daemons that still use a catalog in PostgreSQL are named, whatever their pid is", async () => {
  const source = await inPostgres();
  const now = new Date();
  const [acquired_at, expires_at] = [now, new Date(now.getTime() + 600_000)].map((at) => at.toISOString());
  {
    await using catalog = await openCatalog(source, { clock });
    const holder = { host: "other", pid: process.pid, run_id: crypto.randomUUID() };
    const lease = { ...ELSEWHERE, ...holder, name: "daemon other", acquired_at, expires_at } as LeaseHolder;
    await catalog.acquireLease(lease, now.toISOString(), () => "unseen");
  }
  expect(await copy(source, file("named.db"))).toMatchObject({ outcome: "copied", daemons: ["other"] });
});

test("the schema of a copy is that of a new catalog", async () => {
  const [source, fresh, copied] = [await filled(), file("fresh.db"), file("copied.db")];
  await (await openCatalog(fresh, { clock }))[Symbol.asyncDispose]();
  await copy(source, copied);
  const schema = (path: string) => {
    using database = new Database(path);
    return database.query("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").all();
  };
  expect(schema(copied.path)).toEqual(schema(fresh.path));
  const to = await inPostgres();
  await copy(source, to);
  const [off] = await onDatabase(
    to,
    (sql) =>
      sql`select count(*)::int as triggers from pg_trigger where not tgisinternal and tgenabled <> 'O'`,
  );
  expect(off).toEqual({ triggers: 0 });
});

/** Ends a copy in the middle, as if its process had died. */
async function interrupted(from: CatalogConfig, to: CatalogConfig): Promise<void> {
  const stop = new AbortController();
  const onProgress = (_: string, done: number, total: number) => {
    if (done * 2 > total) stop.abort(new Error("ended here"));
  };
  expect(await errorOf(copy(from, to, { signal: stop.signal, onProgress }))).toMatchObject({
    message: "ended here",
  });
}

test("an unfinished copy opens for nothing else, and the next copy goes on where it ended", async () => {
  const source = await filled("source.db", 150);
  const whole = await copy(source, file("whole.db"));
  for (const to of [file("copy.db"), await inPostgres()]) {
    await interrupted(source, to);
    for (const call of [openCatalog, examineCatalog]) {
      const error = await errorOf(call(to, { clock, host: "here" }));
      expect(error).toMatchObject({
        code: "usage",
        hint: "finish it: run the same pg321 catalog copy again",
      });
      expect(error.message).toContain(`: an unfinished copy of catalog ${source.path}, begun 20`);
    }
    expect(await previewCopy({ from: source, to, clock })).toMatchObject({
      target: "unfinished",
      rows: whole.rows,
    });
    const done: number[] = [];
    const onProgress = (work: string, count: number) => void (work === "copy" && done.push(count));
    const report = await copy(source, to, { onProgress });
    expect(report).toMatchObject({ outcome: "resumed", sha256: whole.sha256 });
    expect(done[0]).toBeGreaterThan(whole.rows / 2);
    expect(await copy(source, to)).toMatchObject({ outcome: "identical", sha256: whole.sha256 });
    await (await openCatalog(to, { clock }))[Symbol.asyncDispose]();
  }
});

test("an unfinished copy that another version began is refused, also with the same tables", async () => {
  const source = await filled("source.db", 150);
  const [beside, inServer] = [file("copy.db"), await inPostgres()];
  for (const to of [beside, inServer]) {
    await interrupted(source, to);
    if (to === inServer)
      await onDatabase(inServer, (sql) => sql`update pg321.schema_version set version = version - 1`);
    else {
      using database = new Database(beside.path);
      const version = database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version;
      database.run(`PRAGMA user_version = ${Number(version) - 1}`);
    }
    for (const call of [() => copy(source, to), () => previewCopy({ from: source, to, clock })])
      expect(await errorOf(call())).toMatchObject({
        code: "usage",
        message: expect.stringContaining("that another version of pg321 began 20"),
        hint: expect.stringContaining("copy into a place without a catalog"),
      });
  }
});

test("a source that has changed since the copy was begun is noticed, and the copy starts over", async () => {
  for (const [index, change] of [
    "DELETE FROM copies WHERE backup_id = 'id-7'; DELETE FROM backups WHERE id = 'id-7'",
    "UPDATE alerts SET message = 'other' WHERE id = 'id-9'",
    "CREATE TABLE other AS SELECT * FROM backups LIMIT 1; UPDATE other SET id = 'id-0'; INSERT INTO backups SELECT * FROM other; DROP TABLE other",
  ].entries()) {
    const source = await filled(`source-${index}.db`, 150);
    const to = index === 0 ? await inPostgres() : file(`copy-${index}.db`);
    await interrupted(source, to);
    {
      using database = new Database(source.path);
      database.run(change);
    }
    const report = await copy(source, to);
    expect(report.outcome).toBe("started_over");
    expect((await copy(source, file(`other-${index}.db`))).sha256).toBe(report.sha256);
  }
});

test("pages are bounded by rows and by bytes, whatever a table holds", async () => {
  const config = file("source.db");
  {
    await using catalog = await openCatalog(config, { clock });
    for (let index = 0; index < 300; index++)
      await catalog.insertBackup(backupRecord({ manifest: index < 100 ? "small" : "m".repeat(50_000) }));
  }
  await using place = await readPlace(config, clock);
  const backups = (await place?.tables())?.find(({ name }) => name === "backups");
  if (!place || !backups) throw new Error();
  const sizes: number[] = [];
  for await (const rows of pagesOf(place, backups)) sizes.push(JSON.stringify(rows).length);
  expect(sizes.length).toBeGreaterThan(5);
  expect(Math.max(...sizes)).toBeLessThan(12 * 1024 * 1024);
});
