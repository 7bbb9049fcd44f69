import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { INT_BYTES } from "./format.ts";
import { SETTINGS } from "./selection.ts";

/**
 * The data after the table of contents in pg_dump's custom format, as `_PrintTocData` of PostgreSQL's
 * pg_backup_custom.c reads it: for each entry with data its kind and id, then pieces with their lengths, ended by a
 * piece of length 0; each large object has its id before its pieces, ended by an id of 0.
 */
const DATA = 1;
const LARGE_OBJECTS = 3;
const LINE_BREAK = 0x0a;
/** pg_dump writes this after the rows: the end of a COPY, and two empty lines. */
const END_OF_ROWS = Buffer.from("\\.\n\n\n");

/** The data of an entry. */
export interface DataBlock {
  kind: number;
  /** Position in the archive after its kind and id. */
  start: number;
  /** The position after its last byte. */
  end: number;
}

type State = "kind" | "entry" | "large object" | "length" | "piece" | "lost";

/**
 * Counts the rows of each table while the dump passes. Never fails: if it cannot follow the format, or if pg_dump
 * compressed the data, the counts are unknown.
 */
export class RowCounter {
  /** The data that has passed whole, by the entries. */
  readonly blocks = new Map<number, DataBlock>();
  readonly #rows = new Map<number, number>();
  #state: State;
  /** Bytes until the data begins. */
  #skip: number;
  /** Bytes of the number being read: its sign, then the least significant byte first. */
  #number: number[] = [];
  #entry = 0;
  /** Bytes that passed before this chunk. */
  #passed = 0;
  #blockStart = 0;
  #isLargeObject = false;
  #left = 0;
  #lines = 0;
  /** A position in this chunk before which there is no further line break; so no byte is looked at twice. */
  #break = -1;
  /** The last bytes of the rows so far, of which `#tailBytes` are from this entry. */
  readonly #tail = Buffer.alloc(END_OF_ROWS.length);
  #tailBytes = 0;

  constructor({ dataStart, isCompressed }: Pick<ArchiveContents, "dataStart" | "isCompressed">) {
    this.#skip = dataStart;
    this.#state = isCompressed ? "lost" : "kind";
  }

