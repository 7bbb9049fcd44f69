import type { CompressionConfig, Config, ServerConfig, StorageConfig } from "../config.ts";
import { databasePattern } from "../database-pattern.ts";
import type { KeepConfig } from "../storage-config.ts";
import type { DatabaseConfig, DatabaseSqlCheck } from "./config.ts";
import type { HookConfig, HookKind, HooksConfig } from "./hooks.ts";

/** The part of a config that says what holds for a database. Hand-made configs may have no [[database]] tables. */
export type DatabaseRules = Partial<Pick<Config, "database">>;

/** The keys of a [[database]] table by their paths, in the order in which `check` prints them. */
export const DATABASE_KEYS = [
  "include_schemas",
  "exclude_schemas",
  "include_tables",
  "exclude_tables",
  "exclude_table_data",
  "schema_only",
  "compression",
  "jobs",
  "storages",
  "schedule",
  "keep",
  "restore_test.excluded",
  "restore_test.allowed_errors",
  "restore_test.skip_extensions",
  "restore_test.check",
  "pg_dump_options",
  "pre_backup",
  "post_backup",
  "on_failure",
] as const;
export type DatabaseKey = (typeof DATABASE_KEYS)[number];

/** What of a database is dumped, and how, with the defaults filled in. */
export interface SelectionSettings {
  /** Empty: every schema, or every table. At most one of these two is not empty. */
  include_schemas: readonly string[];
  include_tables: readonly string[];
  exclude_schemas: readonly string[];
  exclude_tables: readonly string[];
  exclude_table_data: readonly string[];
  schema_only: boolean;
  pg_dump_options: readonly string[];
}

/** How specific a table is for the databases that it matches: a name before a glob, then one with a server. */
function rankOf({ server, name }: DatabaseConfig): number {
  return (databasePattern(name).name === undefined ? 0 : 2) + (server === undefined ? 0 : 1);
}

/** PostgreSQL's limit for names. */
const DATABASE_BYTES_MAX = 63;

export function matchesDatabase(
  { server: only, name }: Pick<DatabaseConfig, "server" | "name">,
  server: string,
  database: string,
): boolean {
  // Longer ones are groups of other backups, such as the globals of a server.
  if (Buffer.byteLength(database) > DATABASE_BYTES_MAX) return false;
  return (only === undefined || only === server) && databasePattern(name).matches(database);
}

/** `main/shop_*`, or `shop_*` for every server: unique, because no two tables have the same databases. */
export function databaseRuleName({ server, name }: Pick<DatabaseConfig, "server" | "name">): string {
  return server === undefined ? name : `${server}/${name}`;
}

/** Those found for each database: they are asked for again for each copy of it. */
const found = new WeakMap<readonly DatabaseConfig[], Map<string, readonly DatabaseConfig[]>>();

/** The tables that match a database, the one that wins first: the most specific, among equals the last in the file. */
export function rulesFor(
  { database: all = [] }: DatabaseRules,
  server: string,
  database: string,
): readonly DatabaseConfig[] {
  if (all.length === 0) return all;
  const known = found.getOrInsertComputed(all, () => new Map());
  return known.getOrInsertComputed(`${server}/${database}`, () =>
    all
      .toReversed()
      .filter((one) => matchesDatabase(one, server, database))
      .toSorted(byRank),
  );
}

function byRank(a: DatabaseConfig, b: DatabaseConfig): number {
  return rankOf(b) - rankOf(a);
}

export function valueAt(table: DatabaseConfig, key: DatabaseKey): unknown {
  return key
    .split(".")
    .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], table);
}

/** The table whose value of this key holds for a database; undefined if none has one. */
export function winnerFor(rules: readonly DatabaseConfig[], key: DatabaseKey): DatabaseConfig | undefined {
  const winner = rules.find((table) => valueAt(table, key) !== undefined);
  // A table that includes tables or schemas says all of what is included.
  const other = key === "include_tables" ? "include_schemas" : "include_tables";
  if (!winner || (key !== "include_tables" && key !== "include_schemas")) return winner;
  const earlier = rules.find((table) => valueAt(table, other) !== undefined);
  return earlier && rules.indexOf(earlier) < rules.indexOf(winner) ? undefined : winner;
}

