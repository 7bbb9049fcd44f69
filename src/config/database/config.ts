import type { CompressionConfig } from "../dump-config.ts";
import type { KeepConfig } from "../storage-config.ts";
import type { HooksConfig } from "./hooks.ts";

/** A `[[database]]` table: settings for the databases that its name matches. An unset key leaves the setting to others. */
export interface DatabaseConfig extends SelectionConfig, HooksConfig {
  /** The name of a [[server]]; unset: any. */
  server: string | undefined;
  /** A name, a glob, or `=NAME`: see `databasePattern`. */
  name: string;
  compression: CompressionConfig | undefined;
  /** Streams of one dump: `dump.jobs` for these databases. */
  jobs: number | undefined;
  /** Names of the storages that their backups go to; unset: all except archives. */
  storages: string[] | undefined;
  /** When they are backed up: a cron pattern, or "off". */
  schedule: string | undefined;
  /** Replaces `keep` of the storages, archives excepted. */
  keep: KeepConfig | undefined;
  restore_test: DatabaseRestoreTest | undefined;
  /** Further options of pg_dump: see `dumpOptionProblem`. */
  pg_dump_options: string[] | undefined;
  /** The line of the table and of each of its keys, by their path (`restore_test.excluded`). */
  lines: Readonly<Record<string, number>>;
}

/** What of a database is dumped. Patterns: see `tablePattern` and `schemaPattern`. */
export interface SelectionConfig {
  include_schemas: string[] | undefined;
  exclude_schemas: string[] | undefined;
  include_tables: string[] | undefined;
  exclude_tables: string[] | undefined;
  /** Tables of which only the definition is dumped. */
  exclude_table_data: string[] | undefined;
  schema_only: boolean | undefined;
}

export interface DatabaseRestoreTest {
  /** Not tested, except by name on the command line; the rule does not demand it then. */
  excluded: boolean | undefined;
  /** In addition to those of [restore_test]. */
  allowed_errors: string[] | undefined;
  /** Extensions that a test does not create. */
  skip_extensions: string[] | undefined;
  /** In addition to those of [restore_test]. */
  check: DatabaseSqlCheck[] | undefined;
}

export type DatabaseSqlCheck = Omit<SqlCheckConfig, "databases">;

/** A query whose answer in the restored database is known. */
export interface SqlCheckConfig {
  name: string;
  /** Names, `SERVER/DATABASE`, or globs of either: see `serverPattern`. */
  databases: string[];
  sql: string;
  /** The text of the first column of the first row. */
  expect: string;
  timeout_ms: number;
}
