/**
 * Writes `test/vectors/` anew: `bun scripts/make-vectors.ts`. Its keys and nonces are fresh each time, so
 * it is run only when a vector is added or the format gets a new version. Byte `i` of every plaintext is
 * `i % 251`.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { MIB, SEALED_AGE_BYTES_MAX, SEALED_METADATA_BYTES_MAX } from "../src/base/limits.ts";
import { payloadKey } from "../src/sealed/file-key.ts";
import { encodeIdentityFile, generateIdentity } from "../src/sealed/identity.ts";
import { sealSegment, TAG_BYTES } from "../src/sealed/payload.ts";
import { sealHeader } from "../src/sealed/seal.ts";
import type { SigningKey } from "../src/sealed/signing-key.ts";
import { generateSigningKey } from "../src/sealed/signing-key.ts";

const DIRECTORY = join(import.meta.dir, "../test/vectors");
const SEGMENT_BYTES = 64;
const FIRST_LINE_BYTES = "pg321 sealed 1\n".length;
const NONCE_BYTES = 16;
const INSTALLATION = "2f6c1f0e-58a5-4a0b-9f1c-3b1f0a6d7c11";

interface Vector {
  name: string;
  opens: boolean;
  /** The exit code's word when it does not open. */
  code?: "verification" | "key";
  /** What leaves: all of it, or the authentic segments before the damage. */
  plaintext_bytes: number;
  plaintext_sha256: string;
}

const ours = await generateIdentity();
const theirs = await generateIdentity();
const ourKey = generateSigningKey(INSTALLATION);
const theirKey = generateSigningKey(INSTALLATION);
const vectors: Vector[] = [];

const metadata = {
  installation: INSTALLATION,
  server: "main",
  database: "app",
  backup_id: "7d3e9b52-0c4f-4d8e-8a53-5e2f9d1c6b40",
  kind: "dump",
  started_at: "2026-11-23T00:25:00.000Z",
  compression: "none",
  cipher: "aes-256-gcm",
  segment_bytes: SEGMENT_BYTES,
  signer: ourKey.signer,
};

function plaintext(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => index % 251));
}

async function add(name: string, file: Uint8Array, outcome: Pick<Vector, "opens" | "code">, length: number) {
  await Bun.write(join(DIRECTORY, `${name}.sealed`), file);
  const sha256 = createHash("sha256").update(plaintext(length)).digest("hex");
  vectors.push({ name, ...outcome, plaintext_bytes: length, plaintext_sha256: sha256 });
}

const opens = (name: string, file: Uint8Array, length: number) => add(name, file, { opens: true }, length);
const fails = (name: string, file: Uint8Array, length = 0, code: "verification" | "key" = "verification") =>
  add(name, file, { opens: false, code }, length);

interface Sealing {
  metadata?: Record<string, unknown> | Uint8Array;
  fileKey?: Uint8Array;
  recipients?: string[];
  signingKey?: SigningKey;
}

/** A header over any metadata, right or wrong. */
function header({ metadata: said, fileKey = randomBytes(32), recipients, signingKey }: Sealing) {
  const bytes = said instanceof Uint8Array ? said : Buffer.from(JSON.stringify(said ?? metadata));
  return sealHeader(bytes, fileKey, recipients ?? [ours.recipient], signingKey ?? ourKey);
}

/** Segments with any counters, flags and sizes. */
function payload(fileKey: Uint8Array, segments: { index: number; isLast: boolean; bytes: Uint8Array }[]) {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = { key: payloadKey(fileKey, nonce), segmentBytes: SEGMENT_BYTES };
  const sealed = segments.flatMap(({ index, isLast, bytes }) => [
    ...sealSegment(cipher, index, isLast, [bytes]),
  ]);
  return Buffer.concat([nonce, ...sealed]);
}

function rightSegments(length: number, segmentBytes = SEGMENT_BYTES) {
  const bytes = plaintext(length);
  const count = Math.max(1, Math.ceil(length / segmentBytes));
  return Array.from({ length: count }, (_, index) => ({
    index,
    isLast: index === count - 1,
    bytes: bytes.subarray(index * segmentBytes, (index + 1) * segmentBytes),
  }));
}

async function sealed(length: number, sealing: Sealing = {}, segmentBytes = SEGMENT_BYTES) {
  const fileKey = sealing.fileKey ?? randomBytes(32);
  return Buffer.concat([
    await header({ ...sealing, fileKey }),
    payload(fileKey, rightSegments(length, segmentBytes)),
  ]);
}

