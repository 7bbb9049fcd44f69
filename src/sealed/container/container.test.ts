import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ContainerMember } from "./format.ts";
import { recordHead } from "./format.ts";
import { interleave } from "./interleave.ts";
import { isContainer, split } from "./split.ts";

type Content = [name: string, ...chunks: Uint8Array[]];

function member([name, ...chunks]: Content, index: number): ContainerMember {
  return { name, kind: index === 0 ? "schema" : "data", bytes: stream(chunks) };
}

async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  for (const item of items) yield item;
}

async function containerOf(contents: readonly Content[], membersAtOnce = 2): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(interleave(stream(contents.map(member)), { membersAtOnce })));
}

/** Reads all members at once. */
async function read(source: AsyncIterable<Uint8Array>, bufferBytes?: number): Promise<[string, Buffer][]> {
  await using container = await split(source, bufferBytes === undefined ? {} : { bufferBytes });
  const reading: Promise<[string, Buffer]>[] = [];
  for await (const { name, bytes } of container.members) {
    const one = Array.fromAsync(bytes).then((pieces): [string, Buffer] => [name, Buffer.concat(pieces)]);
    one.catch(() => {});
    reading.push(one);
  }
  return Promise.all(reading);
}

function inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const count = Math.ceil(bytes.length / size);
  return stream(Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size)));
}

const three: Content[] = [
  ["schema", Buffer.from("tables")],
  ["data-1", Buffer.from("aaaa"), Buffer.from("bb")],
  ["data-2", Buffer.from("cc")],
  ["data-3"],
];
const threeRead = three.map(([name, ...chunks]): [string, Buffer] => [name, Buffer.concat(chunks)]);

test("what is interleaved is split into the same members, however the stream is cut", async () => {
  const chunk = fc.uint8Array({ minLength: 1, maxLength: 50 });
  const contents = fc
    .array(fc.array(chunk, { maxLength: 6 }), { minLength: 1, maxLength: 8 })
    .map((members) => members.map((chunks, i): Content => [`member-${i}`, ...chunks]));
  await fc.assert(
    fc.asyncProperty(
      contents,
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 80 }),
      async (all, atOnce, size) => {
        const container = await containerOf(all, atOnce);
        const expected = all.map(([name, ...chunks]): [string, Buffer] => [name, Buffer.concat(chunks)]);
        expect(await read(inPieces(container, size), 16)).toEqual(expected);
      },
    ),
  );
});

test("the schema is complete before the next member is asked for", async () => {
  let isSchemaRead = false;
  const asked: boolean[] = [];
  async function* members(): AsyncGenerator<ContainerMember> {
    const bytes = async function* () {
      yield Buffer.from("tables");
      isSchemaRead = true;
    };
    yield { name: "schema", kind: "schema", bytes: bytes() };
    asked.push(isSchemaRead);
    yield { name: "data-1", kind: "data", bytes: stream([Buffer.from("rows")]) };
  }
  const container = Buffer.concat(await Array.fromAsync(interleave(members(), { membersAtOnce: 4 })));
  expect(asked).toEqual([true]);
  expect((await read(stream([container]))).map(([name]) => name)).toEqual(["schema", "data-1"]);
});

test("no more members than allowed are open, and a free place takes the next of the queue", async () => {
  let open = 0;
  let most = 0;
  const bytes = async function* (count: number) {
    most = Math.max(most, ++open);
    for (let i = 0; i < count; i++) yield Buffer.from("x");
    open--;
  };
  async function* members(): AsyncGenerator<ContainerMember> {
    yield { name: "schema", kind: "schema", bytes: bytes(1) };
    for (const i of [1, 2, 3, 4, 5, 6]) yield { name: `data-${i}`, kind: "data", bytes: bytes(i * 3) };
  }
  const container = Buffer.concat(await Array.fromAsync(interleave(members(), { membersAtOnce: 3 })));
  expect(most).toBe(3);
  expect((await read(stream([container]), 1)).length).toBe(7);
});

test("members that always have bytes get their turns alternately", async () => {
  const endless = (name: string, length: number): Content => [
    name,
    ...Array.from({ length }, () => Buffer.from(name)),
  ];
  const pieces = await Array.fromAsync(
    interleave(stream([endless("schema", 1), endless("aa", 40), endless("bb", 40)].map(member)), {
      membersAtOnce: 2,
    }),
  );
  const bodies = pieces.map((piece) => String(piece)).filter((text) => text === "aa" || text === "bb");
  const longest = Math.max(...(bodies.join("").match(/(aa)+|(bb)+/g) ?? []).map((run) => run.length / 2));
  expect(longest).toBeLessThanOrEqual(3);
});

