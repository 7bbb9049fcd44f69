import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Pg321Error } from "../../src/base/errors.ts";
import { openArchive } from "../../src/postgres/archive/archive.ts";
import { dependentsOfClean, needlessDrops } from "../../src/postgres/archive/clean.ts";
import { withoutDrops } from "../../src/postgres/archive/data.ts";
import type { ArchiveContents } from "../../src/postgres/archive/format.ts";
import type { Selection } from "../../src/postgres/archive/selection.ts";
import { pgRestoreFor } from "../../src/postgres/binaries.ts";
import type { Connection } from "../../src/postgres/connection.ts";
import { connect, endpointOfUrl } from "../../src/postgres/connection.ts";
import { createDatabase, finishDatabase, planRestore } from "../../src/postgres/restore/preflight.ts";
import { restoreFile } from "../../src/postgres/restore/restore.ts";
import { compareDatabases } from "../lab/data/compare-databases.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, dumpBlocks, dumpToMemory, lacksOf, pieces, restoreDump } from "./dumping.ts";
import { useSampleDump } from "./sample-dump.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();
const sample = useSampleDump(lab, temp);
const endpoint = (database: string) => endpointOfUrl(lab.url(database));

test("a database dumped, streamed and restored under another name is exactly the same", async () => {
  const name = `Restored ${crypto.randomUUID().slice(0, 8)} as "ünïcode"`;
  lab.dropAtEnd(name);
  const { contents, bytes } = await openArchive(dumpBlocks(endpoint(sample.name), temp.path));
  expect(contents).toMatchObject({ database: sample.name, format: "1.14" });

  await using target = await connect(endpoint("postgres"));
  expect(await lacksOf(target, contents, { create: true })).toEqual([]);
  await createDatabase(target, contents, name);
  expect(await restoreDump(bytes, endpoint(name), temp.path)).toEqual({ errorsIgnored: 0, stderrTail: "" });
  await finishDatabase(target, contents, name);

  const { differences, summary } = await compareDatabases(lab.connect(sample.name), lab.connect(name));
  expect(differences).toEqual([]);
  expect(summary.rows).toBeGreaterThan(5_000);
  expect(summary).toMatchObject({ large_objects: 1, sequences: 5 });
  expect(await propertiesOf(name)).toEqual(await propertiesOf(sample.name));
  expect((await propertiesOf(name))["settings"]).toHaveLength(2);
  expect(readdirSync(temp.path)).toEqual([]);
});

async function propertiesOf(database: string): Promise<Record<string, unknown>> {
  const [row] = await lab.connect()`
    select pg_get_userbyid(datdba) as owner, pg_encoding_to_char(encoding) as encoding, datcollate, datctype,
      datconnlimit,
      (select array_agg(item::text order by item::text) from unnest(datacl) item) as acl, shobj_description(d.oid, 'pg_database') as comment,
      (select json_agg(json_build_array(setrole, setconfig) order by setrole) from pg_db_role_setting
        where setdatabase = d.oid) as settings
    from pg_database d where datname = ${database}`;
  return row as Record<string, unknown>;
}

describe("the comparison finds", () => {
  test.each([
    ["a changed row", "update shop.customer set name = name || ' ' where id = 7", "rows shop.customer"],
    [
      "a row twice instead of another",
      "update log.event set measure = 0 where at = (select min(at) from log.event)",
      "rows log.event_2025h1",
    ],
    [
      "NULL instead of an empty text",
      `update "Mixed Case"."Odd.Table ""x""" set body = null where "Ключ" = 3`,
      "rows",
    ],
    ["an advanced sequence", "select nextval('shop.ticket')", "sequence shop.ticket"],
    ["a called sequence", "select setval('shop.never_used', 5, true)", "sequence shop.never_used"],
    ["a changed large object", "select lo_put(700001, 9, '\\x00')", "large object 700001"],
    ["a large object more", "select lo_create(1)", "large object 1"],
    ["a lost comment", "comment on column shop.customer.profile is null", "column shop.customer.profile"],
    ["a lost index", "drop index shop.customer_name_trgm", "relation shop.customer_name_trgm"],
    ["a lost right", `revoke select (id) on shop.customer from "Sample Reader"`, "column shop.customer.id"],
    [
      "a disabled trigger",
      `alter table shop."Order" disable trigger order_audit`,
      `trigger order_audit on shop."Order"`,
    ],
    [
      "an emptied materialized view",
      "refresh materialized view shop.revenue_by_day with no data",
      "rows shop.revenue",
    ],
  ])("%s", async (_, change, expected) => {
    const copy = lab.connect(await sampleCopy());
    await copy.unsafe(change);
    const { differences } = await compareDatabases(lab.connect(sample.name), copy);
    expect(differences.filter((line) => line.startsWith(expected))).not.toEqual([]);
  });

  /** A copy of the sample made by the server, equal to it. */
  async function sampleCopy(): Promise<string> {
    const name = `copy_${crypto.randomUUID().slice(0, 8)}`;
    lab.dropAtEnd(name);
    await restoreDump(sample.dump, endpoint(await lab.createDatabase(name)), temp.path);
    return name;
  }
});

test("a read-only database is restored whole, and read-only", async () => {
  const source = await lab.createDatabase();
  await lab.connect(source)`create table t as select 1 as i`;
  await lab.connect().unsafe(`alter database ${source} set default_transaction_read_only to on`);
  const dump = await dumpToMemory(endpoint(source), temp.path);
  const contents = await contentsOfDump(dump);
  const name = `${source}_copy`;
  lab.dropAtEnd(name);
  await using target = await connect(endpoint("postgres"));
  await createDatabase(target, contents, name);
  await restoreDump(dump, endpoint(name), temp.path);
  await finishDatabase(target, contents, name);
  const sql = lab.connect(name);
  expect(
    await sql`select i, current_setting('default_transaction_read_only') as read_only from t`,
  ).toMatchObject([{ i: 1, read_only: "on" }]);
});

