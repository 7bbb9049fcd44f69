import { expect } from "bun:test";
import { Part } from "../../src/stream/part.ts";

/** Bytes that differ from place to place and from seed to seed. */
export function patterned(sizeBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = seed * 2654435761 + 1;
  const words = new Uint32Array(bytes.buffer, 0, sizeBytes >> 2);
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  for (let i = words.length * 4; i < sizeBytes; i++) bytes[i] = (seed + i) & 0xff;
  return bytes;
}

/** Hands out parts, and checks that each was released exactly once. */
export class CountedParts {
  readonly #released: number[] = [];
  /** Number of parts pulled. */
  get pulled(): number {
    return this.#released.length;
  }

  /** Cuts `bytes`; `before` is awaited before each part, and may throw or wait. */
  async *of(
    bytes: Uint8Array,
    partBytes: number,
    before?: (offset: number) => void | Promise<void>,
  ): AsyncGenerator<Part> {
    for (let offset = 0; offset < bytes.length; offset += partBytes) {
      await before?.(offset);
      yield this.part(bytes.slice(offset, offset + partBytes), offset);
    }
    await before?.(bytes.length);
  }

  /** A part whose buffer is overwritten when it is released, like that of a pool. */
  part(bytes: Uint8Array, offset: number): Part {
    const index = this.#released.push(0) - 1;
    const counted = new Part(bytes, offset, 1);
    const release = counted.release.bind(counted);
    counted.release = () => {
      this.#released[index] = (this.#released[index] ?? 0) + 1;
      bytes.fill(0xee);
      release();
    };
    return counted;
  }

  expectAllReleasedOnce(): void {
    expect(this.#released).toEqual(this.#released.map(() => 1));
  }
}
