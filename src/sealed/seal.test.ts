import { describe, expect, test } from "bun:test";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Pg321Error } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import { readHeader } from "./header.ts";
import { encodeIdentityFile, generateIdentity } from "./identity.ts";
import type { BackupNames } from "./metadata.ts";
import { openPayload, openSealed, segmentOffset, verifyHeader, verifySignature } from "./open.ts";
import { seal } from "./seal.ts";
import { generateSigningKey } from "./signing-key.ts";

const installation = randomUUID();
const identity = await generateIdentity();
const signingKey = generateSigningKey(installation);
const trust = { trustedSigners: [signingKey.signer] };
const names: BackupNames = {
  installation,
  server: "main",
  database: "app",
  backup_id: randomUUID(),
  kind: "dump",
  started_at: "2026-11-23T00:25:00.123Z",
  compression: "zstd",
};
const options = { recipients: [identity.recipient], signingKey };

async function* pieces(...list: Uint8Array[]) {
  yield* list;
}

/** A file for stock age and other readers: whole in memory. */
async function sealed(plaintext: Uint8Array, segmentBytes = 64, cuts: number[] = []) {
  const edges = [0, ...cuts.map((cut) => cut % (plaintext.length + 1)).sort((a, b) => a - b)];
  const parts = edges.map((from, index) => plaintext.subarray(from, edges[index + 1] ?? plaintext.length));
  return Buffer.concat(await Array.fromAsync(seal(pieces(...parts), names, { ...options, segmentBytes })));
}

/** The bytes read from a file, and the error at its end. */
async function opened(file: Uint8Array) {
  const left: Uint8Array[] = [];
  const error = await (async () => {
    const { plaintext } = await openSealed(pieces(file), trust, [identity.identity]);
    for await (const segment of plaintext) left.push(segment);
  })().catch((thrown: unknown) => thrown);
  return { plaintext: Buffer.concat(left), error };
}

const segmentSizes = fc.constantFrom(64, 65, 100, 4096);
const plaintexts = fc.uint8Array({ maxLength: 700 });