test("an existing database is not replaced", async () => {
  await using target = await connect(endpoint("postgres"));
  const contents = await contentsOfDump(sample.dump);
  await expect(createDatabase(target, contents, sample.name)).rejects.toMatchObject({
    code: "database",
    message: `target: database "${sample.name}" already exists`,
  });
});

describe("a selection", () => {
  const idsToRestore = async (target: Connection, contents: ArchiveContents, selection: Selection) =>
    (await planRestore(target, contents, { selection, create: false })).entries.map(({ id }) => id);

  test("of a table restores nothing else, and ends before the source", async () => {
    const name = await lab.createDatabase();
    const selection = { schemas: [], tables: ["empty_table", "session"] };
    const contents = await contentsOfDump(sample.dump);
    await using target = await connect(endpoint(name));
    const only = await idsToRestore(target, contents, selection);
    await restoreDump(sample.dump, endpoint(name), temp.path, { only });
    const tables = await lab.connect(
      name,
    )`select relname from pg_class where relnamespace = 'shop'::regnamespace and relkind = 'r' order by 1`;
    expect(tables.map((row) => row["relname"])).toEqual(["empty_table", "session"]);
  });

  test("of a schema", async () => {
    const name = await lab.createDatabase();
    const selection = { schemas: ["log", "Mixed Case"], tables: [] };
    const contents = await contentsOfDump(sample.dump);
    await using target = await connect(endpoint(name));
    const only = await idsToRestore(target, contents, selection);
    await restoreDump(sample.dump, endpoint(name), temp.path, { only });
    const { differences } = await compareDatabases(lab.connect(sample.name), lab.connect(name));
    expect(differences.filter((line) => /\blog\.|Mixed Case/.test(line.split(":")[0] ?? ""))).toEqual([]);
    expect(differences).not.toEqual([]);
  });

  test("checks only the roles of its own entries", async () => {
    const contents = await contentsOfDump(sample.dump);
    const stranger = structuredClone(contents);
    for (const entry of stranger.entries) if (entry.namespace === "shop") entry.owner = "gone";
    await using target = await connect(endpoint("postgres"));
    const lacks = (schemas: string[]) =>
      lacksOf(target, stranger, { selection: { schemas, tables: [] }, create: false });
    expect(await lacks(["log"])).toEqual([]);
    expect(await lacks(["shop"])).toMatchObject([{ kind: "role", name: "gone" }]);
  });
});

describe("errors of a restore", () => {
  test("end it by default, and are counted on request", async () => {
    const name = await lab.createDatabase();
    await lab.connect(name).unsafe('create schema shop; create table shop."Order" (other int)').simple();
    const failure = (await restoreDump(sample.dump, endpoint(name), temp.path).catch(
      (error) => error,
    )) as Pg321Error;
    expect(failure.message).toContain('schema "shop" already exists');
    expect(failure.code).toBe("database");
    const again = await restoreDump(sample.dump, endpoint(name), temp.path, { exitOnError: false });
    expect(again.errorsIgnored).toBeGreaterThan(0);
  });

  test("the caller gets the source's error, and pg_restore ends", async () => {
    const name = await lab.createDatabase();
    const damage = new Error("segment 3 is damaged");
    async function* damaged() {
      yield sample.dump.subarray(0, sample.dump.length / 2);
      throw damage;
    }
    await expect(restoreDump(damaged(), endpoint(name), temp.path)).rejects.toBe(damage);
    expect(readdirSync(temp.path)).toEqual([]);
    await lab.connect().unsafe(`drop database ${name}`);
  });

  test("a dump that is cut off fails", async () => {
    const name = await lab.createDatabase();
    const cut = sample.dump.subarray(0, sample.dump.length - 1000);
    await expect(restoreDump(cut, endpoint(name), temp.path)).rejects.toMatchObject({ code: "database" });
  });

  test("a target that does not exist", async () => {
    await expect(restoreDump(sample.dump, endpoint("no such"), temp.path)).rejects.toMatchObject({
      code: "database",
      hint: "check the name of the database",
    });
  });
});

test("clean replaces existing objects", async () => {
  const name = await lab.createDatabase();
  await restoreDump(sample.dump, endpoint(name), temp.path);
  const sql = lab.connect(name);
  await sql.unsafe("delete from shop.session; select lo_unlink(700001); drop view shop.open_order").simple();
  await using target = await connect(endpoint(name));
  const { contents, bytes } = await openArchive(pieces(sample.dump));
  expect(await dependentsOfClean(target, contents.entries, false)).toEqual([]);
  const dump = withoutDrops(bytes, needlessDrops(contents));
  await restoreDump(dump, endpoint(name), temp.path, { clean: true, singleTransaction: true });
  expect((await compareDatabases(lab.connect(sample.name), sql)).differences).toEqual([]);
});

test("a file is restored with several sessions", async () => {
  const name = await lab.createDatabase();
  const path = join(temp.path, "-a dump");
  await Bun.write(path, sample.dump);
  const binary = await pgRestoreFor(15, "1.14", undefined);
  await restoreFile(path, { target: endpoint(name), binary, tempDir: temp.path, jobs: 3 });
  await Bun.file(path).delete();
  expect((await compareDatabases(lab.connect(sample.name), lab.connect(name))).differences).toEqual([]);
});
