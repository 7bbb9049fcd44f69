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
  /** Of one that does not open, parts of the messages of pg321 and of contrib/unseal.py: why they refuse it. */
  why?: string;
  unseal_why?: string;
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

const bad = (name: string, dump: Buffer, [why, unseal_why]: Why): Content => ({
  ...{ name, opens: false, why, unseal_why, dump },
});

type Why = readonly [why: string, unsealWhy: string];
/** unseal.py has one message for several checks. */
const beginsWrongly = (why: string): Why => [why, "a member of the container begins wrongly"];
const doesNotFit = (why: string): Why => [why, "the container has a record that does not fit"];
const isCut = (why = "damaged: it is cut off"): Why => [why, "the container is cut off"];
const isNoContainer = "does not contain a container of version 1";
const isOneArchive = "the dump is one archive, but the version of its file says that it is several";
const isOfOtherSize = (member: number, bytes: number, written: number): Why => [
  `member ${member} has ${bytes} bytes, but ${written} were written`,
  `member ${member} does not have the size that was written`,
];

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
  return [...badStarts(), ...badBegins(), ...badRecords()];
}

/** Another beginning or end. */
function badStarts(): Content[] {
  const start = head(2).length;
  const cut = (name: string, length: number, why = isCut()) =>
    bad(`cut-${name}`, whole.subarray(0, length), why);
  const atOnce = (count: number): Why => [
    `it claims ${count} members at once`,
    `the container claims ${count} members at once`,
  ];
  const longer = doesNotFit("it has bytes after its end");
  return [
    bad("an-archive", Buffer.from("PGDMP and what follows, but no container"), [isOneArchive, isNoContainer]),
    bad("empty", Buffer.alloc(0), isCut(isOneArchive)),
    bad("other-version", Buffer.concat([Buffer.from("pg321 container 2\n"), whole.subarray(18)]), [
      "its version is not 1",
      isNoContainer,
    ]),
    bad("none-at-once", Buffer.concat([head(0), whole.subarray(start)]), atOnce(0)),
    bad("65-at-once", Buffer.concat([head(65), whole.subarray(start)]), atOnce(65)),
    cut("line", 9, isCut(isOneArchive)),
    ...[cut("number", 20), cut("after-head", start), cut("begin-head", start + 5), cut("begin", start + 20)],
    cut("frame", start + begin(0, "schema").length + 12, isCut("it is cut off in a frame")),
    ...[cut("before-end", whole.length - 9), cut("end", whole.length - 1)],
    bad("extended", Buffer.concat([whole, Buffer.alloc(1)]), longer),
    bad("extended-by-itself", Buffer.concat([whole, whole]), longer),
    bad("no-members", of(end(0)), doesNotFit("it has no members")),
    bad("type-0", of(...schema, record(0, 0), end(1)), doesNotFit("a record of the unknown type 0")),
    bad("type-5", of(...schema, record(5, 1), end(1)), doesNotFit("a record of the unknown type 5")),
  ];
}

