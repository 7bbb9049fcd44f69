import { SEALED_AGE_BYTES_MAX, SEALED_METADATA_BYTES_MAX } from "../base/limits.ts";
import { plural } from "../base/text/amounts.ts";
import { ByteReader } from "./byte-reader.ts";
import { damaged } from "./damage.ts";
import type { SealedVersion } from "./file-key.ts";
import { MAC_BYTES, NONCE_BYTES } from "./file-key.ts";
import type { SealedMetadata } from "./metadata.ts";
import { decodeMetadata } from "./metadata.ts";
import { SIGNATURE_BYTES } from "./signing-key.ts";

const MAGIC = "pg321 sealed ";
const VERSIONS: readonly SealedVersion[] = [1, 2];
const FIRST_LINE_BYTES = firstLine(1).length;
/** First line of a binary age file; an armored file would be a second form of the same key, so it is refused. */
const AGE_LINE = Buffer.from("age-encryption.org/v1\n");

/** A header as read: parsed, but not verified. */
export interface SealedHeader {
  version: SealedVersion;
  metadata: SealedMetadata;
  /** The signed part: everything before the signature. */
  signedBytes: Uint8Array;
  wrappedFileKey: Uint8Array;
  signature: Uint8Array;
  mac: Uint8Array;
  /** The nonce at the beginning of the payload. */
  nonce: Uint8Array;
}

export interface SealedStream {
  header: SealedHeader;
  /** The header's exact bytes, without the payload's nonce. */
  headerBytes: Uint8Array;
  /** Where the payload (its nonce, then its segments) begins in the file. */
  payloadOffset: number;
  /** The segments. A caller that does not read them to the end must call `return()`. */
  rest: ByteReader;
}

/** The signed part of a header. */
export function encodeSignedBytes(
  metadata: Uint8Array,
  wrappedFileKey: Uint8Array,
  version: SealedVersion = 1,
): Uint8Array {
  const line = firstLine(version);
  return Buffer.concat([line, lengthOf(metadata), metadata, lengthOf(wrappedFileKey), wrappedFileKey]);
}

function firstLine(version: SealedVersion): Buffer {
  return Buffer.from(`${MAGIC}${version}\n`);
}

function lengthOf(bytes: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return length;
}

/**
 * Reads the header and the payload's nonce. Throws code `verification` (and closes `source`) if they are not
 * complete and well-formed. Nothing in the result may be trusted before `verifySignature`.
 */
export async function readHeader(source: AsyncIterable<Uint8Array>): Promise<SealedStream> {
  const reader = new ByteReader(source);
  try {
    const version = versionOf(await reader.take(FIRST_LINE_BYTES));
    const metadata = await takePart(reader, "metadata", SEALED_METADATA_BYTES_MAX);
    const wrappedFileKey = await takePart(reader, "wrapped key", SEALED_AGE_BYTES_MAX);
    if (!AGE_LINE.equals(wrappedFileKey.subarray(0, AGE_LINE.length)))
      throw damaged("its wrapped key is not a binary age file");
    const signature = await takeWhole(reader, "signature", SIGNATURE_BYTES);
    const mac = await takeWhole(reader, "authentication code", MAC_BYTES);
    const nonce = await takeWhole(reader, "nonce", NONCE_BYTES);
    const signedBytes = encodeSignedBytes(metadata, wrappedFileKey, version);
    const headerBytes = Buffer.concat([signedBytes, signature, mac]);
    const header = {
      version,
      metadata: decodeMetadata(metadata, version),
      signedBytes,
      wrappedFileKey,
      signature,
      mac,
      nonce,
    };
    return { header, headerBytes, payloadOffset: headerBytes.length, rest: reader };
  } catch (error) {
    await reader.return();
    throw error;
  }
}

function versionOf(line: Uint8Array): SealedVersion {
  const version = VERSIONS.find((one) => firstLine(one).equals(line));
  if (version !== undefined) return version;
  if (
    line.length < FIRST_LINE_BYTES &&
    VERSIONS.some((one) => firstLine(one).subarray(0, line.length).equals(line))
  ) {
    throw damaged("truncated in its first line");
  }
  if (Buffer.from(line).toString("latin1").startsWith(MAGIC)) {
    throw damaged(
      "its format version is neither 1 nor 2, which are all that this pg321 reads",
      "open it with the pg321 that wrote it or a newer one; if there is none, the file is damaged",
    );
  }
  throw damaged("does not begin like a file sealed by pg321", "give a file made by pg321 backup (….enc)");
}

async function takePart(reader: ByteReader, what: string, lengthMax: number): Promise<Uint8Array> {
  const length = Buffer.from(await takeWhole(reader, `length of the ${what}`, 4)).readUInt32BE();
  if (length > lengthMax)
    throw damaged(
      `its ${what} claims ${plural(length, "byte")}, more than ${lengthMax.toLocaleString("en")}`,
    );
  return takeWhole(reader, what, length);
}

async function takeWhole(reader: ByteReader, what: string, count: number): Promise<Uint8Array> {
  const bytes = await reader.take(count);
  if (bytes.length < count) throw damaged(`truncated in its ${what}`);
  return bytes;
}