async function crafted(segments: { index: number; isLast: boolean; bytes: Uint8Array }[]) {
  const fileKey = randomBytes(32);
  return Buffer.concat([await header({ fileKey }), payload(fileKey, segments)]);
}

function flipped(file: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}

async function addGood() {
  for (const length of [0, 1, 63, 64, 65, 128, 200, 1000]) {
    await opens(`good-${length}-bytes`, await sealed(length), length);
  }
  await opens(
    "good-two-recipients",
    await sealed(100, { recipients: [theirs.recipient, ours.recipient] }),
    100,
  );
  const named = { ...metadata, server: 'Größe "1"', database: "a/b\\c \u2028 数据库" };
  await opens("good-unicode-names", await sealed(100, { metadata: named }), 100);
  await opens("good-unknown-member", await sealed(100, { metadata: { ...metadata, later: [1] } }), 100);
  const production = { metadata: { ...metadata, segment_bytes: MIB } };
  await opens("good-production-segments", await sealed(MIB + 100, production, MIB), MIB + 100);
}

/** 200 bytes of plaintext: three whole segments and one of 8 bytes. */
const base = await sealed(200);
const metadataAt = FIRST_LINE_BYTES + 4;
const wrappedLengthAt = metadataAt + base.readUInt32BE(FIRST_LINE_BYTES);
const wrappedAt = wrappedLengthAt + 4;
const signatureAt = wrappedAt + base.readUInt32BE(wrappedLengthAt);
const macAt = signatureAt + 64;
const nonceAt = macAt + 32;
const segmentsAt = nonceAt + NONCE_BYTES;
const stride = SEGMENT_BYTES + TAG_BYTES;
const segmentAt = (index: number) => segmentsAt + index * stride;
const segment = (index: number) => base.subarray(segmentAt(index), segmentAt(index + 1));

async function addCut() {
  const points: [string, number, number?][] = [
    ["everything", 0],
    ["first-line", 7],
    ["metadata-length", FIRST_LINE_BYTES + 2],
    ["metadata", metadataAt + 20],
    ["wrapped-key", wrappedAt + 9],
    ["signature", signatureAt + 63],
    ["before-mac", macAt],
    ["before-nonce", nonceAt],
    ["nonce", nonceAt + 8],
    ["after-nonce", segmentsAt],
    ["tag-size-left", segmentsAt + TAG_BYTES],
    ["in-segment-0", segmentAt(0) + 30],
    ["after-segment-0", segmentAt(1)],
    ["in-segment-1", segmentAt(1) + 79, 64],
    ["after-segment-1", segmentAt(2), 64],
    ["after-segment-2", segmentAt(3), 128],
    ["tag-size-left-of-last", segmentAt(3) + TAG_BYTES, 192],
    ["last-byte", base.length - 1, 192],
  ];
  for (const [name, at, length] of points) await fails(`cut-${name}`, base.subarray(0, at), length);
  const whole = await sealed(128);
  await fails("cut-whole-last-segment", whole.subarray(0, whole.length - stride));
}

async function addMoved() {
  const start = base.subarray(0, segmentsAt);
  const order = (...indexes: number[]) => Buffer.concat([start, ...indexes.map(segment)]);
  await fails("moved-0-and-1", order(1, 0, 2, 3));
  await fails("moved-1-and-2", order(0, 2, 1, 3), 64);
  await fails("moved-last-first", order(3, 0, 1, 2));
  await fails("dropped-first", order(1, 2, 3));
  await fails("dropped-middle", order(0, 2, 3), 64);
  await fails("repeated-first", order(0, 0, 1, 2, 3), 64);
  await fails("repeated-middle", order(0, 1, 1, 2, 3), 128);
  await fails("repeated-last", order(0, 1, 2, 3, 3), 192);
  await fails("extended-by-a-byte", Buffer.concat([base, Buffer.alloc(1)]), 192);
  await fails("extended-by-a-tag", Buffer.concat([base, Buffer.alloc(TAG_BYTES)]), 192);
  await fails("extended-by-itself", Buffer.concat([base, base]), 192);
  const whole = await sealed(128);
  await fails("extended-whole-last-segment", Buffer.concat([whole, Buffer.alloc(1)]), 64);
  await fails("extended-empty", Buffer.concat([await sealed(0), Buffer.alloc(TAG_BYTES)]));
}

