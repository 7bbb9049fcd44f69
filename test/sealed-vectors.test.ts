import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Pg321Error } from "../src/base/errors.ts";
import { readIdentityFile } from "../src/sealed/identity.ts";
import { openSealed } from "../src/sealed/open.ts";
import vectors from "./vectors/vectors.json";

const DIRECTORY = join(import.meta.dir, "vectors");
const identity = await readIdentityFile(await Bun.file(join(DIRECTORY, "identity.txt")).text());

async function* inPieces(bytes: Uint8Array, pieceBytes: (index: number) => number) {
  for (let at = 0, index = 0; at < bytes.length; index += 1) {
    const piece = bytes.subarray(at, at + pieceBytes(index));
    at += piece.length;
    yield piece;
  }
}

/** Odd sizes, empty pieces among them, never in step with a segment. */
const ODD = [1, 7, 0, 33, 129, 3, 61, 0, 1021];

const WAYS: [string, (bytes: Uint8Array) => AsyncIterable<Uint8Array>][] = [
  ["whole", (bytes) => inPieces(bytes, () => bytes.length)],
  ["in odd pieces", (bytes) => inPieces(bytes, (index) => ODD[index % ODD.length] ?? 1)],
  ["byte by byte", (bytes) => inPieces(bytes, () => 1)],
];

async function open(source: AsyncIterable<Uint8Array>) {
  const leaked: Uint8Array[] = [];
  let error: unknown;
  try {
    const trust = { trustedSigners: identity.signers };
    const { plaintext } = await openSealed(source, trust, identity.identities);
    for await (const segment of plaintext) leaked.push(segment);
  } catch (thrown) {
    error = thrown;
  }
  return { plaintext: Buffer.concat(leaked), error };
}

describe.each(vectors)("vector $name", (vector) => {
  test.each(WAYS)("read %s", async (_way, pieces) => {
    const bytes = await Bun.file(join(DIRECTORY, `${vector.name}.sealed`)).bytes();
    const { plaintext, error } = await open(pieces(bytes));
    expect(plaintext.length).toBe(vector.plaintext_bytes);
    expect(createHash("sha256").update(plaintext).digest("hex")).toBe(vector.plaintext_sha256);
    if (vector.opens) {
      expect(error).toBeUndefined();
    } else {
      expect(error).toBeInstanceOf(Pg321Error);
      expect((error as Pg321Error).code).toBe(vector.code as Pg321Error["code"]);
      expect((error as Pg321Error).hint).toBeString();
    }
  });
});

test("every file in test/vectors is told of in vectors.json", async () => {
  const files = await Array.fromAsync(new Bun.Glob("*.sealed").scan(DIRECTORY));
  expect(files.sort()).toEqual(vectors.map(({ name }) => `${name}.sealed`).sort());
});
