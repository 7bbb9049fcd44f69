import { randomBytes } from "node:crypto";
import { SEGMENT_BYTES } from "../base/limits.ts";
import type { SealedVersion } from "./file-key.ts";
import { FILE_KEY_BYTES, headerMac, NONCE_BYTES, payloadKey, wrapFileKey } from "./file-key.ts";
import { encodeSignedBytes } from "./header.ts";
import type { BackupNames, SealedMetadata } from "./metadata.ts";
import { encodeMetadata } from "./metadata.ts";
import { sealSegments } from "./payload.ts";
import type { SigningKey } from "./signing-key.ts";

export interface SealOptions {
  /** age X25519 recipients (`age1…`), at least one. */
  recipients: readonly string[];
  signingKey: SigningKey;
  /** Plaintext bytes of one segment; other values than the default are for test vectors. */
  segmentBytes?: number;
  /** 2 if the source is a container of several archives, compressed; otherwise 1. */
  version?: SealedVersion;
}

/**
 * The sealed file of the bytes of `source`. Makes keys and header before the first pull from `source`; throws code
 * `usage` for bad recipients. If `source` throws, the file ends without its last segment, so no reader accepts it
 * as complete. `source` must not reuse the memory of pieces that it yielded.
 */
export async function* seal(
  source: AsyncIterable<Uint8Array>,
  names: BackupNames,
  { recipients, signingKey, segmentBytes = SEGMENT_BYTES, version = 1 }: SealOptions,
): AsyncGenerator<Uint8Array> {
  const fileKey = randomBytes(FILE_KEY_BYTES);
  const metadata: SealedMetadata = {
    installation: names.installation,
    server: names.server,
    database: names.database,
    backup_id: names.backup_id,
    kind: names.kind,
    started_at: names.started_at,
    compression: names.compression,
    cipher: "aes-256-gcm",
    segment_bytes: segmentBytes,
    signer: signingKey.signer,
  };
  yield await sealHeader(encodeMetadata(metadata), fileKey, recipients, signingKey, version);
  const nonce = randomBytes(NONCE_BYTES);
  yield nonce;
  yield* sealSegments({ key: payloadKey(fileKey, nonce, version), segmentBytes }, source);
}

/** The header's bytes for metadata already encoded. */
export async function sealHeader(
  metadata: Uint8Array,
  fileKey: Uint8Array,
  recipients: readonly string[],
  signingKey: SigningKey,
  version: SealedVersion = 1,
): Promise<Uint8Array> {
  const signedBytes = encodeSignedBytes(metadata, await wrapFileKey(fileKey, recipients), version);
  const signature = signingKey.sign(`pg321 sealed ${version} signature\n`, signedBytes);
  const authenticated = Buffer.concat([signedBytes, signature]);
  return Buffer.concat([authenticated, headerMac(fileKey, authenticated, version)]);
}