describe("seal and open", () => {
  test("return any plaintext, however it is cut into pieces", async () => {
    await fc.assert(
      fc.asyncProperty(
        plaintexts,
        segmentSizes,
        fc.array(fc.nat(), { maxLength: 8 }),
        async (plaintext, segmentBytes, cuts) => {
          const { plaintext: back, error } = await opened(await sealed(plaintext, segmentBytes, cuts));
          expect(error).toBeUndefined();
          expect(back.equals(plaintext)).toBe(true);
        },
      ),
    );
  });

  test("version 2 differs in its first line and in every key and signature", async () => {
    const two = await Array.fromAsync(seal(pieces(randomBytes(100)), names, { ...options, version: 2 }));
    const file = Buffer.concat(two);
    expect(file.subarray(0, 15).toString()).toBe("pg321 sealed 2\n");
    const whole = await openSealed(pieces(file), trust, [identity.identity]);
    expect(whole.version).toBe(2);
    expect(Buffer.concat(await Array.fromAsync(whole.plaintext)).length).toBe(100);
    file.write("1", 13);
    expect((await opened(file)).error).toMatchObject({ code: "verification" });
    const globals = seal(pieces(randomBytes(100)), { ...names, kind: "globals" }, { ...options, version: 2 });
    const { error } = await opened(Buffer.concat(await Array.fromAsync(globals)));
    expect(error).toMatchObject({ message: "sealed file: its metadata has no valid kind" });
  });

  test("return several production segments from pieces larger than one", async () => {
    const plaintext = randomBytes(3 * MIB + 5);
    const { plaintext: back, error } = await opened(await sealed(plaintext, MIB, [2.5 * MIB]));
    expect(error).toBeUndefined();
    expect(back.equals(plaintext)).toBe(true);
  });

  test("any flipped bit is found before its segment is yielded", async () => {
    const plaintext = randomBytes(300);
    const file = await sealed(plaintext);
    const { payloadOffset } = await readHeader(pieces(file));
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.nat(7), async (at, bit) => {
        const damaged = Buffer.from(file);
        damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << bit), at);
        const { plaintext: left, error } = await opened(damaged);
        expect(error).toBeInstanceOf(Pg321Error);
        const segment = Math.max(0, Math.floor((at - payloadOffset - 16) / 80));
        expect(left.equals(plaintext.subarray(0, segment * 64))).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  test("every truncation is found, and only whole segments before it are yielded", async () => {
    const plaintext = randomBytes(200);
    const file = await sealed(plaintext);
    const { payloadOffset } = await readHeader(pieces(file));
    for (let length = 0; length < file.length; length += 1) {
      const { plaintext: left, error } = await opened(file.subarray(0, length));
      expect(error).toMatchObject({ code: "verification" });
      const reached = Math.max(0, length - payloadOffset - 16);
      // A segment is yielded once a byte of the next one was read: until then it might have to be the last.
      const segments = Math.max(0, Math.ceil(reached / 80) - 1);
      expect(left.equals(plaintext.subarray(0, segments * 64))).toBe(true);
    }
  });

  test("any other order of segments is found", async () => {
    const plaintext = randomBytes(300);
    const file = await sealed(plaintext);
    const { payloadOffset } = await readHeader(pieces(file));
    const start = payloadOffset + 16;
    const right = [0, 1, 2, 3, 4];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(4), { maxLength: 8 }), async (order) => {
        fc.pre(order.join() !== right.join());
        const moved = order.map((index) => file.subarray(start + index * 80, start + (index + 1) * 80));
        const { plaintext: left, error } = await opened(Buffer.concat([file.subarray(0, start), ...moved]));
        expect(error).toMatchObject({ code: "verification" });
        expect(plaintext.subarray(0, left.length).equals(left)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe("seal", () => {
  test("never finishes a file whose source throws", async () => {
    const cause = new Error("pg_dump: exit code 1");
    const source = async function* () {
      yield randomBytes(200);
      throw cause;
    };
    const written: Uint8Array[] = [];
    const consume = async () => {
      for await (const chunk of seal(source(), names, { ...options, segmentBytes: 64 })) written.push(chunk);
    };
    expect(await consume().catch((error: unknown) => error)).toBe(cause);
    const { error } = await opened(Buffer.concat(written));
    expect(error).toMatchObject({ code: "verification" });
  });

  test("refuses bad recipients before it pulls from its source", async () => {
    let pulled = false;
    const source = async function* () {
      pulled = true;
      yield randomBytes(1);
    };
    const broken = `${identity.recipient.slice(0, -1)}${identity.recipient.endsWith("q") ? "p" : "q"}`;
    for (const recipients of [[], ["age1xyz"], [broken], [identity.recipient, "age1pq1abc"]]) {
      const attempt = seal(source(), names, { recipients, signingKey }).next();
      expect(await attempt.catch((error: unknown) => error)).toMatchObject({ code: "usage" });
    }
    expect(pulled).toBe(false);
  });

  test("lets timers run while it works at full speed", async () => {
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 1);
    const piece = randomBytes(4 * MIB);
    const source = async function* () {
      for (let index = 0; index < 32; index += 1) yield piece;
    };
    for await (const _ of seal(source(), names, options));
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(1);
  });

  test("wraps the file key so that stock age opens it", async () => {
    const directory = await mkdtemp(join(tmpdir(), "pg321-sealed-"));
    try {
      const path = join(directory, "identity.txt");
      const about = { installation, signers: [signingKey.signer], createdAt: new Date(0) };
      await Bun.write(path, await encodeIdentityFile(identity, about));
      const { header } = await readHeader(pieces(await sealed(randomBytes(10))));
      const age = Bun.spawn(["age", "-d", "-i", path], { stdin: header.wrappedFileKey, stdout: "pipe" });
      expect((await age.stdout.bytes()).length).toBe(32);
      expect(await age.exited).toBe(0);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("a header", () => {
  test("is refused if any of its names differs from the expected one", async () => {
    const { header } = await readHeader(pieces(await sealed(randomBytes(10))));
    verifySignature(header, { ...trust, expected: names });
    const others: Partial<BackupNames>[] = [
      { installation: randomUUID() },
      { server: "other" },
      { database: "App" },
      { backup_id: randomUUID() },
      { kind: "globals" },
      { started_at: "2026-11-23T00:25:00.124Z" },
      { compression: "gzip" },
    ];
    for (const other of others) {
      const expected = { ...names, ...other };
      const key = Object.keys(other)[0] ?? "";
      expect(() => verifySignature(header, { ...trust, expected })).toThrow(`its ${key} is`);
    }
  });

  test("is refused from a signer that is not trusted, and without an identity that opens it", async () => {
    const stream = await readHeader(pieces(await sealed(randomBytes(10))));
    const stranger = generateSigningKey(installation);
    expect(() => verifySignature(stream.header, { trustedSigners: [] })).toThrow("not a trusted signer");
    const wrongTrust = verifyHeader(stream, { trustedSigners: [stranger.signer] }, [identity.identity]);
    expect(await wrongTrust.catch((error: unknown) => error)).toMatchObject({ code: "key" });
    const { identity: other } = await generateIdentity();
    const wrongIdentity = verifyHeader(stream, trust, [other]);
    expect(await wrongIdentity.catch((error: unknown) => error)).toMatchObject({ code: "key" });
  });

  test("closes its source when it is refused", async () => {
    let ended = false;
    const source = async function* (bytes: Uint8Array) {
      try {
        yield bytes;
        yield bytes;
      } finally {
        ended = true;
      }
    };
    await expect(readHeader(source(Buffer.from("PGDMP and so on")))).rejects.toThrow("does not begin");
    expect(ended).toBe(true);
    ended = false;
    const file = await sealed(randomBytes(10));
    await expect(openSealed(source(file), { trustedSigners: [] }, [])).rejects.toThrow("not a trusted");
    expect(ended).toBe(true);
  });
});

test("a payload continues from any segment of another copy", async () => {
  const plaintext = randomBytes(300);
  const file = await sealed(plaintext);
  const opener = await verifyHeader(await readHeader(pieces(file)), trust, [identity.identity]);
  for (let first = 0; first < 5; first += 1) {
    const rest = pieces(file.subarray(segmentOffset(opener, first)));
    const back = Buffer.concat(await Array.fromAsync(openPayload(opener, rest, first)));
    expect(back.equals(plaintext.subarray(first * 64))).toBe(true);
  }
  const displaced = openPayload(opener, pieces(file.subarray(segmentOffset(opener, 2))), 1);
  expect(await displaced.next().catch((error: unknown) => error)).toMatchObject({ code: "verification" });
  const nothing = openPayload(opener, pieces(), 5);
  expect(await nothing.next().catch((error: unknown) => error)).toMatchObject({ code: "verification" });
});

test("errors of a payload's source pass unchanged", async () => {
  const file = await sealed(randomBytes(300));
  const opener = await verifyHeader(await readHeader(pieces(file)), trust, [identity.identity]);
  const cause = new Pg321Error("storage", "connection reset", { retryable: true });
  const source = async function* () {
    yield file.subarray(opener.segmentsOffset, opener.segmentsOffset + 200);
    throw cause;
  };
  const left: Uint8Array[] = [];
  const consume = async () => {
    for await (const segment of openPayload(opener, source())) left.push(segment);
  };
  expect(await consume().catch((error: unknown) => error)).toBe(cause);
  expect(left.length).toBe(2);
});