  /** Rows of these tables that have passed; undefined if they could not be counted. */
  rowsOf(entries: readonly Pick<ArchiveEntry, "id" | "description">[]): number | undefined {
    if (this.#state === "lost") return undefined;
    return entries.reduce((sum, { id }) => sum + (this.#rows.get(id) ?? 0), 0);
  }

  pass(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#break = -1;
    let at = Math.min(this.#skip, bytes.length);
    this.#skip -= at;
    while (at < bytes.length && this.#state !== "lost") {
      const before = this.#state;
      if (this.#state === "piece") at = this.#piece(bytes, at);
      else if (this.#state !== "kind" && this.#number.length === 0 && at + INT_BYTES < bytes.length) {
        // pg_dump writes each row as a piece of its own, so that this is nearly as frequent as rows.
        this.#value(bytes.readUInt8(at), bytes.readUInt32LE(at + 1));
        at += 1 + INT_BYTES;
      } else this.#byte(bytes.readUInt8(at++));
      this.#noteBlock(before, this.#passed + at);
    }
    this.#passed += bytes.length;
  }

  #noteBlock(before: State, position: number): void {
    if (before === this.#state) return;
    if (before === "entry") this.#blockStart = position;
    else if (before !== "kind" && this.#state === "kind") {
      const kind = this.#isLargeObject ? LARGE_OBJECTS : DATA;
      this.blocks.set(this.#entry, { kind, start: this.#blockStart, end: position });
    }
  }

  #byte(byte: number): void {
    if (this.#state === "kind") {
      this.#isLargeObject = byte === LARGE_OBJECTS;
      this.#state = byte === DATA || byte === LARGE_OBJECTS ? "entry" : "lost";
      return;
    }
    this.#number.push(byte);
    if (this.#number.length <= INT_BYTES) return;
    const [sign = 0, ...rest] = this.#number;
    const value = rest.reduceRight((sum, one) => sum * 256 + one, 0);
    this.#number = [];
    this.#value(sign, value);
  }

  #value(sign: number, value: number): void {
    if (sign === 0) this.#take(value);
    else this.#state = "lost";
  }

  #take(value: number): void {
    if (this.#state === "entry") {
      this.#entry = value;
      this.#state = this.#isLargeObject ? "large object" : "length";
    } else if (this.#state === "large object") this.#state = value === 0 ? "kind" : "length";
    else if (value > 0) {
      this.#left = value;
      this.#state = "piece";
    } else if (this.#isLargeObject) this.#state = "large object";
    else this.#endTable();
  }

  #piece(bytes: Buffer, start: number): number {
    const end = Math.min(bytes.length, start + this.#left);
    this.#left -= end - start;
    if (this.#left === 0) this.#state = "length";
    if (this.#isLargeObject) return end;
    for (let at = start; at < end; at = this.#break + 1) {
      if (this.#break < at) this.#break = nextBreak(bytes, at);
      if (this.#break < end) this.#lines++;
    }
    this.#keepTail(bytes, start, end);
    return end;
  }

  /** Without a new buffer for each row. */
  #keepTail(bytes: Buffer, start: number, end: number): void {
    const size = this.#tail.length;
    const added = Math.min(size, end - start);
    this.#tail.copyWithin(0, added);
    bytes.copy(this.#tail, size - added, end - added, end);
    this.#tailBytes = Math.min(size, this.#tailBytes + added);
  }

  #endTable(): void {
    const isEnded = this.#tailBytes === this.#tail.length && this.#tail.equals(END_OF_ROWS);
    this.#rows.set(this.#entry, this.#lines - (isEnded ? 3 : 0));
    this.#lines = 0;
    this.#tailBytes = 0;
    this.#state = "kind";
  }
}

function nextBreak(bytes: Buffer, at: number): number {
  const found = bytes.indexOf(LINE_BREAK, at);
  return found < 0 ? bytes.length : found;
}

/**
 * Passes a dump on without the drop statements of some entries, which pg_restore would run although PostgreSQL
 * refuses them and the objects are dropped together with others. The first piece must hold the whole table of
 * contents, like that of `openArchive`; a dump from a pipe contains no positions that would change. Not for entries
 * with an owner: without a drop statement pg_restore does not set the owner.
 */
export async function* withoutDrops(
  dump: AsyncIterable<Uint8Array>,
  entries: readonly Pick<ArchiveEntry, "dropRange">[],
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* withTexts(
    dump,
    entries.map(({ dropRange }) => ({ range: dropRange, text: "" })),
  );
}

/**
 * Passes the archive of a schema on so that pg_restore only drops its objects: with a comment in place of what creates
 * them, and without the drop statements of `needless`. As for `withoutDrops`, the first piece must hold the whole table of
 * contents.
 */
export async function* onlyDrops(
  dump: AsyncIterable<Uint8Array>,
  { entries }: ArchiveContents,
  needless: readonly Pick<ArchiveEntry, "dropRange">[],
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* withTexts(dump, [
    ...needless.map(({ dropRange }) => ({ range: dropRange, text: "" })),
    ...entries.flatMap(({ description, definition, ranges }) => {
      // pg_restore insists on the settings of the dump's text, and drops nothing that has no definition.
      if (!ranges || SETTINGS.includes(description)) return [];
      const text = definition === "" ? "" : "--\n";
      return [
        { range: ranges.definition, text },
        { range: ranges.owner, text: "" },
      ];
    }),
  ]);
}

/** A text of the table of contents to replace, at its position with its length field. */
export interface TextEdit {
  range: readonly [number, number];
  text: string;
}

/** Passes a dump on with other texts in its table of contents, which the first piece must hold whole. */
export async function* withTexts(
  dump: AsyncIterable<Uint8Array>,
  edits: readonly TextEdit[],
): AsyncGenerator<Uint8Array, void, undefined> {
  const sorted = edits.toSorted((one, other) => one.range[0] - other.range[0]);
  let isFirst = true;
  for await (const chunk of dump) {
    if (!isFirst) {
      yield chunk;
      continue;
    }
    isFirst = false;
    let copied = 0;
    const pieces: Uint8Array[] = [];
    for (const { range, text } of sorted) {
      pieces.push(chunk.subarray(copied, range[0]), encoded(text));
      copied = range[1];
    }
    yield Buffer.concat([...pieces, chunk.subarray(copied)]);
  }
}

/** A sign byte and the length, the least significant byte first, and the text. */
function encoded(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(1 + INT_BYTES);
  length.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([length, bytes]);
}
