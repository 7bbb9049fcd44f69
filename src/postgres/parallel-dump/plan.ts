import type { ArchiveEntry } from "../archive/format.ts";
import type { ExtensionData } from "../counts/streams.ts";
import type { Relation } from "./patterns.ts";
import { patternsFor } from "./patterns.ts";

/** A relation of the database as the snapshot shows it. */
export interface SnapshotRelation extends Relation {
  oid: number;
  /** The file of its data; 0: none. */
  filenode: number;
  /**
   * Of a sequence, the oid of the table that it is dumped with, because the table owns it; null: none, or one of the two
   * belongs to an extension.
   */
  owner: number | null;
  /** The extension that it belongs to. */
  extension?: string;
}

/** One stream of the data: what one pg_dump dumps. */
export interface DataTask {
  /** Selects it, beside `--section=data`. */
  options: string[];
  /** The entries that its table of contents must have, as `entryKey` names them. */
  entries: string[];
  /** What it weighs against the others. */
  bytes: number;
  /** Its contents in errors: `public.a, public.b and 7 more`. */
  contents: string;
}

export interface PlanInput {
  /** The data entries of a dump of the whole database. */
  entries: readonly ArchiveEntry[];
  /** All tables and sequences, of which the dump contains some. */
  relations: readonly SnapshotRelation[];
  /** Bytes of tables on the server's disk by their oids. */
  sizes: ReadonlyMap<number, number>;
  /** Bytes of all large objects. */
  largeObjectBytes: number;
  jobs: number;
  /** Smaller tables are grouped to about this size; default: `GROUP_BYTES_MIN`. */
  groupBytesMin?: number;
}

/** A pg_dump reads the whole system catalog before its first byte; in that time another one dumps about this much. */
const GROUP_BYTES_MIN = 16 * 1024 * 1024;
/** The same for each relation in the catalog. */
const START_BYTES_PER_RELATION = 64 * 1024;
/** Groups for each job, so that the jobs end at about the same time. */
const GROUPS_PER_JOB = 4;
/** The part of a table's cost that does not depend on its size: it is looked up, locked and described. */
const BYTES_PER_TABLE = 128 * 1024;
/** The names of one task are arguments of a process, whose total size is limited. */
const NAMES_PER_TASK = 8_000;

/** Tables of a stream that an error names. */
const NAMES_SHOWN_MAX = 3;

const TABLE_DATA = "TABLE DATA";
const SEQUENCE_SET = "SEQUENCE SET";
/** Entries that every archive has. */
const OF_EVERY_ARCHIVE = ["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"];

/** The data entries of an archive: every one must be in exactly one task. */
export function dataEntries(entries: readonly ArchiveEntry[]): ArchiveEntry[] {
  return entries.filter(({ description }) => !OF_EVERY_ARCHIVE.includes(description));
}

export function entryKey({ description, namespace, tag }: ArchiveEntry): string {
  return JSON.stringify([description, namespace ?? null, tag]);
}

function isOfLargeObjects({ description, tag }: ArchiveEntry): boolean {
  if (description === TABLE_DATA || description === SEQUENCE_SET) return false;
  return /^BLOBS?( METADATA)?$/.test(description) || tag.startsWith("LARGE OBJECT");
}

/** The tables and sequences of extensions among the data entries: the archives do not say what they belong to. */
export function extensionData({
  entries,
  relations,
}: Pick<PlanInput, "entries" | "relations">): ExtensionData[] {
  const dumped = new Set(entries.map(({ namespace, tag }) => JSON.stringify([namespace ?? "", tag])));
  return relations.flatMap(({ schema, name, extension }) =>
    extension !== undefined && dumped.has(JSON.stringify([schema, name]))
      ? [{ schema, name, extension }]
      : [],
  );
}

/** Something that is dumped as a whole. */
interface Unit {
  include: Relation[];
  exclude: Relation[];
  entries: ArchiveEntry[];
  bytes: number;
  hasLargeObjects: boolean;
}

/**
 * Deals the entries to tasks, in the order in which they should begin: first the one with the sequences that belong to no
 * table, then by size, the largest first. Returns undefined if there is an entry of which it is unknown how to select it.
 */
export function planTasks(input: PlanInput): DataTask[] | undefined {
  const units = unitsOf(input);
  if (!units) return undefined;
  const { tables, sequences, largeObjects } = units;
  const all = [...tables, ...(largeObjects ? [largeObjects] : [])];
  const total = all.reduce((sum, { bytes }) => sum + bytes, 0);
  const groupBytes = groupBytesFor(input, total);
  const large = all.filter(({ bytes }) => bytes >= groupBytes);
  const groups = grouped(
    all.filter(({ bytes }) => bytes < groupBytes),
    groupBytes,
  );
  const bySize = [...large, ...groups].sort((a, b) => b.bytes - a.bytes);
  // The smallest group takes the sequences along; it must not grow into the largest task.
  const smallest = groups.length > 0 ? bySize.pop() : undefined;
  const ofSequences = chunked(sequences);
  const fewest = ofSequences.pop();
  const both = [fewest, smallest].filter((unit) => unit !== undefined);
  const first = fitsOneTask(both) ? [merged(both)] : both;
  return [...first, ...ofSequences, ...bySize].map(taskOf);
}

function namesOf({ include, exclude }: Unit): number {
  return include.length + exclude.length;
}

function fitsOneTask(units: readonly Unit[]): boolean {
  return units.length > 0 && units.reduce((sum, unit) => sum + namesOf(unit), 0) <= NAMES_PER_TASK;
}

