import { Pg321Error } from "../../base/errors.ts";
import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import type { Moved } from "../archive/move/move.ts";
import { moveInto } from "../archive/move/move.ts";
import { tablePattern } from "../archive/object-pattern.ts";
import type { Selection } from "../archive/selection.ts";
import { isTableKind, meaningOf } from "../archive/selection.ts";
import { quoteIdentifier } from "../archive/sql-text.ts";
import type { Connection } from "../connection.ts";
import type { SelectedPlan } from "./left-out.ts";
import { planSelection } from "./left-out.ts";

/** A plan that restores tables into another schema of the target, beside the live ones. */
export interface MovedPlan extends SelectedPlan {
  moved: Moved;
}

/** Throws code `usage` if no table is selected. */
export async function planMove(
  target: Connection,
  contents: ArchiveContents,
  selected: readonly ArchiveEntry[],
  { selection, schema }: { selection: Selection; schema: string },
): Promise<MovedPlan> {
  const moved = moveInto(contents, selected, schema);
  const ids = new Set(moved.entries.map(({ id }) => id));
  if (![...moved.entries, ...moved.refused.map(({ entry }) => entry)].some(isPlainTable))
    throw new Pg321Error("usage", `no table is selected for schema "${schema}"`, {
      hint: "--into-schema restores tables only, no views, sequences and foreign tables",
    });
  const originals = selected.filter(({ id }) => ids.has(id));
  const plan = await planSelection(target, contents, originals, new Set());
  const kept = new Set(plan.entries.map(({ id }) => id));
  const entries = moved.entries.filter(({ id }) => kept.has(id));
  return {
    ...plan,
    ...{ entries, present: [], missing_dependents: [] },
    // The sequences of defaults, which stay behind.
    needs: plan.needs.filter(({ name }) => !name.startsWith("sequence ")),
    moved: { ...moved, entries, refused: [...moved.refused, ...namedOthers(selected, selection)] },
  };
}

function isPlainTable({ description }: ArchiveEntry): boolean {
  return description === "TABLE";
}

/** Views and the like that are selected by their very name. */
function namedOthers(selected: readonly ArchiveEntry[], { tables }: Selection): Moved["refused"] {
  return tables.map(tablePattern).flatMap((pattern) => {
    const isMatch = meaningOf(pattern, selected);
    const found = selected.filter((entry) => isTableKind(entry) && isMatch(entry));
    const [entry] = found;
    if (!pattern.isName || !entry || found.some(isPlainTable)) return [];
    return [{ entry, reason: "it is not a table" }];
  });
}

/** Whether a schema of the target exists, and holds anything. */
export async function schemaState(
  target: Connection,
  schema: string,
): Promise<{ exists: boolean; isEmpty: boolean; mayCreate: boolean }> {
  const [row] = await target.run(
    "look at the schema",
    (sql) => sql<{ exists: boolean; is_empty: boolean; may_create: boolean }[]>`
      select n.oid is not null as exists,
        not exists (select from pg_class where relnamespace = n.oid) and not exists (select from pg_type where typnamespace = n.oid)
          and not exists (select from pg_proc where pronamespace = n.oid) as is_empty,
        case when n.oid is null then has_database_privilege(current_database(), 'CREATE')
          else has_schema_privilege(n.oid, 'CREATE') end as may_create
      from (select to_regnamespace(${quoteIdentifier(schema)})::oid as oid) n`,
  );
  return {
    exists: row?.exists === true,
    isEmpty: row?.is_empty === true,
    mayCreate: row?.may_create === true,
  };
}