test("a member's failure is thrown, stops the container before its end, and closes the others", async () => {
  const closed: string[] = [];
  const endless = async function* () {
    try {
      for (;;) yield Buffer.from("x");
    } finally {
      closed.push("data-1");
    }
  };
  const failing = async function* () {
    yield Buffer.from("y");
    throw new Error("pg_dump ended with exit code 1");
  };
  async function* members(): AsyncGenerator<ContainerMember> {
    try {
      yield { name: "schema", kind: "schema", bytes: stream([Buffer.from("tables")]) };
      yield { name: "data-1", kind: "data", bytes: endless() };
      yield { name: "data-2", kind: "data", bytes: failing() };
    } finally {
      closed.push("source");
    }
  }
  const reasons: unknown[] = [];
  const pieces: Uint8Array[] = [];
  const run = async () => {
    const stop = (reason: unknown) => reasons.push(reason);
    for await (const piece of interleave(members(), { membersAtOnce: 2, stop })) pieces.push(piece);
  };
  await expect(run()).rejects.toThrow("pg_dump ended with exit code 1");
  expect(closed.sort()).toEqual(["data-1", "source"]);
  expect(reasons.map(String)).toEqual(["Error: pg_dump ended with exit code 1"]);
  await expect(read(stream(pieces))).rejects.toMatchObject({ code: "verification" });
});

test("a failure of the source is thrown after the last member, and nothing waits for the source", async () => {
  async function* members(): AsyncGenerator<ContainerMember> {
    yield { name: "schema", kind: "schema", bytes: stream([Buffer.from("tables")]) };
    yield { name: "data-1", kind: "data", bytes: stream([Buffer.from("rows")]) };
    throw new Error("the locks are gone");
  }
  const all = Array.fromAsync(interleave(members(), { membersAtOnce: 2 }));
  await expect(all).rejects.toThrow("the locks are gone");
});

test("a reader that leaves closes the members, and one that was dealt out but has not begun", async () => {
  const closed: string[] = [];
  const tracked = (name: string): AsyncIterable<Uint8Array> => ({
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: false, value: Buffer.from("x") }),
      return: async () => {
        closed.push(name);
        return { done: true, value: undefined };
      },
    }),
  });
  async function* members(): AsyncGenerator<ContainerMember> {
    yield { name: "schema", kind: "schema", bytes: stream([Buffer.from("tables")]) };
    for (const name of ["data-1", "data-2", "data-3"]) yield { name, kind: "data", bytes: tracked(name) };
  }
  const container = interleave(members(), { membersAtOnce: 3 });
  // Its line, the schema (beginning, frame in two pieces, end), the beginning of the first data, and one step more.
  for (let i = 0; i < 7; i++) await container.next();
  await container.return();
  expect(closed).toContain("data-1");
  expect(closed).toContain("data-2");
});

test("a container whose first member is not the schema, or with two members of one name, is not written", async () => {
  const data: ContainerMember = { name: "data-1", kind: "data", bytes: stream([]) };
  const all = (members: ContainerMember[]) =>
    Array.fromAsync(interleave(stream(members), { membersAtOnce: 1 }));
  await expect(all([data])).rejects.toThrow("member 0 of a container is of kind data");
  await expect(all([])).rejects.toThrow("without members");
  const schema = (): ContainerMember => ({ name: "schema", kind: "schema", bytes: stream([]) });
  await expect(all([schema(), schema()])).rejects.toThrow("member 1 of a container is of kind schema");
  await expect(all([schema(), { ...data, name: "schema" }])).rejects.toThrow("have the name schema");
});

test("a member that nobody reads stops the stream only once its buffer is full, and goes on afterwards", async () => {
  const rows = (letter: string) => Array.from({ length: 10 }, () => Buffer.from(letter.repeat(10)));
  const all = await containerOf([["schema"], ["a", ...rows("a")], ["b", ...rows("b")]]);
  let taken = 0;
  async function* source() {
    for await (const piece of inPieces(all, 8)) {
      taken += piece.length;
      yield piece;
    }
  }
  // Five pieces, which hold some two frames: each piece counts with the memory that it takes.
  await using container = await split(source(), { bufferBytes: 1_000 });
  const members = container.members[Symbol.asyncIterator]();
  const next = async () => (await members.next()).value as ContainerMember;
  await Array.fromAsync((await next()).bytes);
  const [stalled, other] = [await next(), await next()];
  const reader = other.bytes[Symbol.asyncIterator]();
  let got = 0;
  // The frames of both take turns: the other one gets bytes although nobody reads the first.
  while (got < 20) got += ((await reader.next()).value as Uint8Array).length;
  expect(taken).toBeLessThan(all.length);
  const rest = async () => {
    for (let read = await reader.next(); !read.done; read = await reader.next()) got += read.value.length;
  };
  const [all1] = await Promise.all([Array.fromAsync(stalled.bytes), rest(), next()]);
  expect(String(Buffer.concat(all1))).toBe("a".repeat(100));
  expect(got).toBe(100);
});

