import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copy, errorOf, useCatalogs } from "../../../test/lab/data/catalogs.ts";
import { backupRecord } from "../../../test/suites/catalog/records.ts";
import { systemClock as clock } from "../../base/clock.ts";
import { Secret } from "../../base/secret.ts";
import type { Catalog } from "../catalog.ts";
import { openCatalog } from "../open.ts";
import { previewCopy } from "./preview.ts";

const { file, inPostgres, filled, onDatabase } = useCatalogs();

test("a target with other records is refused and stays as it was", async () => {
  const source = await filled();
  for (const [to, fill, message] of [
    [
      file("installation.db"),
      (catalog: Catalog) => catalog.belongTo("others"),
      "of another installation (others, ",
    ],
    [
      await inPostgres(),
      (catalog: Catalog) => catalog.belongTo("others"),
      "of another installation (others, ",
    ],
    [file("records.db"), (catalog: Catalog) => catalog.insertBackup(backupRecord()), "backups 1 (source: 3)"],
    [
      await inPostgres(1),
      (catalog: Catalog) => catalog.insertBackup(backupRecord()),
      "backups 1 (source: 3)",
    ],
  ] as const) {
    {
      await using catalog = await openCatalog(to, { clock });
      await fill(catalog);
    }
    for (const call of [() => copy(source, to), () => previewCopy({ from: source, to, clock })]) {
      const error = await errorOf(call());
      expect(error).toMatchObject({ code: "usage", hint: expect.stringContaining("without a catalog") });
      expect(error.message).toContain(message);
      expect(error.message).toEndWith("; nothing was changed");
    }
    await using catalog = await openCatalog(to, { clock });
    expect((await catalog.runs({})).length).toBe(0);
  }
  // As many records, but others.
  const twin = file("twin.db");
  await copy(source, twin);
  {
    using database = new Database(twin.path);
    database.run("UPDATE alerts SET message = 'other' WHERE id = 'id-2'");
  }
  expect(await errorOf(copy(source, twin))).toMatchObject({
    code: "usage",
    message: expect.stringContaining("other contents of alerts"),
  });
});

test("a catalog that some command has just created, of the same installation, is filled", async () => {
  const source = await filled();
  for (const to of [file("copy.db"), await inPostgres()]) {
    {
      await using catalog = await openCatalog(to, { clock });
      await catalog.belongTo("id-1");
    }
    expect(await copy(source, to)).toMatchObject({ outcome: "copied" });
  }
});

test("the same catalog under two names, no catalog, and a newer one are refused", async () => {
  const source = await filled();
  const to = await inPostgres();
  await copy(source, to);
  const twin = { ...to, url: new Secret(to.url.reveal().replace("127.0.0.1", "localhost")) };
  expect(await errorOf(copy(to, twin))).toMatchObject({
    code: "usage",
    message: expect.stringContaining("are the same catalog"),
  });
  const dotted = file("x/../source.db");
  expect(await errorOf(copy(source, dotted))).toMatchObject({ code: "usage" });
  expect(await errorOf(copy(file("missing.db"), file("new.db")))).toMatchObject({
    code: "usage",
    message: expect.stringContaining("there is no catalog in "),
  });
  expect(await Bun.file(file("missing.db").path).exists()).toBe(false);
  await onDatabase(to, (sql) => sql`update pg321.schema_version set version = 99`);
  for (const call of [() => copy(to, file("new.db")), () => copy(source, to)])
    expect(await errorOf(call())).toMatchObject({
      code: "usage",
      message: expect.stringContaining("written by a newer pg321 (version 99"),
    });
  expect(await Bun.file(file("new.db").path).exists()).toBe(false);
});

test("a file that a daemon or a run uses is refused; a catalog in PostgreSQL is read beside them, at one moment", async () => {
  const source = await filled();
  const now = new Date();
  const lease = (name: string) => ({
    ...{ name, run_id: crypto.randomUUID(), host: "there", pid: process.pid + 1, pid_start: 1 },
    ...{ host_id: "f".repeat(32), boot_id: crypto.randomUUID(), pid_namespace: "1" },
    ...{ acquired_at: now.toISOString(), expires_at: "9999-01-01T00:00:00.000Z" },
  });
  for (const name of ["daemon", "run 1"]) {
    const mine = lease(name);
    await using catalog = await openCatalog(source, { clock });
    await catalog.acquireLease(mine, now.toISOString(), () => "dead");
    expect(await errorOf(copy(source, file("copy.db")))).toMatchObject({ code: "locked", exitCode: 11 });
    await catalog.releaseLease(name, mine.run_id);
  }
  const from = await inPostgres();
  await copy(source, from);
  await using daemon = await openCatalog(from, { clock });
  await daemon.acquireLease(lease("daemon"), now.toISOString(), () => "dead");
  let written: Promise<void> | undefined;
  const onProgress = () => {
    written ??= daemon.insertBackup(backupRecord());
  };
  const report = await copy(from, file("copy.db"), { onProgress });
  await written;
  expect(report).toMatchObject({ outcome: "copied", daemons: ["there"] });
  expect(report.tables.find(({ name }) => name === "backups")?.rows).toBe(3);
});

test("two copies into one target at once: the second is refused", async () => {
  // Only of a file the source itself is held.
  const source = await inPostgres(1);
  await copy(await filled("source.db", 2_000), source);
  const to = await inPostgres();
  let second: Promise<unknown> | undefined;
  const onProgress = () => {
    second ??= errorOf(copy(source, to));
  };
  await copy(source, to, { onProgress });
  expect(await second).toMatchObject({ code: "locked" });
});
