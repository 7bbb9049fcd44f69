import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { MIB } from "../base/limits.ts";

/** Byte count and hash of a stream: the count grows while it runs, the hash is set after a normal end. */
export interface Meter {
  bytes: number;
  /** Lower-case hex SHA-256; undefined until the stream has ended normally. */
  sha256: string | undefined;
}

export function newMeter(): Meter {
  return { bytes: 0, sha256: undefined };
}

/** Passes the source on unchanged while `meter` counts and hashes it. Yields to the event loop after each MiB. */
export async function* metered(
  source: AsyncIterable<Uint8Array>,
  meter: Meter,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  let bytesThisTurn = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += MIB) {
      const piece = chunk.subarray(at, at + MIB);
      hash.update(piece);
      bytesThisTurn += piece.length;
      if (bytesThisTurn < MIB) continue;
      await setImmediate();
      bytesThisTurn = 0;
    }
    meter.bytes += chunk.length;
    yield chunk;
  }
  meter.sha256 = hash.digest("hex");
}

/** Passes the source on unchanged and calls `onBytes` for each chunk, without hashing. */
export async function* observed(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number, chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    onBytes(chunk.length, chunk);
    yield chunk;
  }
}
