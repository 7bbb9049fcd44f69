import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { unlessAborted } from "../base/abort.ts";
import type { FanOutOptions, Sink, SinkOutcome } from "./fan-out.ts";
import { fanOut, NoSinkLeftError } from "./fan-out.ts";
import type { Part } from "./part.ts";

const PART = 100;
const AHEAD = 4;
/** Bytes that a source of `count` chunks yields; every chunk is one part. */
const chunkOf = (at: number) => new Uint8Array(PART).fill(at);

/** What the sinks saw, and whether they gave back what they took. */
class Lab {
  readonly clock = new ManualClock();
  readonly abort = new AbortController();
  readonly told: SinkOutcome<unknown>[] = [];
  /** Parts that a sink holds now; the memory behind all parts. */
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

  /** A source of so many chunks, that throws at its end if told to. */
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

interface Behaviour {
  perPartMs?: number;
  /** Throws when it has this part; 0: before it asks for any. */
  failAtPart?: number;
  /** Takes this part and then nothing more. */
  stopAtPart?: number;
  beforeEnd?: (signal: AbortSignal) => Promise<void>;
}

const all = (count: number) =>
  Array.from({ length: count }, (_, at) => `${at}:${PART}@${at * PART} `).join("");
const statesOf = (outcomes: SinkOutcome<unknown>[]) =>
  Object.fromEntries(outcomes.map(({ name, state }) => [name, state]));
const never = (signal: AbortSignal) => unlessAborted(new Promise<void>(() => {}), signal);

async function run(
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
  // Whatever the end: the source is closed, nobody holds a part, and memory kept its bound.
  expect(lab.sourceClosed).toBe(1);
  expect(lab.held).toBe(0);
  expect(lab.memories.size).toBeLessThanOrEqual(AHEAD);
  expect(lab.clock.sleeping).toBe(0);
  return result;
}

describe("all goes well", () => {
  test.each([0, 1, 3, 50])("%d parts reach every sink once, in order", async (count) => {
    const lab = new Lab();
    const { outcomes } = await run(lab, count, [
      lab.sink("a"),
      lab.sink("b", { perPartMs: 3 }),
      lab.sink("c"),
    ]);
    expect(outcomes).toEqual(
      ["a", "b", "c"].map((name) => ({ name, state: "stored" as const, value: all(count) })),
    );
    expect(lab.told).toHaveLength(3);
  });

  test("chunks that do not fit parts", async () => {
    const lab = new Lab();
    async function* source() {
      for (const size of [1, 250, 0, 99, 101]) yield new Uint8Array(size);
    }
    const outcomes = await fanOut(source, [lab.sink("a")], lab.options());
    expect(outcomes[0]).toMatchObject({ value: "0:100@0 0:100@100 0:100@200 0:100@300 0:51@400 " });
  });

  test("progress is told per sink, as the bytes that it took", async () => {
    const lab = new Lab();
    const told: string[] = [];
    await run(lab, 2, [lab.sink("a"), lab.sink("b")], {
      onProgress: (name, bytes) => told.push(`${name} ${bytes}`),
    });
    expect(told.toSorted()).toEqual(["a 100", "a 200", "b 100", "b 200"]);
  });
});

describe("a sink fails", () => {
  test.each([
    ["at the start", { failAtPart: 0 }],
    ["in the middle", { failAtPart: 5 }],
    ["at the end", { beforeEnd: () => Promise.reject(new Error("bad broke")) }],
  ])("%s: the others store all", async (_, behaviour) => {
    const lab = new Lab();
    const { outcomes } = await run(lab, 20, [lab.sink("bad", behaviour), lab.sink("a"), lab.sink("b")]);
    expect(statesOf(outcomes ?? [])).toEqual({ bad: "failed", a: "stored", b: "stored" });
    expect(outcomes?.[0]).toMatchObject({
      error: expect.objectContaining({ message: expect.stringMatching(/^bad/) }),
    });
    expect(lab.passed).toBe(20);
  });

  test("by throwing where it should reject", async () => {
    const lab = new Lab();
    const bad: Sink<string> = {
      ...lab.sink("bad"),
      store: () => {
        throw new Error("at once");
      },
    };
    const { outcomes } = await run(lab, 3, [bad, lab.sink("a")]);
    expect(statesOf(outcomes ?? [])).toEqual({ bad: "failed", a: "stored" });
  });

  test("all of them: the source is ended early and every outcome is told", async () => {
    const lab = new Lab();
    const sinks = [lab.sink("a", { failAtPart: 2 }), lab.sink("b", { failAtPart: 4 })];
    const { error } = await run(lab, 1000, sinks);
    expect(error).toBeInstanceOf(NoSinkLeftError);
    expect(statesOf(error?.outcomes ?? [])).toEqual({ a: "failed", b: "failed" });
    expect(lab.sourceAborted).toBe(true);
    expect(lab.passed).toBeLessThan(20);
  });

  test("all of them after the source has ended", async () => {
    const lab = new Lab();
    const beforeEnd = () => Promise.reject(new Error("the last step"));
    const { error } = await run(lab, 3, [lab.sink("a", { beforeEnd }), lab.sink("b", { beforeEnd })]);
    expect(error).toBeInstanceOf(NoSinkLeftError);
    expect(error?.outcomes).toHaveLength(2);
  });

  test("all of them while the source waits: its signal ends it", async () => {
    const lab = new Lab();
    async function* stuck(signal: AbortSignal) {
      try {
        yield chunkOf(0);
        await never(signal);
      } finally {
        lab.sourceClosed++;
      }
    }
    const ending = fanOut(stuck, [lab.sink("a", { failAtPart: 0 })], lab.options());
    await expect(ending).rejects.toBeInstanceOf(NoSinkLeftError);
    expect(lab.sourceClosed).toBe(1);
  });

  test("there is none at all", async () => {
    const lab = new Lab();
    await expect(fanOut(lab.source(3), [], lab.options())).rejects.toBeInstanceOf(NoSinkLeftError);
    expect(lab.sourceClosed).toBe(0);
  });
});

describe("a sink that resolves before the end of its body has not stored it", () => {
  const early = (name: string, parts: number): Sink<string> => ({
    name,
    minRate: 0,
    stallTimeoutMs: 0,
    store: async (body) => {
      let left = parts;
      if (left === 0) return "nothing read";
      for await (const part of body) {
        part.release();
        if (--left === 0) break;
      }
      return "some read";
    },
  });

  test.each([0, 1, 5])("after %d of 5 parts", async (parts) => {
    const lab = new Lab();
    const { outcomes } = await run(lab, 5, [early("early", parts), lab.sink("a")]);
    expect(statesOf(outcomes ?? [])).toEqual({ early: "failed", a: "stored" });
    expect(outcomes?.[0]).toMatchObject({
      error: expect.objectContaining({ message: "ended before the stream did" }),
    });
  });

  test("also when it leaves the body alone and lingers", async () => {
    const lab = new Lab();
    const lingering: Sink<string> = {
      ...early("lingering", 0),
      store: async (body, signal) => {
        for await (const part of body) {
          part.release();
          break;
        }
        await lab.clock.sleep(500, signal);
        return "late";
      },
    };
    const { outcomes } = await run(lab, 20, [lingering, lab.sink("a")]);
    expect(statesOf(outcomes ?? [])).toEqual({ lingering: "failed", a: "stored" });
  });
});

describe("a sink is too slow", () => {
  test("one that stalls is dropped, wherever it stops; the others store all", async () => {
    const behaviours: Behaviour[] = [{ stopAtPart: 0 }, { stopAtPart: 7 }, { beforeEnd: never }];
    for (const behaviour of behaviours) {
      const lab = new Lab();
      const stalled = lab.sink("stalled", behaviour, { stallTimeoutMs: 1_000 });
      const { outcomes } = await run(lab, 20, [stalled, lab.sink("a", {}, { stallTimeoutMs: 1_000 })]);
      expect(statesOf(outcomes ?? [])).toEqual({ stalled: "stalled", a: "stored" });
    }
  });

  test("one that never pulls and heeds only its signal is dropped", async () => {
    const lab = new Lab();
    const deaf: Sink<string> = {
      name: "deaf",
      minRate: 0,
      stallTimeoutMs: 1_000,
      store: (_, signal) => never(signal).then(() => ""),
    };
    const { outcomes } = await run(lab, 20, [deaf, lab.sink("a")]);
    expect(statesOf(outcomes ?? [])).toEqual({ deaf: "stalled", a: "stored" });
  });

  test("one that is dropped while it waits for its body learns it there", async () => {
    const lab = new Lab();
    // It tells of no progress, so it counts as stalled while it waits for the next part.
    const quiet: Sink<string> = {
      name: "quiet",
      minRate: 0,
      stallTimeoutMs: 500,
      store: async (body) => {
        for await (const part of body) part.release();
        return "";
      },
    };
    let passedBefore = 0;
    const onOutcome = ({ name }: SinkOutcome<unknown>) => {
      if (name === "quiet") passedBefore = lab.passed;
    };
    const { outcomes } = await run(lab, 100, [quiet, lab.sink("a", { perPartMs: 20 })], { onOutcome });
    expect(statesOf(outcomes ?? [])).toEqual({ quiet: "stalled", a: "stored" });
    expect(passedBefore).toBeLessThan(50);
  });

  test("nobody is blamed for the time that a dropped one takes to leave", async () => {
    const lab = new Lab();
    const holding: Sink<string> = {
      name: "holding",
      minRate: 0,
      stallTimeoutMs: 200,
      store: async (body, signal) => {
        const parts: Part[] = [];
        try {
          for await (const part of body) {
            if (parts.push(part) === AHEAD) await never(signal);
          }
          return "";
        } finally {
          await lab.clock.sleep(2_000);
          for (const part of parts) part.release();
        }
      },
    };
    const others = ["a", "b"].map((name) => lab.sink(name, {}, { minRate: 1_000 }));
    const { outcomes } = await run(lab, 50, [holding, ...others]);
    expect(statesOf(outcomes ?? [])).toEqual({ holding: "stalled", a: "stored", b: "stored" });
  });

  test("waiting for the source is not a stall", async () => {
    const lab = new Lab();
    async function* slow() {
      for (let at = 0; at < 5; at++) {
        await lab.clock.sleep(10_000);
        yield chunkOf(at);
      }
      lab.sourceClosed++;
    }
    const storing = fanOut(
      slow,
      [lab.sink("a", { perPartMs: 500 }, { stallTimeoutMs: 1_000 })],
      lab.options(),
    );
    expect(statesOf(await lab.clock.advanceUntil(storing))).toEqual({ a: "stored" });
  });

  test("the last one that stalls is dropped too: nothing would ever come of it", async () => {
    const lab = new Lab();
    const { error } = await run(lab, 100, [lab.sink("a", { stopAtPart: 3 }, { stallTimeoutMs: 1_000 })]);
    expect(error).toBeInstanceOf(NoSinkLeftError);
    expect(statesOf(error?.outcomes ?? [])).toEqual({ a: "stalled" });
    expect(lab.sourceAborted).toBe(true);
  });

  test.each([5, 20, 50])(
    "under its min_rate at %d ms a part, it is dropped while it holds the source back",
    async (ms) => {
      const lab = new Lab();
      const minRate = (PART / ms) * 1000 * 1.5;
      const slow = lab.sink("slow", { perPartMs: ms }, { minRate });
      const { outcomes } = await run(lab, 500, [slow, lab.sink("a"), lab.sink("b")]);
      expect(statesOf(outcomes ?? [])).toEqual({ slow: "slow", a: "stored", b: "stored" });
      expect(outcomes?.[0]).toMatchObject({
        error: expect.objectContaining({ message: expect.stringContaining("min_rate") }),
      });
    },
  );

  test("over its min_rate it is kept", async () => {
    const lab = new Lab();
    const slow = lab.sink("slow", { perPartMs: 20 }, { minRate: (PART / 20) * 1000 * 0.5 });
    const { outcomes } = await run(lab, 100, [slow, lab.sink("a")]);
    expect(statesOf(outcomes ?? [])).toEqual({ slow: "stored", a: "stored" });
  });

  test("min_rate drops nobody when it is the source that is slow", async () => {
    const lab = new Lab();
    async function* slow() {
      for (let at = 0; at < 50; at++) {
        await lab.clock.sleep(50);
        yield chunkOf(at);
      }
    }
    const sinks = ["a", "b"].map((name) => lab.sink(name, { perPartMs: 5 }, { minRate: 1e9 }));
    const outcomes = await lab.clock.advanceUntil(fanOut(slow, sinks, lab.options()), 10);
    expect(statesOf(outcomes)).toEqual({ a: "stored", b: "stored" });
  });

  test("min_rate never drops the last one", async () => {
    const lab = new Lab();
    const sinks = ["a", "b", "c"].map((name) => lab.sink(name, { perPartMs: 20 }, { minRate: 1e9 }));
    const { outcomes } = await run(lab, 100, sinks);
    const states = Object.values(statesOf(outcomes ?? [])).toSorted();
    expect(states).toEqual(["slow", "slow", "stored"]);
  });

  test("one that would make the dump too long is dropped, but not the last one", async () => {
    const lab = new Lab();
    // 100 parts at 20 ms take 2 s.
    const options = { maxDurationMs: 1_500, progress: () => lab.passed / 100 };
    const { outcomes } = await run(lab, 100, [lab.sink("slow", { perPartMs: 20 }), lab.sink("a")], options);
    expect(statesOf(outcomes ?? [])).toEqual({ slow: "slow", a: "stored" });

    const enough = new Lab();
    const kept = await run(enough, 100, [enough.sink("slow", { perPartMs: 20 }), enough.sink("a")], {
      maxDurationMs: 3_000,
      progress: () => enough.passed / 100,
    });
    expect(statesOf(kept.outcomes ?? [])).toEqual({ slow: "stored", a: "stored" });
  });

  test("one that holds the dump past its time in fact is dropped, the last one too", async () => {
    const lab = new Lab();
    const { outcomes } = await run(lab, 200, [lab.sink("slow", { perPartMs: 20 }), lab.sink("a")], {
      maxDurationMs: 1_500,
    });
    expect(statesOf(outcomes ?? [])).toEqual({ slow: "slow", a: "stored" });
    const alone = new Lab();
    const { error } = await run(alone, 200, [alone.sink("slow", { perPartMs: 20 })], {
      maxDurationMs: 1_500,
    });
    expect(error).toBeInstanceOf(NoSinkLeftError);
    expect(alone.sourceAborted).toBe(true);
  });

  test("once the source has ended nobody holds it back", async () => {
    const lab = new Lab();
    // The dump is over after about 1 s, of which it was held back nearly all.
    const finishing = lab.sink(
      "a",
      { perPartMs: 20, beforeEnd: (signal) => lab.clock.sleep(5_000, signal) },
      { minRate: 1e9 },
    );
    const { outcomes } = await run(lab, 50, [finishing], { maxDurationMs: 1_100, rateWindowMs: 10_000 });
    expect(statesOf(outcomes ?? [])).toEqual({ a: "stored" });
  });

  test("a dropped sink that has stored the object all the same has stored it", async () => {
    const lab = new Lab();
    const finishing = lab.sink("a", { beforeEnd: () => lab.clock.sleep(2_000) }, { stallTimeoutMs: 1_000 });
    const { outcomes } = await run(lab, 5, [finishing, lab.sink("b")]);
    expect(statesOf(outcomes ?? [])).toEqual({ a: "stored", b: "stored" });
  });
});

describe("the source fails", () => {
  test.each([0, 1, 30])("after %d parts: its error is thrown and no sink has stored", async (count) => {
    const lab = new Lab();
    const broken = new Error("pg_dump ended with exit code 1");
    const { error } = await run(lab, count, [lab.sink("a"), lab.sink("b", { perPartMs: 5 })], {}, broken);
    expect(error as unknown).toBe(broken);
    expect(statesOf(lab.told)).toEqual({ a: "failed", b: "failed" });
  });

  test("when it cannot even be opened", async () => {
    const lab = new Lab();
    const open = () => {
      throw new Error("cannot be opened");
    };
    await expect(fanOut(open, [lab.sink("a")], lab.options())).rejects.toThrow("cannot be opened");
    expect(statesOf(lab.told)).toEqual({ a: "failed" });
  });

  test("a sink that swallows the error of its body has not stored it", async () => {
    const lab = new Lab();
    const swallowing: Sink<string> = {
      ...lab.sink("swallowing"),
      store: async (body) => {
        try {
          for await (const part of body) part.release();
        } catch {}
        return "as if";
      },
    };
    const broken = new Error("the source");
    const { error } = await run(lab, 3, [swallowing], {}, broken);
    expect(error as unknown).toBe(broken);
    expect(statesOf(lab.told)).toEqual({ swallowing: "failed" });
  });
});

describe("an abort", () => {
  const reason = new Error("interrupted");

  test("before the start opens nothing and starts no sink", async () => {
    const lab = new Lab();
    lab.abort.abort(reason);
    await expect(fanOut(lab.source(3), [lab.sink("a")], lab.options())).rejects.toBe(reason);
    expect(lab.sourceClosed).toBe(0);
    expect(lab.told).toEqual([]);
  });

  test("while the source waits, while a sink holds it back, and while only sinks work", async () => {
    const phases: { count: number; behaviour: Behaviour; until: (lab: Lab) => boolean }[] = [
      { count: 1000, behaviour: { perPartMs: 50 }, until: (lab) => lab.passed > 10 },
      { count: 3, behaviour: { beforeEnd: never }, until: (lab) => lab.sourceClosed === 1 },
      { count: 1000, behaviour: { stopAtPart: 2 }, until: (lab) => lab.passed >= AHEAD },
    ];
    for (const { count, behaviour, until } of phases) {
      const lab = new Lab();
      const storing = run(lab, count, [lab.sink("a", behaviour), lab.sink("b", behaviour)]);
      while (!until(lab)) await setImmediate();
      await lab.clock.advance(10);
      lab.abort.abort(reason);
      expect((await storing).error as unknown).toBe(reason);
      expect(statesOf(lab.told)).toEqual({ a: "failed", b: "failed" });
    }
  });

  test("while only some sinks work: what is stored has been told", async () => {
    const lab = new Lab();
    const storing = run(lab, 3, [lab.sink("done"), lab.sink("busy", { beforeEnd: never })]);
    while (lab.told.length === 0) await setImmediate();
    lab.abort.abort(reason);
    expect((await storing).error as unknown).toBe(reason);
    expect(statesOf(lab.told)).toEqual({ done: "stored", busy: "failed" });
  });

  test("that every sink hears too is thrown as its reason, not as a lack of sinks", async () => {
    const lab = new Lab();
    const listening = lab.sink("a");
    const stores: Sink<string> = {
      ...listening,
      store: (body, signal, onProgress) =>
        unlessAborted(listening.store(body, signal, onProgress), lab.abort.signal),
    };
    async function* slowToEnd(signal: AbortSignal) {
      yield chunkOf(0);
      await never(signal).catch(() => {});
      // A child that takes its time to die.
      await lab.clock.sleep(4_000);
      signal.throwIfAborted();
    }
    const storing = fanOut(slowToEnd, [stores], lab.options());
    await lab.clock.advance(100);
    lab.abort.abort(reason);
    await expect(lab.clock.advanceUntil(storing)).rejects.toBe(reason);
  });
});

test("no more parts exist than the slowest sink may lag behind", async () => {
  const lab = new Lab();
  const offsets: number[] = [];
  const recording = lab.sink("fast");
  const fast: Sink<string> = {
    ...recording,
    store: (body, signal, onProgress) =>
      recording.store(
        (async function* (): AsyncGenerator<Part> {
          for await (const part of body) {
            offsets.push(part.offset);
            yield part;
          }
        })(),
        signal,
        onProgress,
      ),
  };
  const storing = run(lab, 100, [fast, lab.sink("stopped", { stopAtPart: 10 }, { stallTimeoutMs: 60_000 })]);
  while (offsets.length < 10 + AHEAD) await setImmediate();
  await lab.clock.advance(1_000);
  expect(Math.max(...offsets)).toBe((10 + AHEAD - 1) * PART);
  await storing;
});
