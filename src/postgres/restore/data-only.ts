import { plural } from "../../base/text/amounts.ts";
import type { ArchiveEntry } from "../archive/format.ts";
import { quoteLiteral, quoteQualified, tokensOf } from "../archive/sql-text.ts";
import type { Connection } from "../connection.ts";
import { positionOf } from "./setval.ts";

/** How rows can be restored into tables that exist, and the consequences. */
export interface DataPlan {
  /** In the order of the foreign keys between the tables; without sequences that would be set back. */
  entries: ArchiveEntry[];
  /** Whether that differs from the archive's order, so that pg_restore needs a file to seek in. */
  isReordered: boolean;
  /** Tables that refer to each other, so that several sessions would load them in the wrong order. */
  hasOrder: boolean;
  /** What the tables lack, as `table public.orders`, `column total of table public.orders`. */
  lacking: string[];
  /** Tables that hold rows already, as `public.orders`. */
  filled: string[];
  /** Sentences for the dry run. */
  notes: string[];
}

interface Table {
  id: number;
  is_there: boolean;
  columns: string[];
  may_hold_rows: boolean;
  triggers: string[];
  /** The tables that its foreign keys refer to, quoted. */
  refers_to: string[];
}

/** The most names in one sentence. */
const NAMES_MAX = 5;

/**
 * Plans how the rows of the entries get into tables that exist. The caller decides whether `lacking` and `filled` prevent
 * the restore; `notes` are only for people.
 */
export async function planData(target: Connection, entries: readonly ArchiveEntry[]): Promise<DataPlan> {
  const data = entries.filter(({ description }) => description === "TABLE DATA");
  const tables = await tablesIn(target, data);
  const named = new Map(data.map((entry) => [entry.id, nameOf(entry)]));
  const lacking = data.flatMap((entry) => lackingFor(entry, tables.get(entry.id)));
  const filled: string[] = [];
  for (const { id, is_there, may_hold_rows } of tables.values())
    if (is_there && may_hold_rows && (await holdsRows(target, named.get(id) ?? "")))
      filled.push(plainName(data.find((entry) => entry.id === id)));
  const references = new Map(
    [...tables.values()].map(({ id, refers_to }) => [named.get(id) ?? "", refers_to]),
  );
  const { order, circle } = ordered([...named.values()], references);
  const { sets, notes: sequenceNotes, lackingSequences } = await sequences(target, entries);
  const others = entries.filter(
    ({ description }) => description !== "TABLE DATA" && description !== "SEQUENCE SET",
  );
  const byName = new Map(data.map((entry) => [nameOf(entry), entry]));
  const sorted = order.flatMap((name) => byName.get(name) ?? []);
  const isReordered = sorted.some((entry, i) => entry !== data[i]);
  const hasOrder = [...references].some(([name, to]) => to.some((one) => one !== name && byName.has(one)));
  const triggers = [...tables.values()].flatMap((table) => table.triggers);
  const outside = [...new Set([...references.values()].flat())].filter((name) => !byName.has(name));
  return {
    // The archive's own order, unless foreign keys need another: then pg_restore reads a file.
    entries: isReordered
      ? [...sorted, ...others, ...sets]
      : entries.filter((entry) => entry.description !== "SEQUENCE SET" || sets.includes(entry)),
    ...{ isReordered, hasOrder, filled },
    lacking: [...lacking, ...lackingSequences],
    notes: [
      ...(filled.length > 0
        ? [
            `rows are added to tables that hold rows (${some(filled)}): a row with the same key ends the restore`,
          ]
        : []),
      ...(isReordered
        ? ["tables are filled in the order of their foreign keys, from a file in temp_dir"]
        : []),
      ...(circle.length > 0
        ? [
            `the foreign keys of ${some(circle.map(readable))} form a circle: it works only if they are checked at the end (DEFERRABLE INITIALLY DEFERRED)`,
          ]
        : []),
      ...(outside.length > 0
        ? [`the rows that foreign keys refer to must be in ${some(outside.map(readable))} already`]
        : []),
      ...(triggers.length > 0 ? [`triggers run for each row: ${some(triggers)}`] : []),
      ...sequenceNotes,
    ],
  };
}

/** `"shop"."Order"` as `shop."Order"`. */
function readable(name: string): string {
  return name.replace(/"([a-z_][a-z0-9_]*)"/g, "$1");
}

function some(names: readonly string[]): string {
  const more = names.length - NAMES_MAX;
  return `${names.slice(0, NAMES_MAX).join(", ")}${more > 0 ? ` and ${plural(more, "other")}` : ""}`;
}

function nameOf({ namespace = "", tag }: ArchiveEntry): string {
  return quoteQualified(namespace, tag);
}

function plainName(entry: ArchiveEntry | undefined): string {
  return `${entry?.namespace}.${entry?.tag}`;
}

function lackingFor(entry: ArchiveEntry, table: Table | undefined): string[] {
  const name = plainName(entry);
  if (!table?.is_there) return [`table ${name}`];
  return copiedColumns(entry.copy ?? "")
    .filter((column) => !table.columns.includes(column))
    .map((column) => `column ${column} of table ${name}`);
}

/** The columns of `COPY public.orders (id, "Total") FROM stdin`. */
function copiedColumns(copy: string): string[] {
  const tokens = tokensOf(copy);
  const open = tokens.findIndex(({ value, kind }) => kind === "symbol" && value === "(");
  const close = tokens.findIndex(({ value, kind }) => kind === "symbol" && value === ")");
  if (open < 0) return [];
  return tokens
    .slice(open + 1, close)
    .flatMap(({ kind, value }) => (kind === "word" || kind === "quoted" ? [value] : []));
}

