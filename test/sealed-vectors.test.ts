import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Pg321Error } from "../src/base/errors.ts";
import type { IdentityFile } from "../src/sealed/identity.ts";
import { readIdentityFile } from "../src/sealed/identity.ts";
import { decodeManifest, manifestText } from "../src/sealed/manifest.ts";
import { openSealed } from "../src/sealed/open.ts";
import type { CompressionAlgorithm } from "../src/stream/compression.ts";
import { decompress } from "../src/stream/compression.ts";
import { reasonOfIdentity, reasonOfManifest, reasonOfSealed } from "./fixtures/vector-reasons.ts";
import { bytesOf, streamOf } from "./lab/data/streams.ts";
import identities from "./vectors/identities.json";
import manifests from "./vectors/manifests.json";
import vectors from "./vectors/vectors.json";

const DIRECTORY = join(import.meta.dir, "vectors");
const identity = await readIdentityFile(await Bun.file(join(DIRECTORY, "identity.txt")).text());
const bytesIn = (file: string) => Bun.file(join(DIRECTORY, file)).bytes();
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function* inPieces(bytes: Uint8Array, pieceBytes: (index: number) => number) {
  for (let at = 0, index = 0; at < bytes.length; index += 1) {
    const piece = bytes.subarray(at, at + pieceBytes(index));
    at += piece.length;
    yield piece;
  }
}

/** Odd sizes, including empty pieces, never in step with a segment. */
const ODD = [1, 7, 0, 33, 129, 3, 61, 0, 1021];

const WAYS: [string, (bytes: Uint8Array) => AsyncIterable<Uint8Array>][] = [
  ["whole", (bytes) => inPieces(bytes, () => bytes.length)],
  ["in odd pieces", (bytes) => inPieces(bytes, (index) => ODD[index % ODD.length] ?? 1)],
  ["byte by byte", (bytes) => inPieces(bytes, () => 1)],
];

async function open(source: AsyncIterable<Uint8Array>, opener: IdentityFile = identity) {
  const leaked: Uint8Array[] = [];
  let error: unknown;
  let compression: CompressionAlgorithm = "none";
  try {
    const trust = { trustedSigners: opener.signers };
    const { metadata, plaintext } = await openSealed(source, trust, opener.identities);
    compression = metadata.compression;
    for await (const segment of plaintext) leaked.push(segment);
  } catch (thrown) {
    error = thrown;
  }
  return { plaintext: Buffer.concat(leaked), error, compression };
}

function expectRefusal(error: unknown, code: string | undefined, why: string): void {
  expect(error).toBeInstanceOf(Pg321Error);
  expect((error as Pg321Error).code).toBe(code as Pg321Error["code"]);
  expect((error as Pg321Error).message).toContain(why);
  expect((error as Pg321Error).hint).toBeString();
  // Nothing in the file may move the cursor of a terminal.
  expect((error as Pg321Error).message).not.toMatch(/\p{Cc}/u);
}

describe.each(vectors)("vector $name", (vector) => {
  test.each(WAYS)("read %s", async (_way, pieces) => {
    const bytes = await bytesIn(`${vector.name}.sealed`);
    const { plaintext, error, compression } = await open(pieces(bytes));
    expect(plaintext.length).toBe(vector.plaintext_bytes);
    expect(sha256(plaintext)).toBe(vector.plaintext_sha256);
    if (!vector.opens)
      return expectRefusal(error, vector.code, reasonOfSealed(vector.name, vector.plaintext_bytes));
    expect(error).toBeUndefined();
    if (vector.dump_sha256 === undefined) return;
    const dump = await bytesOf(decompress(streamOf(plaintext), compression));
    expect([dump.length, sha256(dump)]).toEqual([vector.dump_bytes, vector.dump_sha256]);
  });
});

test.each(manifests)("manifest $name", async (vector) => {
  const bytes = await bytesIn(`manifests/${vector.name}.json`);
  const decode = () => decodeManifest(manifestText(bytes), identity.signers);
  if (vector.opens) return expect(decode().backup_id).toBeString();
  expectRefusal(thrownBy(decode), vector.code, reasonOfManifest(vector.name));
});

/** Cases that only a reader of the table of members can detect. */
const BY_THE_TABLE = /^(version|time|size|sha256|previous-id|encryption|details|object-key)-/;

test("the Python of docs/format.md accepts exactly the correct manifests", async () => {
  const page = await Bun.file(join(import.meta.dir, "../docs/format.md")).text();
  const [, code = ""] = /```python\n([^`]+)```/.exec(page) ?? [];
  const accepted = manifests.filter(({ name }) => name !== "good-not-signed" && !BY_THE_TABLE.test(name));
  const program = `
import base64, json, re, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
code, trusted, *names = json.load(sys.stdin)
for name in names:
    names = {**globals(), "data": open(name, "rb").read()}
    try:
        exec(code, names)
        print("opens")
    except (Exception, SystemExit):
        print("refused")
`;
  const files = accepted.map(({ name }) => join(DIRECTORY, `manifests/${name}.json`));
  const input = Buffer.from(JSON.stringify([code, identity.signers, ...files]));
  const { stdout } = Bun.spawnSync(["python3", "-c", program], { stdin: input });
  const verdicts = stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((verdict, index) => [accepted[index]?.name, verdict]);
  expect(verdicts).toEqual(accepted.map(({ name, opens }) => [name, opens ? "opens" : "refused"]));
});

function thrownBy(call: () => unknown): unknown {
  try {
    return void call();
  } catch (error) {
    return error;
  }
}

test.each(identities)("identity file $name", async ({ name, opens }) => {
  const text = Buffer.from(await bytesIn(`identities/${name}.txt`)).toString();
  const sealed = await bytesIn("good-200-bytes.sealed");
  const attempt = async () => open(streamOf(sealed), await readIdentityFile(text));
  const { error } = await attempt().catch((error: unknown) => ({ error }));
  if (opens) return expect(error).toBeUndefined();
  expectRefusal(error, "key", reasonOfIdentity(name));
  expect(String(error)).not.toContain("AGE-SECRET");
});

test.each([
  ["*.sealed", vectors.map(({ name }) => `${name}.sealed`)],
  ["manifests/*", manifests.map(({ name }) => `manifests/${name}.json`)],
  ["identities/*", identities.map(({ name }) => `identities/${name}.txt`)],
])("every file in test/vectors/%s is in a list", async (pattern, names) => {
  const files = await Array.fromAsync(new Bun.Glob(pattern).scan(DIRECTORY));
  expect(files.sort()).toEqual(names.sort());
});
