import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import type { Behaviour } from "../../test/lab/fan-out-lab.ts";
import { AHEAD, chunkOf, Lab, never, run, statesOf } from "../../test/lab/fan-out-lab.ts";
import { unlessAborted } from "../base/abort.ts";
import type { Sink } from "./fan-out.ts";
import { fanOut } from "./fan-out.ts";

describe("the source fails", () => {
  test.each([0, 1, 30])("after %d parts: its error is thrown and no sink has stored", async (count) => {
    const lab = new Lab();
    const broken = new Error("pg_dump ended with exit code 1");
    const { error } = await run(lab, count, [lab.sink("a"), lab.sink("b", { perPartMs: 5 })], {}, broken);
    expect(error as unknown).toBe(broken);
    expect(statesOf(lab.told)).toEqual({ a: "failed", b: "failed" });
  });

  test("if it cannot be opened", async () => {
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

  test("while only some sinks work: stored objects have been reported", async () => {
    const lab = new Lab();
    const storing = run(lab, 3, [lab.sink("done"), lab.sink("busy", { beforeEnd: never })]);
    while (lab.told.length === 0) await setImmediate();
    lab.abort.abort(reason);
    expect((await storing).error as unknown).toBe(reason);
    expect(statesOf(lab.told)).toEqual({ done: "stored", busy: "failed" });
  });

  test("that every sink gets too is thrown as its reason, not as a lack of sinks", async () => {
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
      // A child that is slow to end.
      await lab.clock.sleep(4_000);
      signal.throwIfAborted();
    }
    const storing = fanOut(slowToEnd, [stores], lab.options());
    await lab.clock.advance(100);
    lab.abort.abort(reason);
    await expect(lab.clock.advanceUntil(storing)).rejects.toBe(reason);
  });
});
