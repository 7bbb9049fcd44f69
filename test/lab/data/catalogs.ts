import { Database } from "bun:sqlite";
import { afterEach, beforeEach } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sql } from "postgres";
import { systemClock as clock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Secret } from "../../../src/base/secret.ts";
import { type CopyReport, type CopyRequest, copyCatalog } from "../../../src/catalog/copy/copy.ts";
import { isCopied, quoted } from "../../../src/catalog/copy/place.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import { parseCatalogUrl } from "../../../src/config/catalog-url.ts";
import type { CatalogConfig } from "../../../src/config/config.ts";
import { connectTo, disposable } from "../servers/postgres.ts";
import { usePostgres } from "../servers/use-postgres.ts";

/** Catalogs of both kinds for tests of their copies. */

/** A test file's catalogs: files in a directory of each test, and schemas in databases of the file. */
export interface CatalogsForTests {
  file(name: string): CatalogConfig & { type: "sqlite" };
  /** An empty place: a new schema is made faster than a new database. Different ones at once have numbers. */
  inPostgres(number?: number): Promise<CatalogConfig & { type: "postgres" }>;
  /** A new catalog of SQLite with some rows in every table, whatever they mean: also in those of later versions. */
  filled(name?: string, rows?: number): Promise<CatalogConfig & { type: "sqlite" }>;
  onDatabase<T>(config: CatalogConfig & { type: "postgres" }, work: (sql: Sql) => Promise<T>): Promise<T>;
}

export function useCatalogs(): CatalogsForTests {
  const postgres = usePostgres();
  const databases: string[] = [];
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "pg321-copy-"));
  });
  afterEach(() => rm(directory, { recursive: true }));
  const use: CatalogsForTests = {
    file: (name) => ({ type: "sqlite", path: join(directory, name) }),
    async inPostgres(number = 0) {
      const database = databases[number] ?? (await postgres.createDatabase());
      databases[number] = database;
      const config = { type: "postgres", url: new Secret(postgres.url(database)) } as const;
      await use.onDatabase(config, (sql) => sql`drop schema if exists pg321 cascade`);
      return config;
    },
    async filled(name = "source.db", rows = 3) {
      const config = use.file(name);
      await (await openCatalog(config, { clock }))[Symbol.asyncDispose]();
      fill(config.path, rows);
      return config;
    },
    async onDatabase(config, work) {
      const { database = "" } = parseCatalogUrl(config.url.reveal()) ?? {};
      await using admin = disposable(connectTo(postgres.address, database));
      return await work(admin.sql);
    },
  };
  return use;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
export const errorOf = (call: Promise<unknown>): Promise<any> =>
  call.then(() => undefined).catch((error) => error);

function request(from: CatalogConfig, to: CatalogConfig, change: Partial<CopyRequest> = {}): CopyRequest {
  const { signal } = new AbortController();
  return { from, to, clock, log: silentLog, signal, host: "here", onProgress: () => {}, ...change };
}
export const copy = (
  from: CatalogConfig,
  to: CatalogConfig,
  change?: Partial<CopyRequest>,
): Promise<CopyReport> => copyCatalog(request(from, to, change));

const JSON_COLUMNS = ["facts", "statistics", "metadata", "notice", "checks"];

function fill(path: string, rows: number): void {
  using database = new Database(path);
  database.run("PRAGMA foreign_keys = OFF");
  database.run("BEGIN");
  const tables = database
    .query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all();
  for (const { name: table } of tables.filter(({ name }) => isCopied(name))) {
    const columns = database
      .query<{ name: string; type: string }, string>("SELECT name, type FROM pragma_table_info(?)")
      .all(table);
    const isSingle = columns.some((column) => column.name === "only");
    for (let index = 1; index <= (isSingle ? 1 : rows); index++) {
      const values = columns.map(({ name: column, type }) => {
        if (type === "INTEGER") return column === "only" ? 1 : index;
        if (JSON_COLUMNS.includes(column)) return `{"n":${index}}`;
        return ["id", "backup_id", "alert_id"].includes(column) ? `id-${index}` : `${column} ä ${index}`;
      });
      const marks = values.map(() => "?").join();
      database.query(`INSERT OR REPLACE INTO ${quoted(table)} VALUES (${marks})`).run(...values);
    }
  }
  database.query("UPDATE runs SET error = ? WHERE id = 'id-2'").run("a\u0000b");
  database.run("COMMIT");
}
