import type { DataBlock, TextEdit } from "./data.ts";
import { withTexts } from "./data.ts";
import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { notAnArchive } from "./format.ts";
import type { DataIndex } from "./streams.ts";

/** An archive of rows that has been read to its end. */
export interface SpooledArchive {
  contents: ArchiveContents;
  /** Its bytes up to the data. */
  head: Uint8Array;
  /** The data of its entries, by their ids. */
  blocks: ReadonlyMap<number, DataBlock>;
  /** Its bytes from the first position to the one before the last. */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
  /** The entries to restore. */
  entries: readonly ArchiveEntry[];
  edits: readonly TextEdit[];
}

export interface SchemaArchive {
  /** With `withDataEntries`. */
  contents: ArchiveContents;
  /** Its bytes up to the data. */
  head: Uint8Array;
  edits: readonly TextEdit[];
}

export interface MergedArchive {
  /** The ids of all entries to restore, in the order of the restore, which is the order of the data. */
  only: number[];
  /** The archive, whose first piece is the table of contents. Can be read once. */
  bytes: AsyncIterable<Uint8Array>;
}

/** Kinds of entries with data; the others are statements. */
const WITH_DATA = ["TABLE DATA", "BLOBS"];

/** An entry of an archive of rows, with its id in the merged archive. */
interface Placed {
  id: number;
  entry: ArchiveEntry;
  of: SpooledArchive;
}

/**
 * One archive of a schema's archive and the archives of its rows, as pg_dump makes it of a whole database, for what only
 * one session can do: everything in one transaction, or tables in a given order. `entries`: those to restore, in order, with
 * the ids of the schema's contents; a table of an extension, which the schema does not show, comes after all others.
 */
export async function mergeArchives(
  schema: SchemaArchive,
  entries: readonly ArchiveEntry[],
  archives: readonly SpooledArchive[],
  index: DataIndex,
): Promise<MergedArchive> {
  const placed = placeEntries(schema, archives, index);
  const known = entries.filter(({ id, section }) => section !== "data" || placed.has(id));
  const end = known.findIndex(({ section }) => section === "post-data");
  const ids = known.map(({ id }) => id);
  const shown = new Set(schema.contents.entries.map(({ id }) => id));
  const others = [...placed.keys()].filter((id) => !shown.has(id));
  const only = ids.toSpliced(end < 0 ? ids.length : end, 0, ...others);
  const head = await mergedHead(schema, [...placed.values()]);
  const blocks = only.flatMap((id) => placed.get(id) ?? []);
  return { only, bytes: mergedBytes(head, blocks) };
}

function placeEntries(
  { contents }: SchemaArchive,
  archives: readonly SpooledArchive[],
  index: DataIndex,
): Map<number, Placed> {
  const placed = new Map<number, Placed>();
  let free = Math.max(0, ...contents.entries.map(({ id }) => id)) + 1;
  for (const of of archives)
    for (const entry of of.entries) {
      // Every archive has the properties of the database, too.
      if (entry.section !== "data") continue;
      const known = index.idOf(entry);
      // Large objects may have several entries.
      const id = known === undefined || placed.has(known) ? free++ : known;
      placed.set(id, { id, entry, of });
    }
  return placed;
}

async function mergedHead(schema: SchemaArchive, placed: readonly Placed[]): Promise<Buffer> {
  const { contents, head, edits } = schema;
  const tables = new Map(contents.entries.map(({ id, dependencies }) => [id, dependencies]));
  const edited = Buffer.concat(await Array.fromAsync(withTexts(once(head), edits)));
  const own = contents.entries.filter(({ place }) => place !== undefined).length;
  const count = intBytes(own + placed.length);
  // The texts stand behind it.
  edited.set(count, contents.entriesStart - count.length);
  const data = placed.map((one) => entryBytes(one, tables.get(one.id) ?? []));
  return Buffer.concat([edited, ...(await Promise.all(data))]);
}

/** The entry with another id and dependencies: those of its own archive are of other entries. */
async function entryBytes({ id, entry, of }: Placed, dependencies: readonly number[]): Promise<Uint8Array> {
  if (!entry.place) throw new Error("an entry that was read has no place");
  const [start, end] = entry.place.range;
  const [from, to] = entry.place.dependencies;
  const edits = of.edits.filter(({ range }) => range[0] >= start && range[1] <= end);
  const shifted = edits.map(({ text, range }) => ({
    text,
    range: [range[0] - start, range[1] - start] as const,
  }));
  const texts = await Array.fromAsync(withTexts(once(of.head.subarray(start, from)), shifted));
  const bytes = Buffer.concat(texts);
  bytes.set(intBytes(id), 0);
  const ids = dependencies.map((one) => {
    const text = Buffer.from(String(one));
    return Buffer.concat([intBytes(text.length), text]);
  });
  return Buffer.concat([bytes, ...ids, NO_TEXT, of.head.subarray(to, end)]);
}

async function* mergedBytes(
  head: Uint8Array,
  placed: readonly Placed[],
): AsyncGenerator<Uint8Array, void, undefined> {
  yield head;
  for (const { id, entry, of } of placed) {
    const block = of.blocks.get(entry.id);
    if (!block) {
      if (!WITH_DATA.includes(entry.description)) continue;
      throw notAnArchive(`the data of ${entry.description} ${entry.tag} is not found`);
    }
    yield Buffer.concat([Buffer.of(block.kind), intBytes(id)]);
    yield* of.read(block.start, block.end);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

/** A sign byte, then the least significant byte first. */
function intBytes(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32LE(value, 1);
  return bytes;
}

/** The text that is null: a length of -1. */
const NO_TEXT = Buffer.of(1, 1, 0, 0, 0);