function settingOf<T>(rules: readonly DatabaseConfig[], key: DatabaseKey): T | undefined {
  const winner = winnerFor(rules, key);
  return winner && (valueAt(winner, key) as T);
}

/** Schemas, tables and rows that the dump of a database has, and further options of pg_dump. Empty lists: everything. */
export function selectionFor(config: DatabaseRules, server: string, database: string): SelectionSettings {
  const rules = rulesFor(config, server, database);
  const listOf = (key: DatabaseKey) => settingOf<string[]>(rules, key) ?? [];
  return {
    include_schemas: listOf("include_schemas"),
    include_tables: listOf("include_tables"),
    exclude_schemas: listOf("exclude_schemas"),
    exclude_tables: listOf("exclude_tables"),
    exclude_table_data: listOf("exclude_table_data"),
    schema_only: settingOf(rules, "schema_only") ?? false,
    pg_dump_options: listOf("pg_dump_options"),
  };
}

export function compressionFor(
  config: DatabaseRules & Pick<Config, "compression">,
  server: string,
  database: string,
): CompressionConfig {
  return (
    settingOf<CompressionConfig>(rulesFor(config, server, database), "compression") ?? config.compression
  );
}

/** Undefined: `dump.jobs` holds. */
export function jobsFor(config: DatabaseRules, server: string, database: string): number | undefined {
  return settingOf(rulesFor(config, server, database), "jobs");
}

/** The names of the storages for a database's backups; undefined: every storage. */
export function storagesFor(
  config: DatabaseRules,
  server: string,
  database: string,
): readonly string[] | undefined {
  return settingOf(rulesFor(config, server, database), "storages");
}

/** The keep rules that replace those of the storages (archives excepted); undefined: the storages' own hold. */
export function keepFor(config: DatabaseRules, server: string, database: string): KeepConfig | undefined {
  return settingOf(rulesFor(config, server, database), "keep");
}

/** The keep rules for the copies of a database in a storage: an archive keeps by its own rules. */
export function keepIn(
  config: DatabaseRules & Pick<Config, "storage">,
  { name, keep }: Pick<StorageConfig, "name" | "keep">,
  server: string,
  database: string,
): KeepConfig {
  const own = keepFor(config, server, database);
  return own === undefined || archiveNames(config).includes(name) ? keep : own;
}

/** The names of the storages that get only copies that expire in another one. */
export function archiveNames({ storage }: Pick<Config, "storage">): string[] {
  return storage.flatMap(({ expire }) => (typeof expire === "object" ? expire.archive_to : []));
}

/** The table that has a schedule for the backups of a database. */
export function scheduleRuleFor(
  config: DatabaseRules,
  server: string,
  database: string,
): DatabaseConfig | undefined {
  return winnerFor(rulesFor(config, server, database), "schedule");
}

/** The hooks around each backup of a database: a key of its tables replaces that of the server. */
export function hooksFor(
  config: DatabaseRules,
  server: Pick<ServerConfig, "name"> & Partial<HooksConfig>,
  database: string,
): Record<HookKind, readonly HookConfig[]> {
  const rules = rulesFor(config, server.name, database);
  const of = (kind: HookKind) => settingOf<HookConfig[]>(rules, kind) ?? server[kind] ?? [];
  return { pre_backup: of("pre_backup"), post_backup: of("post_backup"), on_failure: of("on_failure") };
}

export interface DatabaseTestSettings {
  excluded: boolean;
  /** In addition to those of [restore_test], like the checks. */
  allowed_errors: readonly string[];
  skip_extensions: readonly string[];
  check: readonly DatabaseSqlCheck[];
}

export function restoreTestFor(
  config: DatabaseRules,
  server: string,
  database: string,
): DatabaseTestSettings {
  const rules = rulesFor(config, server, database);
  return {
    excluded: settingOf(rules, "restore_test.excluded") ?? false,
    allowed_errors: settingOf(rules, "restore_test.allowed_errors") ?? [],
    skip_extensions: settingOf(rules, "restore_test.skip_extensions") ?? [],
    check: settingOf(rules, "restore_test.check") ?? [],
  };
}
