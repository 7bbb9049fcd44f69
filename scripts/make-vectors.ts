/**
 * Writes the missing files of `test/vectors/`: `bun scripts/make-vectors.ts`. Existing vectors stay as they are: an
 * earlier pg321 wrote them, and every later version must read them. Byte `i` of every plaintext (if it is compressed, of
 * the decompressed text) is `i % 251`.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { armor } from "age-encryption";
import { MIB, SEALED_AGE_BYTES_MAX, SEALED_METADATA_BYTES_MAX } from "../src/base/limits.ts";
import { headerMac, NONCE_BYTES, wrapFileKey } from "../src/sealed/file-key.ts";
import { encodeSignedBytes } from "../src/sealed/header.ts";
import { generateIdentity, readIdentityFile } from "../src/sealed/identity.ts";
import { TAG_BYTES } from "../src/sealed/payload.ts";
import { sealHeader } from "../src/sealed/seal.ts";
import type { SigningKey } from "../src/sealed/signing-key.ts";
import { generateSigningKey, readSigningKey } from "../src/sealed/signing-key.ts";
import { writeContainers } from "./vectors/containers.ts";
import { flipped, payload, plaintext, rightSegments, SEGMENT_BYTES, sha256 } from "./vectors/crafting.ts";
import { identityVectors } from "./vectors/identities.ts";
import { manifestVectors } from "./vectors/manifests.ts";
import { oddMetadata, refusedMetadata } from "./vectors/metadata.ts";

const DIRECTORY = join(import.meta.dir, "../test/vectors");
const FIRST_LINE_BYTES = "pg321 sealed 1\n".length;
const INSTALLATION = "2f6c1f0e-58a5-4a0b-9f1c-3b1f0a6d7c11";

interface Vector {
  name: string;
  opens: boolean;
  /** The name of the exit code if it does not open. */
  code?: "verification" | "key";
  /** The output: the whole plaintext, or the authentic segments before the damage. */
  plaintext_bytes: number;
  plaintext_sha256: string;
  /** The decompressed plaintext, if it is compressed. */
  dump_bytes?: number;
  dump_sha256?: string;
}

const textOf = (name: string) => Bun.file(join(DIRECTORY, name)).text();
const identityText = await textOf("identity.txt");
const [ourRecipient = ""] = (await readIdentityFile(identityText)).recipients;
const theirs = await generateIdentity();
const ourKey = readSigningKey(await textOf("signing.key"));
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

async function writeOnce(name: string, bytes: Uint8Array | string): Promise<void> {
  const file = Bun.file(join(DIRECTORY, name));
  if (!(await file.exists())) await Bun.write(file, bytes);
}

