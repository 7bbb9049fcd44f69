import { describe, expect, test } from "bun:test";
import type { Behaviour } from "../../test/lab/fan-out-lab.ts";
import { AHEAD, chunkOf, Lab, never, PART, run, statesOf } from "../../test/lab/fan-out-lab.ts";
import type { Sink, SinkOutcome } from "./fan-out.ts";
import { fanOut, NoSinkLeftError } from "./fan-out.ts";
import type { Part } from "./part.ts";

describe("a sink is too slow", () => {
  test("a stalled sink is dropped, wherever it stops; the others store everything", async () => {
    const behaviours: Behaviour[] = [{ stopAtPart: 0 }, { stopAtPart: 7 }, { beforeEnd: never }];
    for (const behaviour of behaviours) {
      const lab = new Lab();
      const stalled = lab.sink("stalled", behaviour, { stallTimeoutMs: 1_000 });
      const { outcomes } = await run(lab, 20, [stalled, lab.sink("a", {}, { stallTimeoutMs: 1_000 })]);
      expect(statesOf(outcomes ?? [])).toEqual({ stalled: "stalled", a: "stored" });
    }
  });

  test("a sink that never pulls and obeys only its signal is dropped", async () => {
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

  test("a sink dropped while it waits for its body gets the error there", async () => {
    const lab = new Lab();
    // It reports no progress, so it counts as stalled while it waits for the next part.
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

  test("no sink is blamed for the time that a dropped one takes to leave", async () => {
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

  test("the last sink is dropped too if it stalls: it would never finish", async () => {
    const lab = new Lab();
    const { error } = await run(lab, 100, [lab.sink("a", { stopAtPart: 3 }, { stallTimeoutMs: 1_000 })]);
    expect(error).toBeInstanceOf(NoSinkLeftError);
    expect(statesOf(error?.outcomes ?? [])).toEqual({ a: "stalled" });
    expect(lab.sourceAborted).toBe(true);
  });

  test.each([5, 20, 50])(
    "below its min_rate at %d ms a part, it is dropped while it holds the source back",
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

  test("time that it waits for its own rate limit counts neither as slow nor as a stall", async () => {
    const lab = new Lab();
    // It takes each part in 1 ms, then waits 20 ms: on average far less than its min_rate.
    const paced: Sink<string> = {
      ...lab.sink("paced", {}, { minRate: (PART / 5) * 1000, stallTimeoutMs: 15 }),
      store: async (body, signal, onProgress, onPause) => {
        for await (const part of body) {
          await lab.clock.sleep(1, signal);
          onProgress(part.bytes.length);
          part.release();
          onPause?.(true);
          await lab.clock.sleep(20, signal);
          onPause?.(false);
        }
        return "";
      },
    };
    const { outcomes } = await run(lab, 500, [paced, lab.sink("a")]);
    expect(statesOf(outcomes ?? [])).toEqual({ paced: "stored", a: "stored" });
    const halfPaced = new Lab();
    const slow: Sink<string> = {
      ...halfPaced.sink("slow", {}, { minRate: (PART / 5) * 1000 }),
      store: async (body, signal, onProgress, onPause) => {
        for await (const part of body) {
          await halfPaced.clock.sleep(20, signal);
          onProgress(part.bytes.length);
          part.release();
          onPause?.(true);
          await halfPaced.clock.sleep(1, signal);
          onPause?.(false);
        }
        return "";
      },
    };
    const dropped = await run(halfPaced, 500, [slow, halfPaced.sink("a")]);
    expect(statesOf(dropped.outcomes ?? [])).toEqual({ slow: "slow", a: "stored" });
  });

  test("above its min_rate it is kept", async () => {
    const lab = new Lab();
    const slow = lab.sink("slow", { perPartMs: 20 }, { minRate: (PART / 20) * 1000 * 0.5 });
    const { outcomes } = await run(lab, 100, [slow, lab.sink("a")]);
    expect(statesOf(outcomes ?? [])).toEqual({ slow: "stored", a: "stored" });
  });

  test("min_rate drops no sink if the source is slow", async () => {
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

  test("min_rate never drops the last sink", async () => {
    const lab = new Lab();
    const sinks = ["a", "b", "c"].map((name) => lab.sink(name, { perPartMs: 20 }, { minRate: 1e9 }));
    const { outcomes } = await run(lab, 100, sinks);
    const states = Object.values(statesOf(outcomes ?? [])).toSorted();
    expect(states).toEqual(["slow", "slow", "stored"]);
  });

  test("a sink that would make the dump too long is dropped, unless it is the last one", async () => {
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

  test("a sink that makes the dump exceed its time is dropped, even the last one", async () => {
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

  test("once the source has ended no sink holds it back", async () => {
    const lab = new Lab();
    // The dump ends after about 1 s, nearly all of which it was held back.
    const finishing = lab.sink(
      "a",
      { perPartMs: 20, beforeEnd: (signal) => lab.clock.sleep(5_000, signal) },
      { minRate: 1e9 },
    );
    const { outcomes } = await run(lab, 50, [finishing], { maxDurationMs: 1_100, rateWindowMs: 10_000 });
    expect(statesOf(outcomes ?? [])).toEqual({ a: "stored" });
  });

  test("a dropped sink that has stored the object nevertheless counts as stored", async () => {
    const lab = new Lab();
    const finishing = lab.sink("a", { beforeEnd: () => lab.clock.sleep(2_000) }, { stallTimeoutMs: 1_000 });
    const { outcomes } = await run(lab, 5, [finishing, lab.sink("b")]);
    expect(statesOf(outcomes ?? [])).toEqual({ a: "stored", b: "stored" });
  });
});