function groupBytesFor(
  { relations, jobs, groupBytesMin = GROUP_BYTES_MIN }: PlanInput,
  total: number,
): number {
  const share = total / Math.max(1, jobs);
  const worthItsStart = Math.min(groupBytesMin, START_BYTES_PER_RELATION) * relations.length + groupBytesMin;
  return Math.max(groupBytesMin, share / GROUPS_PER_JOB, Math.min(share, worthItsStart));
}

function unitsOf({ entries, relations, sizes, largeObjectBytes }: PlanInput) {
  const keyOf = ({ schema, name }: Relation) => JSON.stringify([schema, name]);
  const known = new Map(relations.map((relation) => [keyOf(relation), relation]));
  const relationOf = ({ namespace, tag }: ArchiveEntry) =>
    known.get(keyOf({ schema: namespace ?? "", name: tag }));
  const byOid = new Map(relations.map((relation) => [relation.oid, relation]));
  const owned = Map.groupBy(
    relations.filter(({ owner }) => owner !== null),
    ({ owner }) => owner as number,
  );
  const setOf = new Map<number, ArchiveEntry>();
  const tables: Unit[] = [];
  const largeObjectEntries: ArchiveEntry[] = [];
  for (const entry of entries) {
    const relation = relationOf(entry);
    if (isOfLargeObjects(entry)) largeObjectEntries.push(entry);
    else if (entry.description === SEQUENCE_SET && relation) setOf.set(relation.oid, entry);
    else if (entry.description !== TABLE_DATA || !relation) return undefined;
  }
  for (const entry of entries) {
    const table = relationOf(entry);
    if (entry.description !== TABLE_DATA || !table) continue;
    // pg_dump dumps the sequences of a table with it.
    const withIt = owned.get(table.oid) ?? [];
    const sets = withIt.flatMap(({ oid }) => setOf.get(oid) ?? []);
    const exclude = withIt.filter(({ oid }) => !setOf.has(oid));
    const bytes = (sizes.get(table.oid) ?? 0) + BYTES_PER_TABLE;
    tables.push({ include: [table], exclude, entries: [entry, ...sets], bytes, hasLargeObjects: false });
    for (const { oid } of withIt) setOf.delete(oid);
  }
  const sequences: Unit[] = [];
  for (const [oid, entry] of setOf) {
    const sequence = byOid.get(oid) as SnapshotRelation;
    const owner = byOid.get(sequence.owner ?? 0);
    if (!owner) {
      sequences.push({
        include: [sequence],
        exclude: [],
        entries: [entry],
        bytes: 0,
        hasLargeObjects: false,
      });
      continue;
    }
    // The table has no data in the dump, but the sequence of an identity column is dumped only with its table.
    const withIt = owned.get(owner.oid) ?? [];
    const exclude = [owner, ...withIt.filter((one) => !setOf.has(one.oid))];
    const sets = withIt.flatMap((one) => setOf.get(one.oid) ?? []);
    sequences.push({ include: [owner], exclude, entries: sets, bytes: 0, hasLargeObjects: false });
    for (const one of withIt) if (one.oid !== oid) setOf.delete(one.oid);
  }
  const largeObjects: Unit | undefined =
    largeObjectEntries.length === 0
      ? undefined
      : {
          ...{ include: [], exclude: [], entries: largeObjectEntries },
          ...{ bytes: largeObjectBytes + BYTES_PER_TABLE, hasLargeObjects: true },
        };
  return { tables, sequences, largeObjects };
}

/** Groups of about `groupBytes`, with a limited number of names. */
function grouped(units: readonly Unit[], groupBytes: number): Unit[] {
  const groups: Unit[][] = [];
  let [bytes, names] = [Number.POSITIVE_INFINITY, 0];
  for (const unit of units.toSorted((a, b) => b.bytes - a.bytes)) {
    if (bytes + unit.bytes > groupBytes || names + namesOf(unit) > NAMES_PER_TASK) {
      groups.push([]);
      [bytes, names] = [0, 0];
    }
    groups.at(-1)?.push(unit);
    bytes += unit.bytes;
    names += namesOf(unit);
  }
  return groups.map(merged);
}

/** Sequences weigh nothing, but their names are limited too. */
function chunked(units: readonly Unit[]): Unit[] {
  return grouped(units, 0);
}

function merged(units: readonly Unit[]): Unit {
  return {
    include: units.flatMap(({ include }) => include),
    exclude: units.flatMap(({ exclude }) => exclude),
    entries: units.flatMap(({ entries }) => entries),
    bytes: units.reduce((sum, { bytes }) => sum + bytes, 0),
    hasLargeObjects: units.some(({ hasLargeObjects }) => hasLargeObjects),
  };
}

function taskOf({ include, exclude, entries, bytes, hasLargeObjects }: Unit): DataTask {
  const without = include.length > 0 ? patternsFor(unique(exclude)) : ["*.*"];
  return {
    options: [
      ...patternsFor(unique(include)).map((pattern) => `--table=${pattern}`),
      ...without.map((pattern) => `--exclude-table-data=${pattern}`),
      ...(hasLargeObjects ? ["--blobs"] : []),
    ],
    entries: entries.map(entryKey),
    bytes,
    contents: contentsText(include, hasLargeObjects),
  };
}

function contentsText(relations: readonly Relation[], hasLargeObjects: boolean): string {
  const names = [
    ...(hasLargeObjects ? ["large objects"] : []),
    ...relations.map(({ schema, name }) => `${schema}.${name}`),
  ];
  const more = names.length - NAMES_SHOWN_MAX;
  return names.slice(0, NAMES_SHOWN_MAX).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function unique(relations: readonly Relation[]): Relation[] {
  return [
    ...new Map(
      relations.map((relation) => [JSON.stringify([relation.schema, relation.name]), relation]),
    ).values(),
  ];
}