async function add(name: string, file: Uint8Array, outcome: Pick<Vector, "opens" | "code">, length: number) {
  await writeOnce(`${name}.sealed`, file);
  const plaintext_sha256 = sha256(plaintext(length));
  vectors.push({ name, ...outcome, plaintext_bytes: length, plaintext_sha256 });
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

/** A header with any metadata, valid or not. */
function header({ metadata: said, fileKey = randomBytes(32), recipients, signingKey }: Sealing) {
  const bytes = said instanceof Uint8Array ? said : Buffer.from(JSON.stringify(said ?? metadata));
  return sealHeader(bytes, fileKey, recipients ?? [ourRecipient], signingKey ?? ourKey);
}

async function sealed(content: number | Uint8Array, sealing: Sealing = {}, segmentBytes = SEGMENT_BYTES) {
  const fileKey = sealing.fileKey ?? randomBytes(32);
  const bytes = typeof content === "number" ? plaintext(content) : content;
  return Buffer.concat([
    await header({ ...sealing, fileKey }),
    payload(fileKey, rightSegments(bytes, segmentBytes)),
  ]);
}

async function crafted(segments: { index: number; isLast: boolean; bytes: Uint8Array }[]) {
  const fileKey = randomBytes(32);
  return Buffer.concat([await header({ fileKey }), payload(fileKey, segments)]);
}

async function addGood() {
  for (const length of [0, 1, 63, 64, 65, 128, 200, 1000]) {
    await opens(`good-${length}-bytes`, await sealed(length), length);
  }
  await opens(
    "good-two-recipients",
    await sealed(100, { recipients: [theirs.recipient, ourRecipient] }),
    100,
  );
  const named = { ...metadata, server: 'Größe "1"', database: "a/b\\c \u2028 数据库" };
  await opens("good-unicode-names", await sealed(100, { metadata: named }), 100);
  await opens("good-unknown-member", await sealed(100, { metadata: { ...metadata, later: [1] } }), 100);
  const production = { metadata: { ...metadata, segment_bytes: MIB } };
  await opens("good-production-segments", await sealed(MIB + 100, production, MIB), MIB + 100);
  for (const [name, said] of oddMetadata(metadata)) {
    await opens(`metadata-${name}`, await sealed(50, { metadata: said }), 50);
  }
}

/** Consecutive frames or members are one dump; a skippable frame contains none of it. */
async function addCompressed() {
  const dump = plaintext(1000);
  const halves = [dump.subarray(0, 400), dump.subarray(400)] as const;
  const [zstd, zstdRest] = halves.map((half) => Bun.zstdCompressSync(half)) as [Buffer, Buffer];
  const [gzip, gzipRest] = halves.map((half) => gzipSync(half)) as [Buffer, Buffer];
  const skipped = Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const empty = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  const plaintexts: [string, string, Uint8Array[]][] = [
    ["zstd-frames", "zstd", [zstd, zstdRest]],
    ["zstd-skippable-first", "zstd", [skipped, zstd, zstdRest]],
    ["zstd-skippable-between", "zstd", [zstd, skipped, empty, zstdRest]],
    ["zstd-skippable-last", "zstd", [zstd, zstdRest, skipped]],
    ["gzip-members", "gzip", [gzip, gzipRest]],
  ];
  for (const [name, compression, parts] of plaintexts) {
    const file = await sealed(Buffer.concat(parts), { metadata: { ...metadata, compression } });
    await writeOnce(`${name}.sealed`, file);
    const [plaintext_bytes, plaintext_sha256] = [Buffer.concat(parts).length, sha256(Buffer.concat(parts))];
    const [dump_bytes, dump_sha256] = [dump.length, sha256(dump)];
    vectors.push({ name, opens: true, plaintext_bytes, plaintext_sha256, dump_bytes, dump_sha256 });
  }
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

/** Each of these has two mistakes: the check that comes first decides. */
async function addDoublyWrong() {
  const stranger = { signingKey: theirKey, metadata: { ...metadata, signer: theirKey.signer } };
  const unknown = await sealed(0, stranger);
  const payloadBytes = NONCE_BYTES + TAG_BYTES;
  await fails("wrong-twice-signer-and-cut", unknown.subarray(0, unknown.length - payloadBytes + 8));
  const signatureByte = unknown.length - payloadBytes - 32 - 1;
  await fails("wrong-twice-signer-and-signature", flipped(unknown, signatureByte), 0, "key");
  const noKind = { ...stranger, metadata: { ...stranger.metadata, kind: "wal" } };
  await fails("wrong-twice-signer-and-metadata", await sealed(0, noKind));
  const closed = await sealed(0, { recipients: [theirs.recipient] });
  await fails("wrong-twice-recipient-and-mac", flipped(closed, closed.length - payloadBytes - 1), 0, "key");
  await fails("wrong-twice-recipient-and-signature", flipped(closed, signatureByte));
  await fails("wrong-twice-signer-and-armor", await armored(stranger));
}

/** A file whose wrapped key has the other form of an age file, which `age -d` opens as well. */
async function armored(sealing: Sealing = {}) {
  const said = Buffer.from(JSON.stringify(sealing.metadata ?? metadata));
  const fileKey = randomBytes(32);
  const wrapped = Buffer.from(armor.encode(await wrapFileKey(fileKey, [ourRecipient])));
  const signedBytes = encodeSignedBytes(said, wrapped);
  const signature = (sealing.signingKey ?? ourKey).sign("pg321 sealed 1 signature\n", signedBytes);
  const authenticated = Buffer.concat([signedBytes, signature]);
  const mac = headerMac(fileKey, authenticated);
  return Buffer.concat([authenticated, mac, payload(fileKey, rightSegments(plaintext(0)))]);
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
  await fails("wrapped-key-armored", await armored());
  for (const [name, content] of [...said, ...refusedMetadata(metadata)]) {
    // One segment: except for its metadata, each of these files would open.
    await fails(`metadata-${name}`, await sealed(50, { metadata: content }));
  }
  const [first, second] = rightSegments(plaintext(128));
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

await mkdir(join(DIRECTORY, "identities"), { recursive: true });
await mkdir(join(DIRECTORY, "manifests"), { recursive: true });
await mkdir(join(DIRECTORY, "containers"), { recursive: true });
await addGood();
await addCompressed();
await addCut();
await addMoved();
await addFlipped();
await addForged();
await addDoublyWrong();
await addMalformed();
const manifests = manifestVectors(ourKey, theirKey).map(async ({ bytes, ...vector }) => {
  await writeOnce(`manifests/${vector.name}.json`, bytes);
  return vector;
});
const identities = identityVectors(identityText, theirs).map(async ({ bytes, ...vector }) => {
  await writeOnce(`identities/${vector.name}.txt`, bytes);
  return vector;
});
const lists = {
  vectors,
  containers: await writeContainers(metadata, ourRecipient, ourKey, writeOnce),
  manifests: await Promise.all(manifests),
  identities: await Promise.all(identities),
};
for (const [name, list] of Object.entries(lists)) {
  await Bun.write(join(DIRECTORY, `${name}.json`), `${JSON.stringify(list, null, 2)}\n`);
  console.log(`${list.length} ${name}`);
}
