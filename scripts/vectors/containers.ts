import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { CONTAINER_LINE, recordHead } from "../../src/sealed/container/format.ts";
import { sealHeader } from "../../src/sealed/seal.ts";
import type { SigningKey } from "../../src/sealed/signing-key.ts";
import { payload, rightSegments, sha256 } from "./crafting.ts";

/** A file of version 2, and what a decoder must make of it. */
interface ContainerVector {
  name: string;
  opens: boolean;
  compression: string;
  /** The members of a container that opens, in order. */
  members?: { name: string; kind: string; bytes: number; sha256: string }[];
}

interface Content extends Omit<ContainerVector, "compression"> {
  /** The bytes of the dump: the container, or something else. */
  dump: Buffer;
  /** A change of the file. */
  change?: (file: Buffer) => Buffer;
  metadata?: Record<string, string>;
}

const MIB = 1 << 20;

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function record(type: number, member: number, body: string | Uint8Array = ""): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([recordHead(type, member, bytes.length), bytes]);
}

const head = (atOnce: number) => Buffer.concat([CONTAINER_LINE, u32(atOnce)]);
const begin = (member: number, name: string, kind = member === 0 ? "schema" : "data") =>
  record(1, member, JSON.stringify({ name, kind }));
const frame = (member: number, text: string) => record(2, member, text);
const memberEnd = (member: number, size: number) => record(3, member, Buffer.concat([u32(0), u32(size)]));
const end = (count: number) => record(4, count);

const schema = [begin(0, "schema"), frame(0, "tables"), memberEnd(0, 6)];
const data = (member: number, text: string, name = `data-${member}`) => [
  begin(member, name),
  frame(member, text),
  memberEnd(member, text.length),
];
const of = (...records: Buffer[]) => Buffer.concat([head(2), ...records]);
const whole = of(...schema, ...data(1, "rows"), end(2));

function good(name: string, dump: Buffer, members: [name: string, text: string][]): Content {
  return {
    ...{ name: `good-${name}`, opens: true },
    members: members.map(([member, text], i) => ({
      ...{ name: member, kind: i === 0 ? "schema" : "data" },
      ...{ bytes: Buffer.byteLength(text), sha256: sha256(Buffer.from(text)) },
    })),
    dump,
  };
}

const bad = (name: string, dump: Buffer): Content => ({ name, opens: false, dump });

function goodContainers(): Content[] {
  const tables: [string, string] = ["schema", "tables"];
  const turns = [begin(1, "data-1"), frame(1, "ab"), begin(2, "data-2"), frame(2, "12"), frame(1, "cd")];
  const longName = `d${"-".repeat(61)}9`;
  const many = Array.from({ length: 64 }, (_, i) => i + 1);
  return [
    good("schema-only", of(...schema, end(1)), [tables]),
    good("one-after-the-other", of(...schema, ...data(1, "rows"), ...data(2, "more"), end(3)), [
      tables,
      ["data-1", "rows"],
      ["data-2", "more"],
    ]),
    good("in-turns", of(...schema, ...turns, memberEnd(1, 4), frame(2, "3"), memberEnd(2, 3), end(3)), [
      tables,
      ["data-1", "abcd"],
      ["data-2", "123"],
    ]),
    good(
      "empty-members",
      of(begin(0, "schema"), memberEnd(0, 0), begin(1, "data-1"), memberEnd(1, 0), end(2)),
      [
        ["schema", ""],
        ["data-1", ""],
      ],
    ),
    good("longest-name", of(...schema, ...data(1, "rows", longName), end(2)), [tables, [longName, "rows"]]),
    good("other-name-of-the-schema", of(begin(0, "0.first_"), memberEnd(0, 0), end(1)), [["0.first_", ""]]),
    good(
      "unknown-member-of-begin",
      of(record(1, 0, '{"later":[1],"kind":"schema","name":"schema"}'), memberEnd(0, 0), end(1)),
      [["schema", ""]],
    ),
    good(
      "64-at-once",
      Buffer.concat([
        ...[head(64), ...schema, ...many.map((i) => begin(i, `data-${i}`))],
        ...[...many.map((i) => frame(i, `${i}`)), ...many.map((i) => memberEnd(i, `${i}`.length)), end(65)],
      ]),
      [tables, ...many.map((i): [string, string] => [`data-${i}`, `${i}`])],
    ),
  ];
}