async function addFlipped() {
  const points: [string, number, number?][] = [
    ["first-line", 3],
    ["version", FIRST_LINE_BYTES - 2],
    ["metadata-length", FIRST_LINE_BYTES],
    ["metadata-brace", metadataAt],
    ["metadata-database", base.indexOf('"app"') + 1],
    ["wrapped-key", wrappedAt + 60],
    ["signature", signatureAt + 5],
    ["mac", macAt + 31],
    ["nonce", nonceAt],
    ["segment-0", segmentAt(0)],
    ["segment-0-tag", segmentAt(1) - 1],
    ["segment-2", segmentAt(2) + 33, 128],
    ["last-segment", segmentAt(3), 192],
    ["last-tag", base.length - 1, 192],
  ];
  for (const [name, at, length] of points) await fails(`flipped-${name}`, flipped(base, at), length);
}

async function addForged() {
  const other = await sealed(200);
  await fails(
    "signer-unknown",
    await sealed(100, { signingKey: theirKey, metadata: { ...metadata, signer: theirKey.signer } }),
    0,
    "key",
  );
  await fails("signer-impersonated", await sealed(100, { signingKey: theirKey }));
  await fails("recipient-other", await sealed(100, { recipients: [theirs.recipient] }), 0, "key");
  const otherNonceAt = other.length - (base.length - nonceAt);
  await fails("header-of-another", Buffer.concat([other.subarray(0, otherNonceAt), base.subarray(nonceAt)]));
  await fails(
    "header-and-nonce-of-another",
    Buffer.concat([other.subarray(0, otherNonceAt + NONCE_BYTES), base.subarray(segmentsAt)]),
  );
  const otherMac = other.subarray(otherNonceAt - 32, otherNonceAt);
  await fails("mac-of-another", Buffer.concat([base.subarray(0, macAt), otherMac, base.subarray(nonceAt)]));
  await fails("file-key-short", await sealed(100, { fileKey: randomBytes(16) }));
}

async function addMalformed() {
  const claim = (at: number, length: number) => {
    const copy = Buffer.from(base);
    copy.writeUInt32BE(length, at);
    return copy;
  };
  await fails("metadata-length-too-large", claim(FIRST_LINE_BYTES, 0xffffffff));
  await fails("wrapped-key-length-too-large", claim(wrappedLengthAt, SEALED_AGE_BYTES_MAX + 1));
  const { database: _, ...nameless } = metadata;
  const said: [string, Record<string, unknown> | Uint8Array][] = [
    ["not-json", Buffer.from("{")],
    ["byte-order-mark", Buffer.from(`\ufeff${JSON.stringify(metadata)}`)],
    ["not-utf-8", Buffer.from(JSON.stringify(metadata).replace('"app"', '"\xff"'), "latin1")],
    ["without-database", nameless],
    ["cipher-unknown", { ...metadata, cipher: "aes-128-gcm" }],
    ["segments-too-small", { ...metadata, segment_bytes: 63 }],
    ["segments-too-large", { ...metadata, segment_bytes: 16 * MIB + 1 }],
    ["segments-not-whole", { ...metadata, segment_bytes: 64.5 }],
    ["too-long", { ...metadata, padding: "x".repeat(SEALED_METADATA_BYTES_MAX) }],
  ];
  for (const [name, content] of said) {
    // One segment: but for its metadata each of these is a file that opens.
    await fails(`metadata-${name}`, await sealed(50, { metadata: content }));
  }
  const [first, second] = rightSegments(128);
  if (first === undefined || second === undefined) throw new Error("128 bytes are two segments");
  const none = new Uint8Array(0);
  await fails(
    "segments-empty-last",
    await crafted([first, { ...second, isLast: false }, { index: 2, isLast: true, bytes: none }]),
    128,
  );
  await fails("segments-last-too-early", await crafted([{ ...first, isLast: true }, second]));
  await fails("segments-none-is-last", await crafted([first, { ...second, isLast: false }]), 64);
  await fails(
    "segments-from-1",
    await crafted([
      { ...first, index: 1 },
      { ...second, index: 2 },
    ]),
  );
  const short = { index: 0, isLast: false, bytes: plaintext(10) };
  await fails("segments-short-first", await crafted([short, second]));
}

await rm(DIRECTORY, { recursive: true, force: true });
await mkdir(DIRECTORY, { recursive: true });
await addGood();
await addCut();
await addMoved();
await addFlipped();
await addForged();
await addMalformed();
const createdAt = new Date(metadata.started_at);
const about = { installation: INSTALLATION, signers: [ourKey.signer], createdAt };
await Bun.write(join(DIRECTORY, "identity.txt"), await encodeIdentityFile(ours, about));
await Bun.write(join(DIRECTORY, "vectors.json"), `${JSON.stringify(vectors, null, 2)}\n`);
console.log(`${vectors.length} vectors`);
