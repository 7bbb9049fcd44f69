import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { migrate } from "./migrate.ts";
import { MIGRATIONS } from "./migrations.ts";
import { CLOCKS_OF_HOSTS } from "./of-hosts.ts";

/** The version whose step to the next one gives each host its own records. */
const BEFORE_OWN_RECORDS = MIGRATIONS.indexOf(CLOCKS_OF_HOSTS);
const version = (database: Database) => database.query("PRAGMA user_version").get();
const tables = (database: Database) =>
  database.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();

test("an older catalog is migrated step by step and keeps its contents", () => {
  using database = new Database(":memory:");
  migrate(database, "c", { migrations: MIGRATIONS.slice(0, 1) });
  database.run("INSERT INTO installation VALUES (1, 'kept')");
  const later = [
    ...MIGRATIONS.slice(0, 1),
    "ALTER TABLE installation ADD COLUMN label TEXT",
    "UPDATE installation SET label = id || '!'",
  ];
  migrate(database, "c", { migrations: later });
  expect(version(database)).toEqual({ user_version: 3 });
  expect(database.query("SELECT * FROM installation").get()).toEqual({ only: 1, id: "kept", label: "kept!" });
});

test("what the only host knew about itself stays its own", () => {
  using database = new Database(":memory:");
  migrate(database, "c", { migrations: MIGRATIONS.slice(0, BEFORE_OWN_RECORDS) });
  database.run("INSERT INTO clock_trust VALUES (1, '2026-01-01', '2026-02-01')");
  database.run(
    "INSERT INTO storages VALUES ('disk', '2026-01-02', 'away', NULL, NULL, 3, 'full', '2026-01-01')",
  );
  database.run("INSERT INTO host_export VALUES (1, '2026-01-01', 'files')");
  database.run("INSERT INTO recovery_kits (made_at, fingerprint) VALUES ('2026-01-01', 'kit')");
  migrate(database, "c");
  expect(database.query("SELECT host, fingerprint FROM host_export").all()).toEqual([
    { host: "", fingerprint: "files" },
  ]);
  expect(database.query("SELECT host, fingerprint FROM recovery_kits").all()).toEqual([
    { host: "", fingerprint: "kit" },
  ]);
  const checked = { checked_at: "2026-01-02", check_error: "away", free_bytes: null, total_bytes: null };
  const failed = { errors: 3, last_error: "full", last_error_at: "2026-01-01" };
  expect(database.query("SELECT * FROM storages").all()).toEqual([
    { host: "", name: "disk", ...checked, ...failed },
  ]);
  const trust = { host: "", trusted_at: "2026-01-01", accepted_until: "2026-02-01" };
  expect(database.query("SELECT * FROM clock_trust").all()).toEqual([trust]);
});

test("a second pass changes nothing", () => {
  using database = new Database(":memory:");
  migrate(database, "c");
  const before = tables(database);
  migrate(database, "c");
  expect(tables(database)).toEqual(before);
  expect(version(database)).toEqual({ user_version: MIGRATIONS.length });
});

test("a step that fails half-way leaves the whole previous version", () => {
  using database = new Database(":memory:");
  const broken = [...MIGRATIONS, "CREATE TABLE half (a); INSERT INTO nowhere VALUES (1)"];
  expect(() => migrate(database, "c", { migrations: broken })).toThrow("nowhere");
  expect(version(database)).toEqual({ user_version: MIGRATIONS.length });
  expect(tables(database)).not.toContainEqual({ name: "half" });
});

test("a catalog of a newer program is refused and not changed", () => {
  using database = new Database(":memory:");
  migrate(database, "c", { migrations: [...MIGRATIONS, "CREATE TABLE future (a)"] });
  let error: unknown;
  try {
    migrate(database, "/x/catalog.db");
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ code: "usage", hint: expect.stringContaining("newer pg321") });
  expect(String(error)).toContain(
    `/x/catalog.db: written by a newer pg321 (version ${MIGRATIONS.length + 1}`,
  );
  expect(version(database)).toEqual({ user_version: MIGRATIONS.length + 1 });
});

test("a database of another program is refused and not changed", () => {
  using database = new Database(":memory:");
  database.run("CREATE TABLE theirs (a)");
  expect(() => migrate(database, "c")).toThrow("another program");
  expect(tables(database)).toEqual([{ name: "theirs" }]);
});