async function tablesIn(
  target: Connection,
  data: readonly ArchiveEntry[],
): Promise<ReadonlyMap<number, Table>> {
  if (data.length === 0) return new Map();
  const asked = JSON.stringify(data.map((entry) => ({ id: entry.id, name: nameOf(entry) })));
  const rows = await target.run(
    "look at the tables for the rows",
    (sql) => sql<Table[]>`
      select a.id, c.oid is not null as is_there,
        coalesce(pg_relation_size(c.oid) > 0 or c.relkind = 'p', false) as may_hold_rows,
        coalesce((select json_agg(attname) from pg_attribute
          where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = ''), '[]') as columns,
        coalesce((select json_agg(format('%I on %s', tgname, c.oid::regclass) order by tgname) from pg_trigger
          where tgrelid = c.oid and not tgisinternal and tgenabled in ('O', 'A') and tgtype & 4 <> 0), '[]') as triggers,
        coalesce((select json_agg('"' || replace(nspname, '"', '""') || '"."' || replace(relname, '"', '""') || '"')
          from pg_constraint k join pg_class r on r.oid = k.confrelid join pg_namespace n on n.oid = r.relnamespace
          where k.conrelid = c.oid and k.contype = 'f' and not k.condeferred), '[]') as refers_to
      from json_to_recordset(${asked}::text::json) as a (id int, name text)
      left join pg_class c on c.oid = to_regclass(a.name)`,
  );
  return new Map(rows.map((row) => [row.id, row]));
}

async function holdsRows(target: Connection, name: string): Promise<boolean> {
  const [row] = await target.run("look for rows", (sql) =>
    sql.unsafe<{ is_filled: boolean }[]>(`select exists (select from ${name}) as is_filled`),
  );
  return row?.is_filled === true;
}

/** The tables so that each comes after those that it refers to, otherwise as given; and those in a circle. */
function ordered(
  names: readonly string[],
  references: ReadonlyMap<string, readonly string[]>,
): { order: string[]; circle: string[] } {
  const order: string[] = [];
  const state = new Map<string, "entered" | "left">();
  const circle = new Set<string>();
  const isAsked = new Set(names);
  const visit = (name: string): void => {
    if (state.has(name) || !isAsked.has(name)) return;
    state.set(name, "entered");
    for (const other of references.get(name) ?? []) {
      if (other !== name && state.get(other) === "entered") circle.add(name).add(other);
      visit(other);
    }
    state.set(name, "left");
    order.push(name);
  };
  for (const name of names) visit(name);
  return { order, circle: [...circle] };
}

/** The entries that set sequences, without those that are further in the target: a sequence is never set back. */
async function sequences(
  target: Connection,
  entries: readonly ArchiveEntry[],
): Promise<{ sets: ArchiveEntry[]; notes: string[]; lackingSequences: string[] }> {
  const all = entries.filter(({ description }) => description === "SEQUENCE SET");
  const asked = all.map((entry) => {
    // In a backup of several streams the value comes later: then a sequence that was used is left alone.
    const { value = null, isCalled = true } = positionOf(entry.definition) ?? {};
    return { id: entry.id, name: nameOf(entry), value, is_called: isCalled };
  });
  if (asked.length === 0) return { sets: [], notes: [], lackingSequences: [] };
  const found = await target.run(
    "look at the sequences",
    (sql) => sql<{ id: number; is_there: boolean; is_further: boolean | null; is_unused: boolean }[]>`
      select a.id, s.seqrelid is not null as is_there,
        case when not has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') then null
          when a.value is null then pg_sequence_last_value(s.seqrelid) is not null
          when not a.is_called and pg_sequence_last_value(s.seqrelid) = a.value::bigint then true
          when s.seqincrement > 0 then pg_sequence_last_value(s.seqrelid) > a.value::bigint
          else pg_sequence_last_value(s.seqrelid) < a.value::bigint end as is_further,
        case when s.seqrelid is null or a.value is null then false
          when not has_sequence_privilege(s.seqrelid, 'SELECT') then false
          else pg_sequence_last_value(s.seqrelid) is null end as is_unused
      from json_to_recordset(${JSON.stringify(asked)}::text::json) as a (id int, name text, value text, is_called boolean)
      left join pg_sequence s on s.seqrelid = to_regclass(a.name)`,
  );
  const byId = new Map(found.map((one) => [one.id, one]));
  const restarted = new Set<number>();
  for (const { id, name, value } of asked)
    if (value !== null && byId.get(id)?.is_unused && (await isRestarted(target, name, value)))
      restarted.add(id);
  const further = all.filter(({ id }) => byId.get(id)?.is_further === true || restarted.has(id));
  const lacking = all.filter(({ id }) => byId.get(id)?.is_there !== true);
  const sets = all.filter((entry) => !further.includes(entry));
  return {
    sets,
    notes: [
      ...(further.length > 0
        ? [
            `sequences that are further than in the backup keep their position: ${some(further.map(plainName))}`,
          ]
        : []),
    ],
    lackingSequences: lacking.map((entry) => `sequence ${plainName(entry)}`),
  };
}

/** Whether a sequence that has not been used since was restarted at a value beyond this one. */
async function isRestarted(target: Connection, name: string, value: string): Promise<boolean> {
  const [row] = await target.run("look at a sequence", (sql) =>
    sql.unsafe<{ is_further: boolean }[]>(
      `select q.last_value <> s.seqstart and
        case when s.seqincrement > 0 then q.last_value > ${value} else q.last_value < ${value} end as is_further
      from ${name} q, pg_sequence s where s.seqrelid = ${quoteLiteral(name)}::regclass`,
    ),
  );
  return row?.is_further === true;
}
