import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import { attachedTo, isIndex, isTable } from "../archive/inheritance.ts";
import type { Moved } from "../archive/move/move.ts";
import { patternFor } from "../archive/object-pattern.ts";
import { DEPENDENT_KINDS } from "../archive/selection.ts";
import { entryName, isPart, isRelation, tableOf } from "../archive/table-parts.ts";
import type { Connection } from "../connection.ts";
import { existing } from "./existing.ts";

/** An archive entry that a restore of a selection does not run, although the target needs it to be as it was. */
export interface LeftOut {
  /** As `TRIGGER public.orders touch`. */
  entry: string;
  reason: string;
  /** Its name for `--table`, if that restores it; otherwise null. */
  table: string | null;
  /** The statement that creates it; null if it is restored with `--table`. */
  sql: string | null;
}

/** An object that a selected table or view cannot be created without: a type of a column, a table of a view. */
export interface Need {
  /** As `type public.mood`. */
  name: string;
  /** As `table public.person`. */
  needed_by: string;
  /** Its name for `--table`, if that restores it; otherwise null. */
  table: string | null;
  /** The statement that creates it; null if it is restored with `--table`. */
  sql: string | null;
}

export interface SelectedPlan {
  entries: ArchiveEntry[];
  /** What the selected tables and views need, and neither the selection nor the target has. */
  needs: Need[];
  /** Selected tables and views that the target has already, as `table public.orders`. */
  present: string[];
  /** Parts of the selected objects that need something that neither the selection nor the target has. */
  left_out: LeftOut[];
  /** Objects that depend on the selected ones and do not exist in the target: foreign keys of other tables, views … */
  missing_dependents: LeftOut[];
  /** The selection as tables of another schema. */
  moved?: Moved;
}

/**
 * Completes a selection: takes out the parts that the target cannot take, and looks for dependents that were dropped
 * together with the selected objects. Without `target` nothing but the selection exists. `cuts` are excluded on
 * purpose: views, functions and the like that need one of these are left out too, unless the target has it.
 */
export async function planSelection(
  target: Connection | undefined,
  contents: ArchiveContents,
  selected: readonly ArchiveEntry[],
  cuts: ReadonlySet<number>,
): Promise<SelectedPlan> {
  const byId = new Map(contents.entries.map((entry) => [entry.id, entry]));
  const ids = new Set(selected.map(({ id }) => id));
  const outside = (entry: ArchiveEntry) =>
    entry.dependencies
      .flatMap((id) => (ids.has(id) ? [] : (byId.get(id) ?? [])))
      // A partition's index depends on its parent's only to be attached to it.
      .filter((needed) => !(isIndex(entry) && isIndex(needed)));
  const needed = selected.flatMap((entry) =>
    isOptional(entry) || isRelation(entry) ? outside(entry) : outside(entry).filter(({ id }) => cuts.has(id)),
  );
  const dependents = dependentsOf(contents, ids, byId).filter(({ id }) => !cuts.has(id));
  const tables = dependents.flatMap((entry) => tableOf(entry, byId) ?? []);
  const publications = dependents
    .filter(({ description }) => description === "PUBLICATION TABLE")
    .flatMap(outside);
  const relations = selected.filter(isRelation);
  const exists = await existing(
    target,
    [...relations, ...needed, ...dependents, ...tables, ...publications],
    byId,
  );

  const isLackingOf = (entry: ArchiveEntry) => {
    const lacks = ({ id }: ArchiveEntry) => exists.get(id) === false;
    if (isOptional(entry)) return (one: ArchiveEntry) => gone.has(one.id) || lacks(one);
    // The preflight refuses a table that cannot be created.
    if (isTable(entry)) return () => false;
    return (one: ArchiveEntry) => gone.has(one.id) || (cuts.has(one.id) && lacks(one));
  };
  const left_out: LeftOut[] = [];
  const entries: ArchiveEntry[] = [];
  const gone = new Set<number>();
  for (const entry of selected) {
    const lacking = outside(entry).filter(isLackingOf(entry));
    const isOrphan = isOrphaned(entry, ids, byId, gone);
    if (!isOrphan && lacking.length === 0) {
      entries.push(entry);
      continue;
    }
    ids.delete(entry.id);
    gone.add(entry.id);
    if (!isOrphan) left_out.push(leftOutFor(entry, lacking));
  }
  const missing = dependents.filter((entry) => {
    const table = tableOf(entry, byId);
    if (entry.description === "PUBLICATION TABLE")
      return outside(entry).every(({ id }) => exists.get(id) === true);
    if (table && !ids.has(table.id) && exists.get(table.id) !== true) return false;
    return exists.get(entry.id) === false;
  });
  const present = relations.filter(({ id }) => exists.get(id) === true).map(nameInText);
  const lackingFor = (entry: ArchiveEntry) => outside(entry).filter(({ id }) => exists.get(id) === false);
  const needs = needsOf(contents, entries.filter(isRelation), lackingFor);
  return { entries, needs, present, left_out, missing_dependents: missing.map(dependentText) };
}