function badContainers(): Content[] {
  const open = [...schema, begin(1, "data-1")];
  const cut = (name: string, length: number) => bad(`cut-${name}`, whole.subarray(0, length));
  const start = head(2).length;
  return [
    bad("an-archive", Buffer.from("PGDMP and what follows, but no container")),
    bad("empty", Buffer.alloc(0)),
    bad("other-version", Buffer.concat([Buffer.from("pg321 container 2\n"), whole.subarray(18)])),
    bad("none-at-once", Buffer.concat([head(0), whole.subarray(start)])),
    bad("65-at-once", Buffer.concat([head(65), whole.subarray(start)])),
    ...[cut("line", 9), cut("number", 20), cut("after-head", start), cut("begin-head", start + 5)],
    ...[cut("begin", start + 20), cut("frame", start + begin(0, "schema").length + 12)],
    ...[cut("before-end", whole.length - 9), cut("end", whole.length - 1)],
    bad("extended", Buffer.concat([whole, Buffer.alloc(1)])),
    bad("extended-by-itself", Buffer.concat([whole, whole])),
    bad("no-members", of(end(0))),
    bad("type-0", of(...schema, record(0, 0), end(1))),
    bad("type-5", of(...schema, record(5, 1), end(1))),
    bad("schema-missing", of(begin(0, "data-1", "data"), memberEnd(0, 0), end(1))),
    bad("schema-twice", of(...schema, begin(1, "other", "schema"), memberEnd(1, 0), end(2))),
    bad("kind-unknown", of(begin(0, "schema", "table"), memberEnd(0, 0), end(1))),
    bad(
      "data-before-end-of-schema",
      of(begin(0, "schema"), begin(1, "data-1"), memberEnd(0, 0), memberEnd(1, 0), end(2)),
    ),
    bad(
      "more-at-once",
      of(...open, begin(2, "data-2"), begin(3, "data-3"), ...[1, 2, 3].map((i) => memberEnd(i, 0)), end(4)),
    ),
    bad("numbers-skipped", of(...schema, ...data(2, "rows"), end(2))),
    bad("number-again", of(...schema, ...data(1, "rows"), ...data(1, "rows", "data-2"), end(3))),
    bad("name-again", of(...schema, ...data(1, "rows"), ...data(2, "more", "data-1"), end(3))),
    bad("name-of-the-schema-again", of(...schema, ...data(1, "rows", "schema"), end(2))),
    ...["", "..", "../x", "a/b", "Data", "-x", "a b", "ä", "x\n", `d${"-".repeat(63)}`].map((name, i) =>
      bad(`name-${i}`, of(...schema, ...data(1, "rows", name), end(2))),
    ),
    bad("begin-not-json", of(record(1, 0, "{"), memberEnd(0, 0), end(1))),
    bad("begin-not-compact", of(record(1, 0, '{"name": "schema","kind":"schema"}'), memberEnd(0, 0), end(1))),
    bad("begin-without-kind", of(record(1, 0, '{"name":"schema"}'), memberEnd(0, 0), end(1))),
    bad("begin-number-as-name", of(record(1, 0, '{"name":1,"kind":"schema"}'), memberEnd(0, 0), end(1))),
    bad("begin-array", of(record(1, 0, '["schema"]'), memberEnd(0, 0), end(1))),
    bad(
      "begin-too-long",
      of(
        record(1, 0, JSON.stringify({ name: "schema", kind: "schema", later: "x".repeat(4096) })),
        memberEnd(0, 0),
        end(1),
      ),
    ),
    bad("frame-empty", of(...open, frame(1, ""), memberEnd(1, 0), end(2))),
    bad("frame-too-long", of(...open, recordHead(2, 1, 16 * MIB + 1), Buffer.from("rows"))),
    bad("frame-of-ended", of(...schema, frame(0, "x"), end(1))),
    bad("frame-of-unknown", of(...schema, frame(1, "x"), end(1))),
    bad("end-of-ended", of(...schema, memberEnd(0, 6), end(1))),
    bad("end-of-unknown", of(...schema, memberEnd(1, 0), end(1))),
    bad("size-too-small", of(...open, frame(1, "rows"), memberEnd(1, 3), end(2))),
    bad("size-too-large", of(...open, frame(1, "rows"), memberEnd(1, 5), end(2))),
    bad("size-short", of(...open, record(3, 1, u32(0)), end(2))),
    bad("count-too-small", of(...schema, ...data(1, "rows"), end(1))),
    bad("count-too-large", of(...schema, ...data(1, "rows"), end(3))),
    bad("end-while-open", of(...open, frame(1, "rows"), end(2))),
    bad("end-with-body", of(...schema, record(4, 1, "x"))),
  ];
}

/** Files whose header says something else than their container. */
function badFiles(): Content[] {
  const line = (version: string) => (file: Buffer) => {
    const changed = Buffer.from(file);
    changed.write(version, "pg321 sealed ".length);
    return changed;
  };
  return [
    { ...bad("file-as-version-1", whole), change: line("1") },
    { ...bad("file-as-version-3", whole), change: line("3") },
    { ...bad("file-of-globals", whole), metadata: { kind: "globals" } },
    { ...bad("file-cut", whole), change: (file) => file.subarray(0, -1) },
  ];
}

/** Writes the missing files, each with another compression, and returns their list. */
export function writeContainers(
  metadata: object,
  recipient: string,
  key: SigningKey,
  writeOnce: (name: string, bytes: Uint8Array) => Promise<void>,
): Promise<ContainerVector[]> {
  const made = [...goodContainers(), ...badContainers(), ...badFiles()].map(async (content, i) => {
    const { dump, change = (file) => file, metadata: own, ...vector } = content;
    const compression = (["none", "zstd", "gzip"] as const)[i % 3] ?? "none";
    const plain = { none: dump, zstd: Bun.zstdCompressSync(dump), gzip: gzipSync(dump) }[compression];
    const fileKey = randomBytes(32);
    const said = Buffer.from(JSON.stringify({ ...metadata, compression, ...own }));
    const start = await sealHeader(said, fileKey, [recipient], key, 2);
    const bytes = change(Buffer.concat([start, payload(fileKey, rightSegments(plain), 2)]));
    await writeOnce(`containers/${vector.name}.sealed`, bytes);
    return { ...vector, compression };
  });
  return Promise.all(made);
}
