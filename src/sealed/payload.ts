import type { KeyObject } from "node:crypto";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { KIB } from "../base/limits.ts";
import { ByteReader } from "./byte-reader.ts";
import { damaged } from "./damage.ts";

export const TAG_BYTES = 16;
const ALGORITHM = "aes-256-gcm";
/** Larger ciphertext buffers cost the same CPU time, and tens of MB more at the peak until they are collected. */
const UPDATE_BYTES = 128 * KIB;

/** A payload's key and segment size: all that is needed to seal or open its segments. */
export interface PayloadCipher {
  key: KeyObject;
  /** Plaintext bytes of every segment except the last. */
  segmentBytes: number;
}

/**
 * The segments of `source`. Keeps pieces until their segment is complete and known to be the last or not, so the
 * source must not reuse the memory of pieces that it yielded. Yields to the event loop after each segment.
 */
export async function* sealSegments(
  cipher: PayloadCipher,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  let index = 0;
  for await (let rest of source) {
    while (rest.length > 0) {
      if (sizeBytes === cipher.segmentBytes) {
        yield* sealSegment(cipher, index, false, pieces);
        await setImmediate();
        pieces = [];
        sizeBytes = 0;
        index += 1;
      }
      const piece = rest.subarray(0, cipher.segmentBytes - sizeBytes);
      rest = rest.subarray(piece.length);
      sizeBytes += piece.length;
      pieces.push(piece);
    }
  }
  yield* sealSegment(cipher, index, true, pieces);
}

export function* sealSegment(
  { key }: PayloadCipher,
  index: number,
  isLast: boolean,
  pieces: Iterable<Uint8Array>,
): Generator<Uint8Array> {
  const gcm = createCipheriv(ALGORITHM, key, segmentNonce(index, isLast));
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += UPDATE_BYTES)
      yield gcm.update(piece.subarray(at, at + UPDATE_BYTES));
  }
  gcm.final();
  yield gcm.getAuthTag();
}

/**
 * The plaintext of each segment, in order, from the first one in `source`. Yields a segment only if it is authentic
 * and in its place; the generator returns only after the true last segment.
 */
export async function* openSegments(
  cipher: PayloadCipher,
  source: AsyncIterable<Uint8Array>,
  firstSegment: number,
): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(source);
  try {
    for (let index = firstSegment; ; index += 1) {
      const sealed = await reader.take(cipher.segmentBytes + TAG_BYTES);
      const isLast = await reader.atEnd();
      yield openSegment(cipher, index, isLast, sealed);
      if (isLast) return;
      await setImmediate();
    }
  } finally {
    await reader.return();
  }
}

function openSegment({ key }: PayloadCipher, index: number, isLast: boolean, sealed: Uint8Array): Uint8Array {
  const sizeBytes = sealed.length - TAG_BYTES;
  // An empty segment after others would be a second way to write the same payload, so it is refused.
  if (sizeBytes < 0 || (sizeBytes === 0 && index > 0))
    throw damaged(`truncated in or before segment ${index}`);
  const gcm = createDecipheriv(ALGORITHM, key, segmentNonce(index, isLast));
  gcm.setAuthTag(sealed.subarray(sizeBytes));
  const plaintext = gcm.update(sealed.subarray(0, sizeBytes));
  try {
    gcm.final();
  } catch {
    throw damaged(
      isLast
        ? `segment ${index}, at its end, is damaged or not the last one: it is truncated, or has bytes added`
        : `segment ${index} is damaged or out of order`,
    );
  }
  return plaintext;
}

/** 11 bytes of counter, big-endian, and one byte that is 1 in the last segment: STREAM, as in age. */
function segmentNonce(index: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(index), 3);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}
