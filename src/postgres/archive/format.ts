import { Pg321Error } from "../../base/errors.ts";

/**
 * The header and the table of contents of pg_dump's custom format, as `ReadHead` and `ReadToc` of PostgreSQL's
 * pg_backup_archiver.c read them. (`pg_restore --list` prints the same without quoting, so names with spaces would
 * be ambiguous.)
 */
export interface ArchiveEntry {
  /** Its number in this archive, counting from 1. */
  id: number;
  /** Its kind: `TABLE`, `TABLE DATA`, `ACL`, `DATABASE PROPERTIES`. */
  description: string;
  /** Its name; `TABLE name` if it belongs to another object. */
  tag: string;
  namespace: string | undefined;
  /** Undefined if it belongs to no section itself but to that of the entry before it, such as a comment. */
  section?: Section | undefined;
  owner: string | undefined;
  tablespace: string | undefined;
  /** The statements that create it, with a line break or semicolon at the end; empty for data. */
  definition: string;
  /** The statement that drops it; a comment or empty if it is dropped with another object. */
  drop: string;
  /**
   * Position of that statement and its length field in the archive: from the first byte to the one after the last.
   */
  dropRange: readonly [number, number];
  /**
   * The COPY statement of a table's rows; empty for anything else, and if the rows are INSERT statements. Undefined, like
   * `ranges`, if the entry is in none of the archives that have been read.
   */
  copy?: string;
  /** The positions of other texts, in the same way. */
  ranges?: Readonly<Record<"definition" | "copy" | "namespace" | "owner", readonly [number, number]>>;
  /** The ids of the entries that it depends on. */
  dependencies: readonly number[];
  /** Where it stands in the archive, and in it the list of what it depends on; undefined like `ranges`. */
  place?: Readonly<Record<"range" | "dependencies", readonly [number, number]>>;
}

export type Section = "pre-data" | "data" | "post-data";

export interface ArchiveContents {
  /** `1.14`. */
  format: string;
  /** The name of the database that was dumped. */
  database: string;
  /** Versions as reported by the server and pg_dump: `15.14 (Debian 15.14-0+deb12u1)`. */
  serverVersion: string;
  pgDumpVersion: string;
  entries: ArchiveEntry[];
  /** Whether the data is compressed by pg_dump itself. */
  isCompressed: boolean;
  /** Where the entries begin: after their number. */
  entriesStart: number;
  /** Where the table of contents ends and the data begins. */
  dataStart: number;
}

/** The numbers of the sections in an archive; 1 is none. */
const SECTIONS: Readonly<Record<number, Section>> = { 2: "pre-data", 3: "data", 4: "post-data" };

const MAGIC = "PGDMP";
const CUSTOM_FORMAT = 1;
/** The same on every platform that PostgreSQL runs on today. */
export const INT_BYTES = 4;
const OFFSET_BYTES = 8;
/** Written by PostgreSQL 10. A format newer than 1.16 (PostgreSQL 17) is read as if it were 1.16. */
const MINOR_MIN = 13;

/** Undefined if the bytes end inside the table of contents. */
export function parseContents(bytes: Uint8Array): ArchiveContents | undefined {
  try {
    return readContents(new Reader(bytes));
  } catch (error) {
    if (error instanceof EndOfBytes) return undefined;
    throw error;
  }
}

function readContents(reader: Reader): ArchiveContents {
  if (reader.ascii(MAGIC.length) !== MAGIC) throw notAnArchive("it does not begin with pg_dump's signature");
  const [major, minor] = [reader.byte(), reader.byte()];
  reader.byte();
  const [intBytes, offsetBytes] = [reader.byte(), reader.byte()];
  const formatCode = reader.byte();
  if (major !== 1 || minor < MINOR_MIN || formatCode !== CUSTOM_FORMAT) {
    throw notAnArchive(`it is format ${major}.${minor}, kind ${formatCode}`);
  }
  if (intBytes !== INT_BYTES || offsetBytes !== OFFSET_BYTES)
    throw notAnArchive("its numbers have an unknown size");
  // The compression: a byte with the method since 1.15, a number with the level before.
  const isCompressed = (minor >= 15 ? reader.byte() : reader.int()) !== 0;
  for (let i = 0; i < 7; i++) reader.int();
  const database = reader.text() ?? "";
  const serverVersion = reader.text() ?? "";
  const pgDumpVersion = reader.text() ?? "";
  const count = reader.int();
  if (count < 0) throw notAnArchive("its table of contents is damaged");
  const entriesStart = reader.position;
  const entries = Array.from({ length: count }, () => readEntry(reader, minor));
  const format = `${major}.${minor}`;
  return {
    ...{ format, database, serverVersion, pgDumpVersion, entries, isCompressed, entriesStart },
    dataStart: reader.position,
  };
}

function readEntry(reader: Reader, minor: number): ArchiveEntry {
  const start = reader.position;
  const id = reader.int();
  reader.int(); // whether it has data
  reader.text(); // oid of its catalog
  reader.text(); // oid
  const tag = reader.text() ?? "";
  const description = reader.text() ?? "";
  const section = SECTIONS[reader.int()];
  const [definition = "", definitionRange] = reader.placed();
  const [drop = "", dropRange] = reader.placed();
  const [copy = "", copyRange] = reader.placed();
  const [namespaceText, namespaceRange] = reader.placed();
  const namespace = namespaceText || undefined;
  const tablespace = reader.text() || undefined;
  if (minor >= 14) reader.text(); // table access method
  if (minor >= 16) reader.int(); // kind of relation
  const [ownerText, ownerRange] = reader.placed();
  const owner = ownerText || undefined;
  reader.text(); // with oids
  const dependencies: number[] = [];
  const dependenciesStart = reader.position;
  for (let text = reader.text(); text !== undefined; text = reader.text()) dependencies.push(Number(text));
  const dependenciesEnd = reader.position;
  reader.skip(1 + OFFSET_BYTES); // where its data is
  return {
    ...{ id, description, tag, namespace, section, owner, tablespace },
    ...{ definition, drop, dropRange, copy, dependencies },
    place: { range: [start, reader.position], dependencies: [dependenciesStart, dependenciesEnd] },
    ranges: { definition: definitionRange, copy: copyRange, namespace: namespaceRange, owner: ownerRange },
  };
}

class EndOfBytes extends Error {}

class Reader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  skip(count: number): number {
    const start = this.#position;
    if (start + count > this.#bytes.length) throw new EndOfBytes();
    this.#position += count;
    return start;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.skip(1));
  }

  ascii(length: number): string {
    const start = this.skip(length);
    return this.#bytes.toString("latin1", start, start + length);
  }

  /** A sign byte, then the least significant byte first. */
  int(): number {
    const isNegative = this.byte() !== 0;
    const start = this.skip(INT_BYTES);
    const value = this.#bytes.readUInt32LE(start);
    return isNegative ? -value : value;
  }

  /** A text, and its position with its length field. */
  placed(): [string | undefined, readonly [number, number]] {
    const start = this.#position;
    const text = this.text();
    return [text, [start, this.#position]];
  }

  /** Undefined for a null. */
  text(): string | undefined {
    const length = this.int();
    if (length < 0) return undefined;
    const start = this.skip(length);
    return this.#bytes.toString("utf8", start, start + length);
  }
}

/** The beginning of a dump is not that of an archive. */
export class NotAnArchive extends Pg321Error {}

export function notAnArchive(detail: string): Pg321Error {
  return new NotAnArchive("verification", `not a dump in pg_dump's custom format: ${detail}`);
}
