import { createHash, randomBytes } from "node:crypto";
import type { SealedVersion } from "../../src/sealed/file-key.ts";
import { NONCE_BYTES, payloadKey } from "../../src/sealed/file-key.ts";
import { sealSegment } from "../../src/sealed/payload.ts";

export const SEGMENT_BYTES = 64;

export function plaintext(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => index % 251));
}

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A payload of segments with any counters, flags and sizes. */
export function payload(
  fileKey: Uint8Array,
  segments: { index: number; isLast: boolean; bytes: Uint8Array }[],
  version: SealedVersion = 1,
) {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = { key: payloadKey(fileKey, nonce, version), segmentBytes: SEGMENT_BYTES };
  const sealed = segments.flatMap(({ index, isLast, bytes }) => [
    ...sealSegment(cipher, index, isLast, [bytes]),
  ]);
  return Buffer.concat([nonce, ...sealed]);
}

export function rightSegments(bytes: Uint8Array, segmentBytes = SEGMENT_BYTES) {
  const count = Math.max(1, Math.ceil(bytes.length / segmentBytes));
  return Array.from({ length: count }, (_, index) => ({
    index,
    isLast: index === count - 1,
    bytes: bytes.subarray(index * segmentBytes, (index + 1) * segmentBytes),
  }));
}

export function flipped(file: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
