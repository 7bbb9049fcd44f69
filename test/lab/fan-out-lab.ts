import { expect } from "bun:test";
import { unlessAborted } from "../../src/base/abort.ts";
import type { FanOutOptions, Sink, SinkOutcome } from "../../src/stream/fan-out.ts";
import { fanOut, type NoSinkLeftError } from "../../src/stream/fan-out.ts";
import { ManualClock } from "./manual-clock.ts";

export const PART = 100;
export const AHEAD = 4;
/** The chunk of a source at an index; every chunk is one part. */
export const chunkOf = (at: number) => new Uint8Array(PART).fill(at);

/** Records what the sinks received, and whether they released all parts. */
export class Lab {
  readonly clock = new ManualClock();
  readonly abort = new AbortController();
  readonly told: SinkOutcome<unknown>[] = [];
  /** The parts that a sink holds now; the memory behind all parts. */
  held = 0;
  readonly memories = new Set<ArrayBufferLike>();
  passed = 0;
  sourceClosed = 0;
  sourceAborted = false;

  options(options: Partial<FanOutOptions> = {}): FanOutOptions {
    return {
      partBytes: PART,
      partsAhead: AHEAD,
      maxDurationMs: 0,
      signal: this.abort.signal,
      clock: this.clock,
      tickMs: 10,
      rateWindowMs: 100,
      onOutcome: (outcome) => this.told.push(outcome),
      ...options,
    };
  }

  /** A source of `count` chunks that can throw at its end. */
  source(count: number, error?: Error) {
    const lab = this;
    return async function* (signal: AbortSignal) {
      signal.addEventListener("abort", () => {
        lab.sourceAborted = true;
      });
      try {
        for (let at = 0; at < count; at++) {
          signal.throwIfAborted();
          yield chunkOf(at);
          lab.passed++;
        }
        if (error) throw error;
      } finally {
        lab.sourceClosed++;
      }
    };
  }

  sink(name: string, behaviour: Behaviour = {}, limits: Partial<Sink<string>> = {}): Sink<string> {
    const { perPartMs = 0, failAtPart, stopAtPart, beforeEnd } = behaviour;
    return {
      name,
      minRate: 0,
      stallTimeoutMs: 0,
      ...limits,
      store: async (body, signal, onProgress) => {
        let text = "";
        let at = 0;
        if (failAtPart === 0) throw new Error(`${name} refused`);
        for await (const part of body) {
          this.held++;
          this.memories.add(part.bytes.buffer);
          try {
            if (at === failAtPart) throw new Error(`${name} broke`);
            if (at === stopAtPart) await unlessAborted(new Promise(() => {}), signal);
            if (perPartMs > 0) await this.clock.sleep(perPartMs, signal);
            text += `${part.bytes[0]}:${part.bytes.length}@${part.offset} `;
            onProgress(part.bytes.length);
          } finally {
            this.held--;
            part.release();
          }
          at++;
        }
        await beforeEnd?.(signal);
        return text;
      },
    };
  }
}

export interface Behaviour {
  perPartMs?: number;
  /** Throws when it has received this part; 0: before it asks for any part. */
  failAtPart?: number;
  /** Takes this part and then nothing more. */
  stopAtPart?: number;
  beforeEnd?: (signal: AbortSignal) => Promise<void>;
}

export const all = (count: number) =>
  Array.from({ length: count }, (_, at) => `${at}:${PART}@${at * PART} `).join("");
export const statesOf = (outcomes: SinkOutcome<unknown>[]) =>
  Object.fromEntries(outcomes.map(({ name, state }) => [name, state]));
export const never = (signal: AbortSignal) => unlessAborted(new Promise<void>(() => {}), signal);

export async function run(
  lab: Lab,
  count: number,
  sinks: Sink<string>[],
  options: Partial<FanOutOptions> = {},
  error?: Error,
) {
  const result = await lab.clock.advanceUntil(
    fanOut(lab.source(count, error), sinks, lab.options(options)).then(
      (outcomes) => ({ outcomes, error: undefined }),
      (thrown: unknown) => ({ outcomes: undefined, error: thrown as NoSinkLeftError }),
    ),
    10,
  );
  // In any case the source is closed, nobody holds a part, and memory has stayed within its limit.
  expect(lab.sourceClosed).toBe(1);
  expect(lab.held).toBe(0);
  expect(lab.memories.size).toBeLessThanOrEqual(AHEAD);
  expect(lab.clock.sleeping).toBe(0);
  return result;
}
