import { createHash } from "node:crypto";
import * as v from "valibot";
import { plural } from "../../base/text/amounts.ts";
import { isForIncludedTables } from "../../config/database/dump-options.ts";
import { schemaPattern, tablePattern } from "../../config/database/table-pattern.ts";
import { textOfName } from "../restore/left-out.ts";

const relation = v.object({ schema: v.string(), name: v.string() });

/** What the config left out of a dump. */
export const leftOutSchema = v.object({
  /** Equal for dumps of the same selection: only their sizes can be compared. */
  key: v.string(),
  /** The keys of the `[[database]]` tables that select schemas and tables, those that were set. */
  settings: v.record(v.string(), v.array(v.string())),
  schema_only: v.boolean(),
  /** Further options of pg_dump. */
  options: v.array(v.string()),
  /** Tables of the database that are not in the dump; there may be more than are listed. */
  tables: v.array(relation),
  tables_omitted: v.number(),
  /** Tables in the dump without their rows. */
  rows_of: v.array(relation),
  rows_of_omitted: v.number(),
  /** Whether large objects, or extensions, are not in the dump. */
  large_objects: v.boolean(),
  extensions: v.boolean(),
  /** Patterns that matched no table or schema. */
  unmatched: v.array(v.string()),
  /**
   * Objects of the dump that cannot be made without relations that are not in it, by pg_dump's description and tag. Missing:
   * none, or a backup of a version that did not record them.
   */
  dependents: v.optional(
    v.array(v.object({ kind: v.string(), schema: v.string(), name: v.string(), needs: v.array(relation) })),
  ),
  dependents_omitted: v.optional(v.number()),
});

export type LeftOutOfDump = v.InferOutput<typeof leftOutSchema>;

/**
 * What the facts of a record say about it, without reading their lists of tables; undefined if nothing was left out, or
 * this version does not understand it.
 */
export function leftOutOf(
  facts: Readonly<Record<string, unknown>> | null | undefined,
): LeftOutOfDump | undefined {
  const result = v.safeParse(leftOutSchema, facts?.["left_out"]);
  return result.success ? result.output : undefined;
}

const KEY_DIGITS = 16;

/** Names that a sentence lists. */
const NAMED_MAX = 3;

/**
 * `without table public.log, without the rows of public.cache`: completes "a backup …". Undefined if nothing is left out.
 */
export function leftOutText(left: LeftOutOfDump | undefined): string | undefined {
  if (left === undefined) return undefined;
  const { tables, tables_omitted, rows_of, rows_of_omitted, schema_only, large_objects, extensions } = left;
  const parts = [
    ...(schema_only ? ["without any rows"] : []),
    ...(tables.length > 0
      ? [
          `without ${tables.length + tables_omitted === 1 ? "table" : "tables"} ${named(tables, tables_omitted)}`,
        ]
      : []),
    ...unnamedParts(left),
    ...(rows_of.length > 0 ? [`without the rows of ${named(rows_of, rows_of_omitted)}`] : []),
    ...(large_objects && !schema_only ? ["without large objects"] : []),
    ...(extensions ? ["without extensions"] : []),
    ...(hasDroppedMore(left)
      ? ["without large objects and other objects of the whole database (--extension)"]
      : []),
    ...left.options.filter((option) => option.startsWith("--no-") && !/blobs|large-objects/.test(option)),
    ...dependentsText(left),
  ];
  return parts.length === 0 ? undefined : parts.join(", ");
}

/** `view public.totals`, `foreign key public.item item_order_fkey`: what cannot be made without what was left out. */
export function dependentNames({ dependents = [] }: LeftOutOfDump): string[] {
  return dependents.map(({ kind, schema, name }) => textOfName(`${kind} ${schema}.${name}`));
}

function dependentsText(left: LeftOutOfDump): string[] {
  const all = dependentNames(left);
  const more = all.slice(NAMED_MAX).length + (left.dependents_omitted ?? 0);
  if (all.length === 0) return more === 0 ? [] : [`so that it cannot restore ${plural(more, "object")}`];
  const names = all.slice(0, NAMED_MAX).join(", ");
  return [`so that it cannot restore ${names}${more === 0 ? "" : ` and ${plural(more, "other")}`}`];
}

/** Patterns that left something out although no table that is named here shows it: functions, views, sequences. */
function unnamedParts({ settings, schema_only, tables, rows_of, unmatched }: LeftOutOfDump): string[] {
  const patternsOf = (key: string, isNamed: (written: string) => boolean) => {
    const patterns = (settings[key] ?? []).filter((one) => !unmatched.includes(one) && !isNamed(one));
    const quoted = patterns.map((one) => `"${one}"`).join(", ");
    return patterns.length === 0 ? [] : [`the objects in ${key} (${quoted})`];
  };
  const isNamedSchema = (written: string) =>
    tables.some(({ schema }) => schemaPattern(written).matches(schema));
  const isNamedTable = (written: string) =>
    tables.some(({ schema, name }) => tablePattern(written).matches(schema, name));
  const included = ["include_schemas", "include_tables"].flatMap((key) =>
    patternsOf(key, () => tables.length > 0),
  );
  return [
    ...included.map((text) => `with only ${text}`),
    ...patternsOf("exclude_schemas", isNamedSchema).map((text) => `without ${text}`),
    ...patternsOf("exclude_tables", isNamedTable).map((text) => `without ${text}`),
    ...patternsOf("exclude_table_data", () => schema_only || rows_of.length > 0).map(
      (text) => `without the rows of ${text}`,
    ),
  ];
}

/** Earlier versions accepted `--extension=` without included tables, and recorded nothing of what pg_dump then drops. */
function hasDroppedMore({ options, settings }: LeftOutOfDump): boolean {
  return settings["include_tables"] === undefined && options.some(isForIncludedTables);
}

function named(relations: LeftOutOfDump["tables"], omitted: number): string {
  const names = relations.slice(0, NAMED_MAX).map(({ schema, name }) => `${schema}.${name}`);
  const more = relations.length - names.length + omitted;
  return more === 0 ? names.join(", ") : `${names.join(", ")} and ${plural(more, "other")}`;
}

export function selectionKey({
  settings,
  schema_only,
  options,
}: Pick<LeftOutOfDump, "settings" | "schema_only" | "options">): string {
  const lists = Object.entries(settings).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const sorted = lists.map(([key, list]) => [key, list.toSorted()]);
  const text = JSON.stringify([sorted, schema_only, options.toSorted()]);
  return createHash("sha256").update(text).digest("hex").slice(0, KEY_DIGITS);
}
