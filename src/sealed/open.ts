import { timingSafeEqual } from "node:crypto";
import type { Secret } from "../base/secret.ts";
import { damaged } from "./damage.ts";
import type { SealedVersion } from "./file-key.ts";
import { headerMac, NONCE_BYTES, payloadKey, unwrapFileKey } from "./file-key.ts";
import type { SealedHeader, SealedStream } from "./header.ts";
import { readHeader } from "./header.ts";
import type { BackupNames, SealedMetadata } from "./metadata.ts";
import { requireNames } from "./metadata.ts";
import type { PayloadCipher } from "./payload.ts";
import { openSegments, TAG_BYTES } from "./payload.ts";
import { isSignedBy, requireTrusted } from "./signing-key.ts";

/** A reader's conditions for trusting a header. */
export interface Trust {
  /** Public keys of the installations whose backups may be restored (base64). */
  trustedSigners: readonly string[];
  /** The required values in the file's header; members not given may have any value. */
  expected?: Partial<BackupNames>;
}

/** Opens the payload of one verified header, in any of the file's copies. */
export interface Opener {
  readonly version: SealedVersion;
  readonly metadata: SealedMetadata;
  /** Where segment 0 begins in the file. */
  readonly segmentsOffset: number;
  readonly cipher: PayloadCipher;
}

/**
 * Checks that the header is from a trusted installation and of the requested file; needs no identity. Throws code
 * `key` (untrusted signer) or `verification` (forged, damaged, or of another backup).
 */
export function verifySignature(header: SealedHeader, { trustedSigners, expected = {} }: Trust): void {
  const { version, metadata, signedBytes, signature } = header;
  requireTrusted("sealed file", metadata.signer, trustedSigners);
  if (!isSignedBy(metadata.signer, `pg321 sealed ${version} signature\n`, signedBytes, signature)) {
    throw damaged("its header is damaged or forged: the signature does not match");
  }
  requireNames(metadata, expected);
}

/**
 * Verifies signature and names, then unwraps the file key (code `key` if no identity does) and checks that the
 * header belongs to it.
 */
export async function verifyHeader(
  { header, headerBytes, payloadOffset }: Pick<SealedStream, "header" | "headerBytes" | "payloadOffset">,
  trust: Trust,
  identities: readonly Secret[],
): Promise<Opener> {
  verifySignature(header, trust);
  const fileKey = await unwrapFileKey(header.wrappedFileKey, identities);
  const authenticated = headerBytes.subarray(0, headerBytes.length - header.mac.length);
  if (!timingSafeEqual(headerMac(fileKey, authenticated, header.version), header.mac)) {
    throw damaged("its header is damaged: the authentication code does not match");
  }
  const { version, metadata, nonce } = header;
  return {
    ...{ version, metadata },
    segmentsOffset: payloadOffset + NONCE_BYTES,
    cipher: { key: payloadKey(fileKey, nonce, version), segmentBytes: metadata.segment_bytes },
  };
}

/** Where a segment begins in the file, in bytes. */
export function segmentOffset(opener: Opener, segment: number): number {
  return opener.segmentsOffset + segment * (opener.cipher.segmentBytes + TAG_BYTES);
}

/**
 * The plaintext, one authenticated segment at a time. `source` is the file's bytes from `segmentOffset(opener,
 * firstSegment)` to its end, of any copy; it is closed in any case. Throws code `verification` before any byte of a
 * damaged, displaced or missing segment; errors of `source` pass unchanged.
 */
export function openPayload(
  opener: Opener,
  source: AsyncIterable<Uint8Array>,
  firstSegment = 0,
): AsyncGenerator<Uint8Array> {
  return openSegments(opener.cipher, source, firstSegment);
}

/**
 * Opens a whole file: the header is verified when the promise resolves, the plaintext (still compressed) as it is
 * read.
 */
export async function openSealed(
  source: AsyncIterable<Uint8Array>,
  trust: Trust,
  identities: readonly Secret[],
): Promise<{ version: SealedVersion; metadata: SealedMetadata; plaintext: AsyncGenerator<Uint8Array> }> {
  const stream = await readHeader(source);
  try {
    const opener = await verifyHeader(stream, trust, identities);
    return {
      version: opener.version,
      metadata: opener.metadata,
      plaintext: openPayload(opener, stream.rest),
    };
  } catch (error) {
    await stream.rest.return();
    throw error;
  }
}
