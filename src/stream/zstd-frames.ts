/**
 * Cuts a stream of concatenated zstd frames (RFC 8878) at the ends of the frames, so that each can be decompressed
 * separately in the thread pool. The runtime's streaming decompressor accepts a stream that ends inside a frame as
 * complete; this does not. Skips skippable frames, which contain nothing of the dump, like `zstd -d`.
 */

const MAGIC = 0xfd2fb528;
/** The last four bits may have any value. */
const SKIPPABLE_MAGIC = 0x184d2a50;
/** At worst a block of our dump compresses to a little more than itself; anything far larger is not ours. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const BLOCK_TYPE_RLE = 1;
const BLOCK_TYPE_RESERVED = 3;

export async function* zstdFrames(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let held = new Uint8Array();
  let heldBytes = 0;
  /** With fewer held bytes no frame can be complete, so chunks need not be examined. */
  let neededBytes = 1;
  let isEmpty = true;
  for await (const chunk of source) {
    if (heldBytes + chunk.length > held.length) {
      // Doubled, so that a frame in many small chunks is not copied again for each of them.
      const larger = new Uint8Array(Math.max(2 * held.length, heldBytes + chunk.length));
      larger.set(held.subarray(0, heldBytes));
      held = larger;
    }
    held.set(chunk, heldBytes);
    heldBytes += chunk.length;
    if (heldBytes < neededBytes) continue;
    let rest = held.subarray(0, heldBytes);
    for (;;) {
      const { complete, length, isSkippable } = frameLength(rest);
      neededBytes = length;
      if (!complete) break;
      if (!isSkippable) {
        isEmpty = false;
        yield rest.subarray(0, length);
      }
      rest = rest.subarray(length);
    }
    if (rest.length === heldBytes) continue;
    // The reader owns the frames now, so further bytes go into other memory.
    held = rest.slice();
    heldBytes = rest.length;
  }
  if (heldBytes > 0 || isEmpty) throw new Error("zstd: the stream ends within a frame");
}

/**
 * The length in bytes of the frame at the start of `bytes`; if it is not complete, the least number of bytes
 * needed.
 */
function frameLength(bytes: Uint8Array): { complete: boolean; length: number; isSkippable?: true } {
  if (bytes.length < 5) return { complete: false, length: 5 };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) >>> 4 === SKIPPABLE_MAGIC >>> 4) return skippableLength(view);
  if (view.getUint32(0, true) !== MAGIC) throw new Error("zstd: not a frame");
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  let at = 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] as number);
  at += contentSizeFlag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[contentSizeFlag] as number);
  for (;;) {
    if (at > FRAME_BYTES_MAX) throw new Error("zstd: a frame is larger than pg321 writes");
    if (at + 3 > bytes.length) return { complete: false, length: at + 3 };
    const blockHeader = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const blockType = (blockHeader >> 1) & 3;
    if (blockType === BLOCK_TYPE_RESERVED) throw new Error("zstd: reserved block type");
    at += 3 + (blockType === BLOCK_TYPE_RLE ? 1 : blockHeader >> 3);
    if ((blockHeader & 1) === 1) break;
  }
  const length = at + ((descriptor & 4) !== 0 ? 4 : 0);
  return { complete: length <= bytes.length, length };
}

function skippableLength(view: DataView): { complete: boolean; length: number; isSkippable: true } {
  if (view.byteLength < 8) return { complete: false, length: 8, isSkippable: true };
  const length = 8 + view.getUint32(4, true);
  if (length > FRAME_BYTES_MAX) throw new Error("zstd: a frame is larger than pg321 writes");
  return { complete: length <= view.byteLength, length, isSkippable: true };
}