/** Members that begin wrongly. */
function badBegins(): Content[] {
  const open = [...schema, begin(1, "data-1")];
  const nameless = beginsWrongly("a member begins without a valid name and kind");
  const json = (why: string) => beginsWrongly(`the beginning of a member ${why}`);
  /** A container whose first member begins with this text. */
  const first = (text: string) => of(record(1, 0, text), memberEnd(0, 0), end(1));
  return [
    bad(
      "schema-missing",
      of(begin(0, "data-1", "data"), memberEnd(0, 0), end(1)),
      beginsWrongly("member 0 is of kind data"),
    ),
    bad(
      "schema-twice",
      of(...schema, begin(1, "other", "schema"), memberEnd(1, 0), end(2)),
      beginsWrongly("member 1 is of kind schema"),
    ),
    bad("kind-unknown", of(begin(0, "schema", "table"), memberEnd(0, 0), end(1)), nameless),
    bad(
      "data-before-end-of-schema",
      of(begin(0, "schema"), begin(1, "data-1"), memberEnd(0, 0), memberEnd(1, 0), end(2)),
      beginsWrongly("member 1 begins before another has ended"),
    ),
    bad(
      "more-at-once",
      of(...open, begin(2, "data-2"), begin(3, "data-3"), ...[1, 2, 3].map((i) => memberEnd(i, 0)), end(4)),
      beginsWrongly("member 3 begins before another has ended"),
    ),
    bad(
      "numbers-skipped",
      of(...schema, ...data(2, "rows"), end(2)),
      beginsWrongly("member 2 comes out of order"),
    ),
    bad(
      "number-again",
      of(...schema, ...data(1, "rows"), ...data(1, "rows", "data-2"), end(3)),
      beginsWrongly("member 1 comes out of order"),
    ),
    bad(
      "name-again",
      of(...schema, ...data(1, "rows"), ...data(2, "more", "data-1"), end(3)),
      beginsWrongly("two members have the name data-1"),
    ),
    bad(
      "name-of-the-schema-again",
      of(...schema, ...data(1, "rows", "schema"), end(2)),
      beginsWrongly("two members have the name schema"),
    ),
    ...["", "..", "../x", "a/b", "Data", "-x", "a b", "ä", "x\n", `d${"-".repeat(63)}`].map((name, i) =>
      bad(`name-${i}`, of(...schema, ...data(1, "rows", name), end(2)), nameless),
    ),
    bad("begin-not-json", first("{"), json("is not JSON")),
    bad("begin-not-compact", first('{"name": "schema","kind":"schema"}'), json("is not the compact JSON")),
    bad("begin-without-kind", first('{"name":"schema"}'), nameless),
    bad("begin-number-as-name", first('{"name":1,"kind":"schema"}'), nameless),
    bad("begin-array", first('["schema"]'), json("is not an object")),
    bad(
      "begin-too-long",
      first(JSON.stringify({ name: "schema", kind: "schema", later: "x".repeat(4096) })),
      beginsWrongly("the beginning of member 0 is too long"),
    ),
  ];
}

/** Frames and ends that do not fit. */
function badRecords(): Content[] {
  const open = [...schema, begin(1, "data-1")];
  const ended = doesNotFit("a record of member 0, which has ended");
  const unknown = doesNotFit("a record of member 1, which has not begun");
  const count = (said: number) => doesNotFit(`it has 2 members, but ${said} were written`);
  return [
    bad(
      "frame-empty",
      of(...open, frame(1, ""), memberEnd(1, 0), end(2)),
      doesNotFit("it has a frame of 0 bytes"),
    ),
    bad(
      "frame-too-long",
      of(...open, recordHead(2, 1, 16 * MIB + 1), Buffer.from("rows")),
      doesNotFit("it has a frame of 16777217 bytes"),
    ),
    bad("frame-of-ended", of(...schema, frame(0, "x"), end(1)), ended),
    bad("frame-of-unknown", of(...schema, frame(1, "x"), end(1)), unknown),
    bad("end-of-ended", of(...schema, memberEnd(0, 6), end(1)), ended),
    bad("end-of-unknown", of(...schema, memberEnd(1, 0), end(1)), unknown),
    bad("size-too-small", of(...open, frame(1, "rows"), memberEnd(1, 3), end(2)), isOfOtherSize(1, 4, 3)),
    bad("size-too-large", of(...open, frame(1, "rows"), memberEnd(1, 5), end(2)), isOfOtherSize(1, 4, 5)),
    bad(
      "size-short",
      of(...open, record(3, 1, u32(0)), end(2)),
      doesNotFit("the end of member 1 is malformed"),
    ),
    bad("count-too-small", of(...schema, ...data(1, "rows"), end(1)), count(1)),
    bad("count-too-large", of(...schema, ...data(1, "rows"), end(3)), count(3)),
    bad("end-while-open", of(...open, frame(1, "rows"), end(2)), doesNotFit("it ends before its members")),
    bad("end-with-body", of(...schema, record(4, 1, "x")), doesNotFit("its end is malformed")),
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
    {
      ...bad("file-as-version-1", whole, [
        "its header is damaged or forged: the signature does not match",
        "it has only one archive: leave out --members",
      ]),
      change: line("1"),
    },
    {
      ...bad("file-as-version-3", whole, [
        "its format version is neither 1 nor 2",
        "not a file that pg321 sealed in version 1 or 2 of the format",
      ]),
      change: line("3"),
    },
    {
      ...bad("file-of-globals", whole, [
        "its metadata has no valid kind",
        "its metadata is not valid in version 2 of the format",
      ]),
      metadata: { kind: "globals" },
    },
    {
      ...bad("file-cut", whole, [
        "at its end, is damaged or not the last one: it is truncated",
        "is damaged or out of order, or the file is cut off after it",
      ]),
      change: (file) => file.subarray(0, -1),
    },
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
