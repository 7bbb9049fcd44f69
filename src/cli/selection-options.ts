import type { Selection } from "../postgres/archive/selection.ts";
import type { Arguments, Command, Option } from "./command.ts";
import { isSet, textOptions } from "./command.ts";

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
    help: "only rows and positions of sequences, into tables that exist",
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
];

export function selectionOf(args: Arguments): Selection {
  const only = isSet(args, "data-only") ? "data" : isSet(args, "schema-only") ? "schema" : undefined;
  return {
    schemas: textOptions(args, "schema"),
    tables: textOptions(args, "table"),
    excludeSchemas: textOptions(args, "exclude-schema"),
    excludeTables: textOptions(args, "exclude-table"),
    excludeTableData: textOptions(args, "exclude-table-data"),
    only,
    withoutIndexes: isSet(args, "no-indexes"),
  };
}
