import * as v from "valibot";
import { cron } from "../cron.ts";
import { databasePattern } from "../database-pattern.ts";
import { compressionSchema } from "../schema/compression.ts";
import { COUNTING_RULES, KEEP_MAX } from "../schema/keep.ts";
import { boolean, databaseNames, integer, type Leaf, leaf } from "../schema/leaf.ts";
import { allowedError, checkSchema } from "../schema/restore-test.ts";
import { NAME } from "../schema/server.ts";
import { list, rule, table } from "../schema/table.ts";
import { isTable } from "../schema/values.ts";
import type { KeepConfig } from "../storage-config.ts";
import type { DatabaseConfig, DatabaseRestoreTest } from "./config.ts";
import { dumpOptionProblem, isForIncludedTables, WITHOUT_INCLUDED_TABLES } from "./dump-options.ts";
import { HOOK_KEYS } from "./hooks.ts";
import { schemaPattern, tablePattern } from "./table-pattern.ts";

const JOBS_MAX = 64;

const schemas = patterns(
  'the name of a schema, a glob of names, "Name" in double quotes, or =NAME',
  schemaPattern,
  'an array such as ["app", "shop_*"]',
);
const tables = patterns(
  'the name of a table or SCHEMA.TABLE, globs of these, "Name" in double quotes, or =SCHEMA.TABLE',
  tablePattern,
  'an array such as ["public.log_*"]',
);

function patterns(expected: string, parse: (written: string) => unknown, array: string): Leaf<string[]> {
  const item = leaf(expected, (value) => {
    if (typeof value !== "string" || /[\u0000-\u001f\u007f]/.test(value)) return undefined;
    try {
      parse(value);
      return value;
    } catch {
      return undefined;
    }
  });
  return list(item, array);
}

/** Unlike the `keep` of a storage it has no default for days: it replaces them. */
const keep = v.pipe(
  table("the keep table of a [[database]]", {
    days: integer(1, KEEP_MAX),
    ...Object.fromEntries(COUNTING_RULES.map((name) => [name, v.optional(integer(1, KEEP_MAX))])),
  }),
  v.transform((given): KeepConfig => {
    const { days, last, daily, weekly, monthly, yearly } = given as KeepConfig;
    return { days, last, daily, weekly, monthly, yearly };
  }),
);

const restoreTest = v.pipe(
  table("the restore_test table of a [[database]]", {
    excluded: v.optional(boolean()),
    allowed_errors: v.optional(list(allowedError, 'an array such as ["*plpython3u*"]')),
    skip_extensions: v.optional(
      list(
        leaf("the name of an extension", (value) =>
          typeof value === "string" && /^[^\u0000-\u001f]+$/.test(value) ? value : undefined,
        ),
        'an array such as ["timescaledb"]',
      ),
    ),
    check: v.optional(checkSchema),
  }),
  v.transform(
    ({ excluded, allowed_errors, skip_extensions, check }): DatabaseRestoreTest => ({
      ...{ excluded, allowed_errors, skip_extensions },
      check: check?.map(({ databases: _, ...one }) => one),
    }),
  ),
);

/** One `[[database]]` table. */
const databaseSchema = v.pipe(
  table("a [[database]] table", {
    server: v.optional(NAME),
    name: databaseNames,
    include_schemas: v.optional(schemas),
    exclude_schemas: v.optional(schemas),
    include_tables: v.optional(tables),
    exclude_tables: v.optional(tables),
    exclude_table_data: v.optional(tables),
    schema_only: v.optional(boolean()),
    compression: v.optional(compressionSchema),
    jobs: v.optional(integer(1, JOBS_MAX)),
    storages: v.optional(list(NAME, 'an array of names of storages, such as ["disk", "r2"]')),
    schedule: v.optional(cron()),
    keep: v.optional(keep),
    restore_test: v.optional(restoreTest),
    pg_dump_options: v.optional(
      list(
        leaf("an option of pg_dump", (value) => (typeof value === "string" ? value : undefined)),
        'an array such as ["--no-comments"]',
      ),
    ),
    ...HOOK_KEYS,
  }),
  rule(({ include_schemas, include_tables, storages, pg_dump_options }, report) => {
    if (include_schemas !== undefined && include_tables !== undefined)
      report(["include_tables"], "found beside include_schemas, expected one of them");
    if (Array.isArray(storages) && storages.length === 0)
      report(["storages"], "found an empty array, expected at least one storage");
    for (const [index, option] of Array.isArray(pg_dump_options) ? pg_dump_options.entries() : []) {
      const problem = typeof option === "string" ? dumpOptionProblem(option) : undefined;
      if (problem !== undefined) report(["pg_dump_options", index], problem);
      else if (include_tables === undefined && typeof option === "string" && isForIncludedTables(option))
        report(["pg_dump_options", index], `${option} is refused: ${WITHOUT_INCLUDED_TABLES}`);
    }
  }),
  v.transform(
    (given): DatabaseConfig => ({
      server: given.server,
      name: given.name,
      include_schemas: given.include_schemas,
      exclude_schemas: given.exclude_schemas,
      include_tables: given.include_tables,
      exclude_tables: given.exclude_tables,
      exclude_table_data: given.exclude_table_data,
      schema_only: given.schema_only,
      compression: given.compression,
      jobs: given.jobs,
      storages: given.storages,
      schedule: given.schedule,
      keep: given.keep,
      restore_test: given.restore_test,
      pg_dump_options: given.pg_dump_options,
      pre_backup: given.pre_backup,
      post_backup: given.post_backup,
      on_failure: given.on_failure,
      lines: {},
    }),
  ),
);

/** All `[[database]]` tables. */
export const databasesSchema = v.pipe(
  v.unknown(),
  v.check(Array.isArray, "expected [[database]] tables, each with a name"),
  v.array(databaseSchema),
  rule((given, report) => {
    const seen = new Set<string>();
    for (const [index, entry] of Object.values(given).entries()) {
      if (!isTable(entry) || typeof entry["name"] !== "string") continue;
      const identity = identityOf({ server: entry["server"], name: entry["name"] });
      if (identity === undefined) continue;
      if (seen.has(identity))
        report(
          [index, "name"],
          `found the databases of another [[database]] table: put all keys into one table`,
        );
      seen.add(identity);
    }
  }),
);

/** Equal for tables that match the same databases by the same name. */
function identityOf({ server, name }: { server: unknown; name: string }): string | undefined {
  try {
    const pattern = databasePattern(name);
    return JSON.stringify([server ?? null, pattern.name ?? null, pattern.name === undefined ? name : null]);
  } catch {
    return undefined;
  }
}