test("a reader that leaves one member gets the others whole", async () => {
  const rows = (letter: string) => Array.from({ length: 10 }, () => Buffer.from(letter.repeat(10)));
  const all = await containerOf([["schema"], ["a", ...rows("a")], ["b", ...rows("b")]]);
  await using container = await split(stream([all]), { bufferBytes: 10 });
  const texts: Promise<string>[] = [];
  for await (const { name, bytes } of container.members) {
    if (name === "a") await bytes[Symbol.asyncIterator]().return?.();
    else texts.push(Array.fromAsync(bytes).then((pieces) => String(Buffer.concat(pieces))));
  }
  expect(await Promise.all(texts)).toEqual(["", "b".repeat(100)]);
});

test("an error of the source reaches every open member unchanged", async () => {
  const all = await containerOf(three);
  async function* source() {
    yield all.subarray(0, all.indexOf("aaaa") + 4);
    throw new Error("storage gone");
  }
  await using container = await split(source());
  const errors: unknown[] = [];
  const reading: Promise<unknown>[] = [];
  const run = async () => {
    for await (const { bytes } of container.members)
      reading.push(Array.fromAsync(bytes).catch((error) => errors.push(error)));
  };
  await expect(run()).rejects.toThrow("storage gone");
  await Promise.all(reading);
  expect(errors.map(String)).toEqual(["Error: storage gone", "Error: storage gone"]);
});

test("every cut, and every changed byte of a record, is refused", async () => {
  const all = await containerOf(three);
  for (let length = 0; length < all.length; length++)
    await expect(read(stream([all.subarray(0, length)]))).rejects.toMatchObject({ code: "verification" });
  await expect(read(stream([Buffer.concat([all, Buffer.alloc(1)])]))).rejects.toThrow("bytes after its end");
  for (let at = 0; at < all.length; at++) {
    const changed = Buffer.from(all);
    changed.writeUInt8((all[at] ?? 0) ^ 0x40, at);
    const outcome = await read(stream([changed])).catch((error) => error);
    // Only bytes of the members and letters of their names may change unnoticed: the segments around them may not.
    if (outcome instanceof Error) expect(outcome).toMatchObject({ code: "verification" });
    else
      expect(outcome.map(([, bytes]: [string, Buffer]) => bytes.length)).toEqual(
        threeRead.map(([, bytes]) => bytes.length),
      );
  }
});

test("a record that does not fit is refused, and said which", async () => {
  const all = await containerOf(three);
  const end = all.length - 9;
  const refused = async (container: Uint8Array, why: string) =>
    await expect(read(stream([container]))).rejects.toMatchObject({
      code: "verification",
      message: expect.stringContaining(why),
    });
  const before = (record: Uint8Array) => Buffer.concat([all.subarray(0, end), record, all.subarray(end)]);
  const frame = (member: number) => Buffer.concat([recordHead(2, member, 1), Buffer.from("x")]);
  await refused(before(frame(1)), "member 1, which has ended");
  await refused(before(frame(9)), "member 9, which has not begun");
  await refused(before(recordHead(7, 0, 0)), "unknown type 7");
  await refused(before(recordHead(2, 1, 0)), "member 1, which has ended");
  await refused(
    Buffer.concat([all.subarray(0, end), recordHead(4, 3, 0)]),
    "it has 4 members, but 3 were written",
  );
  const begin = (name: string, kind: string, number: number) => {
    const body = Buffer.from(JSON.stringify({ name, kind }));
    return Buffer.concat([recordHead(1, number, body.length), body]);
  };
  await refused(before(begin("data-9", "data", 7)), "member 7 comes out of order");
  await refused(before(begin("data-1", "data", 4)), "two members have the name data-1");
  await refused(before(begin("../data", "data", 4)), "without a valid name");
  await refused(before(begin("data-9", "schema", 4)), "is of kind schema");
  const open = before(
    Buffer.concat([begin("data-8", "data", 4), begin("data-9", "data", 5), begin("data-7", "data", 6)]),
  );
  await refused(open, "member 6 begins before another has ended");
  await refused(before(begin("data-9", "data", 4)), "it ends before its members");
  const other = Buffer.from(all);
  other.write("2", "pg321 container ".length);
  await refused(other, "its version is not 1");
});

test("an archive is not taken for a container", () => {
  expect(isContainer(Buffer.from("PGDMP and so on, more bytes"))).toBe(false);
  expect(isContainer(Buffer.from("pg321 container 1\n"))).toBe(true);
  expect(isContainer(Buffer.from("pg321"))).toBe(false);
});