/** Whether an entry goes with an object that was left out, such as its comment or an index of a view. */
function isOrphaned(
  entry: ArchiveEntry,
  ids: ReadonlySet<number>,
  byId: ReadonlyMap<number, ArchiveEntry>,
  gone: ReadonlySet<number>,
): boolean {
  const { description, dependencies } = entry;
  if ([...DEPENDENT_KINDS, "INDEX ATTACH"].includes(description))
    return dependencies.some((id) => byId.has(id) && !ids.has(id));
  if (description === "MATERIALIZED VIEW DATA") return dependencies.some((id) => gone.has(id));
  const table = tableOf(entry, byId);
  return table !== undefined && gone.has(table.id);
}

function leftOutFor(entry: ArchiveEntry, lacking: readonly ArchiveEntry[]): LeftOut {
  const names = [...new Set(lacking.map(nameInText))].join(" and ");
  return {
    entry: entryName(entry),
    reason: `it needs ${names}, which the target lacks`,
    table: null,
    sql: entry.definition.trim(),
  };
}

/** Each lacking object once, with the first table or view that needs it, in the archive's order: each can be created. */
function needsOf(
  contents: ArchiveContents,
  relations: readonly ArchiveEntry[],
  lackingFor: (entry: ArchiveEntry) => ArchiveEntry[],
): Need[] {
  const found = new Map<number, Need>();
  const parents = attachedTo(contents);
  for (const relation of relations)
    for (const entry of lackingFor(relation)) {
      if (parents.get(relation.id)?.includes(entry.id)) continue;
      const { table, sql } = dependentText(entry);
      const need = { name: nameInText(entry), needed_by: nameInText(relation), table, sql };
      if (!found.has(entry.id)) found.set(entry.id, need);
    }
  return contents.entries.flatMap(({ id }) => found.get(id) ?? []);
}

function isOptional(entry: ArchiveEntry): boolean {
  return isPart(entry) || entry.description === "PUBLICATION TABLE";
}

function dependentText(entry: ArchiveEntry): LeftOut {
  const isSelectable = isRelation(entry);
  return {
    entry: entryName(entry),
    reason: "it depends on a restored object, and the target lacks it",
    table: isSelectable ? patternFor(undefined, entry.tag) : null,
    sql: isSelectable ? null : entry.definition.trim(),
  };
}

const DEPENDENT_OBJECTS = [
  "FK CONSTRAINT",
  "CONSTRAINT",
  "CHECK CONSTRAINT",
  "INDEX",
  "TRIGGER",
  "RULE",
].concat(...["VIEW", "MATERIALIZED VIEW", "FUNCTION", "PROCEDURE", "PUBLICATION TABLE"]);

/** Unselected entries that depend on selected ones, directly or through each other. */
function dependentsOf(
  { entries }: ArchiveContents,
  ids: ReadonlySet<number>,
  byId: ReadonlyMap<number, ArchiveEntry>,
): ArchiveEntry[] {
  const isObject = (id: number) => {
    const description = byId.get(id)?.description;
    return description !== "SCHEMA" && description !== "PUBLICATION";
  };
  const reached = new Set([...ids].filter(isObject));
  return entries.filter((entry) => {
    if (ids.has(entry.id) || !DEPENDENT_OBJECTS.includes(entry.description)) return false;
    if (!entry.dependencies.some((id) => reached.has(id))) return false;
    reached.add(entry.id);
    return true;
  });
}

/** As `function public.touch()`, `foreign key item_order of table public.item`. */
export function nameInText(entry: ArchiveEntry): string {
  return textOfName(entryName(entry));
}

/** For a person: `view public.totals` of `VIEW public.totals`. */
export function textOfName(name: string): string {
  const [, kind = "", rest = ""] = /^([A-Z ]+) (.*)$/s.exec(name) ?? [];
  return `${kind === "FK CONSTRAINT" ? "foreign key" : kind.toLowerCase()} ${rest}`;
}
