import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { MIB } from "../base/limits.ts";

/** What passed by: the byte count grows while it runs, the hash is there after a normal end. */
export interface Meter {
  bytes: number;
  /** Lower-case hex SHA-256; undefined until the stream ended normally. */
  sha256: string | undefined;
}

export function newMeter(): Meter {
  return { bytes: 0, sha256: undefined };
}

/** Hands the source on unchanged while `meter` counts and hashes it. Lets the event loop turn after each MiB. */
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

/** Hands the source on unchanged and tells how many bytes passed, and which, without hashing. */
export async function* observed(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number, chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    onBytes(chunk.length, chunk);
    yield chunk;
  }
}
