import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import { DEPENDENT_KINDS } from "../archive/selection.ts";
import type { ObjectName } from "../archive/table-parts.ts";
import { objectOf } from "../archive/table-parts.ts";
import type { Connection } from "../connection.ts";

/** Whether the entries' objects exist in the target, by id; entries that cannot be looked up are not in the map. */
export async function existing(
  target: Connection | undefined,
  entries: readonly ArchiveEntry[],
  byId: ReadonlyMap<number, ArchiveEntry>,
): Promise<ReadonlyMap<number, boolean>> {
  const asked = new Map<number, ObjectName>();
  for (const entry of entries) {
    const object = objectOf(entry, byId);
    if (object) asked.set(entry.id, object);
  }
  if (!target || asked.size === 0) return new Map([...asked.keys()].map((id) => [id, false]));
  const list = JSON.stringify([...asked].map(([id, object]) => ({ id, ...object })));
  const rows = await target.run(
    "look for the objects that a part of the backup needs",
    (sql) => sql<{ id: number; is_there: boolean }[]>`
      select id, case kind
          when 'relation' then to_regclass(name) is not null
          when 'routine' then to_regprocedure(name) is not null
          when 'type' then to_regtype(name) is not null
          when 'extension' then exists (select from pg_extension where extname = name)
          when 'server' then exists (select from pg_foreign_server where srvname = name)
          when 'publication' then exists (select from pg_publication where pubname = name)
          when 'constraint' then exists (select from pg_constraint where conrelid = to_regclass("table") and conname = name)
          when 'trigger' then exists (select from pg_trigger where tgrelid = to_regclass("table") and tgname = name)
          when 'rule' then exists (select from pg_rewrite where ev_class = to_regclass("table") and rulename = name)
          when 'policy' then exists (select from pg_policy where polrelid = to_regclass("table") and polname = name)
        end as is_there
      from json_to_recordset(${list}::text::json) as asked (id int, kind text, name text, "table" text)`,
  );
  return new Map(rows.map(({ id, is_there }) => [id, is_there]));
}

/**
 * Adds the sequences that defaults of the selected tables use and the target lacks, with their positions: those that no
 * table owns are not parts of one. A sequence that is there may serve other tables and stays as it is.
 */
export async function withSequences(
  target: Connection | undefined,
  { entries }: ArchiveContents,
  selected: readonly ArchiveEntry[],
  cuts: ReadonlySet<number>,
): Promise<ArchiveEntry[]> {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const ids = new Set(selected.map(({ id }) => id));
  const sequences = selected
    .filter(({ description }) => description === "TABLE" || description === "DEFAULT")
    .flatMap(({ dependencies }) => dependencies.flatMap((id) => byId.get(id) ?? []))
    .filter(({ id, description }) => description === "SEQUENCE" && !ids.has(id) && !cuts.has(id));
  const exists = await existing(target, sequences, byId);
  const added = new Set(sequences.filter(({ id }) => exists.get(id) === false).map(({ id }) => id));
  if (added.size === 0) return [...selected];
  const isAdded = ({ id, description, dependencies }: ArchiveEntry) =>
    added.has(id) ||
    (!cuts.has(id) &&
      [...DEPENDENT_KINDS, "SEQUENCE SET"].includes(description) &&
      dependencies.some((one) => added.has(one)));
  return entries.filter((entry) => ids.has(entry.id) || isAdded(entry));
}
