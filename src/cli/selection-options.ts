import { Pg321Error } from "../base/errors.ts";
import type { Selection } from "../postgres/archive/selection.ts";
import type { Arguments, Command, Option } from "./command.ts";
import { isSet, textOption, textOptions } from "./command.ts";

function patterns(help: string): Option {
  return { type: "string", multiple: true, value: "PATTERN", help };
}

/** The options of `restore` that select a part of the backup. */
export const SELECTION_OPTIONS: Record<string, Option> = {
  schema: patterns("only these schemas (may be repeated): a name, or a glob"),
  table: patterns(
    "only these tables, with all their parts and partitions (may be repeated): TABLE or SCHEMA.TABLE, names or globs",
  ),
  "exclude-schema": patterns("not these schemas (may be repeated)"),
  "exclude-table": patterns("not these tables, with their parts and partitions (may be repeated)"),
  "exclude-table-data": patterns("these tables without their rows (may be repeated)"),
  "schema-only": {
    type: "boolean",
    help: "everything except rows, positions of sequences and large objects",
  },
  "data-only": {
    type: "boolean",
    help: "only rows, positions of sequences and large objects, into tables that exist",
  },
  "into-schema": {
    type: "string",
    value: "NAME",
    help: "restore copies of the selected tables into this schema, new or empty, beside the live ones",
  },
  "no-indexes": {
    type: "boolean",
    help: "no indexes, except those of keys and of other constraints",
  },
};

export const SELECTION_CONFLICTS: NonNullable<Command["conflicts"]> = [
  { options: ["data-only", "schema-only"], why: "nothing would be left to restore" },
  { options: ["data-only", "no-indexes"], why: "--data-only creates no indexes" },
  { options: ["data-only", "create"], why: "a new database has no tables for the rows" },
  { options: ["data-only", "clean"], why: "--clean would drop the tables that the rows are for" },
  { options: ["schema-only", "clean"], why: "--clean would drop tables whose rows would not come back" },
  {
    options: ["exclude-table-data", "clean"],
    why: "--clean would drop tables whose rows would not come back",
  },
  { options: ["exclude-table-data", "schema-only"], why: "--schema-only restores no rows" },
  { options: ["into-schema", "create"], why: "a new database has no live tables to restore beside" },
  { options: ["into-schema", "clean"], why: "--into-schema replaces nothing" },
  { options: ["into-schema", "create-roles"], why: "its tables belong to the role that restores" },
  { options: ["into-schema", "data-only"], why: "the schema is new and has no tables for the rows" },
];

/** Throws code `usage` for a schema that cannot be created, or without tables to restore into it. */
export function selectionOf(args: Arguments): Selection {
  const intoSchema = textOption(args, "into-schema");
  if (intoSchema !== undefined) refuseSchema(args, intoSchema);
  const only = isSet(args, "data-only") ? "data" : isSet(args, "schema-only") ? "schema" : undefined;
  return {
    schemas: textOptions(args, "schema"),
    tables: textOptions(args, "table"),
    excludeSchemas: textOptions(args, "exclude-schema"),
    excludeTables: textOptions(args, "exclude-table"),
    excludeTableData: textOptions(args, "exclude-table-data"),
    only,
    withoutIndexes: isSet(args, "no-indexes"),
    intoSchema,
  };
}

/** PostgreSQL cuts longer names. */
const NAME_BYTES_MAX = 63;

function refuseSchema(args: Arguments, name: string): void {
  const refuse = (message: string, hint: string) => {
    throw new Pg321Error("usage", `restore: --into-schema ${message}`, { hint });
  };
  if (textOptions(args, "table").length + textOptions(args, "schema").length === 0)
    refuse("needs --table or --schema", "name the tables to look at: --table orders");
  if (/^pg_/.test(name) || name === "information_schema")
    refuse(`${name}: the name is PostgreSQL's own`, "take a name that does not begin with pg_");
  if (Buffer.byteLength(name) > NAME_BYTES_MAX)
    refuse(`${name}: longer than ${NAME_BYTES_MAX} bytes`, "take a shorter name");
}
