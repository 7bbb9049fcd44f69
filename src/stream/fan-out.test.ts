import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { AHEAD, all, chunkOf, Lab, never, PART, run, statesOf } from "../../test/lab/fan-out-lab.ts";
import type { Sink } from "./fan-out.ts";
import { fanOut, NoSinkLeftError } from "./fan-out.ts";
import type { Part } from "./part.ts";

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

  test("progress is reported per sink, as the bytes that it took", async () => {
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

  test("by throwing instead of rejecting", async () => {
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

  test("all of them: the source is ended early and every outcome is reported", async () => {
    const lab = new Lab();
    const sinks = [lab.sink("a", { failAtPart: 2 }), lab.sink("b", { failAtPart: 4 })];
    const { error } = await run(lab, 1000, sinks);
    expect(error).toBeInstanceOf(NoSinkLeftError);
    expect(statesOf(error?.outcomes ?? [])).toEqual({ a: "failed", b: "failed" });
    expect(lab.sourceAborted).toBe(true);
    expect(lab.passed).toBeLessThan(20);
  });

  test("before the source does: its own error is distinguished from the source's", async () => {
    const lab = new Lab();
    const ended = new Error("pg_dump broke");
    async function* source() {
      for (let part = 0; part < 10; part++) yield new Uint8Array(PART);
      throw ended;
    }
    const sinks = [lab.sink("bad", { failAtPart: 2 }), lab.sink("a")];
    await expect(fanOut(source, sinks, lab.options())).rejects.toBe(ended);
    const told = Object.fromEntries(lab.told.map((outcome) => [outcome.name, outcome]));
    expect(told["a"]).toEqual({ name: "a", state: "failed", error: ended });
    expect(told["bad"]).toMatchObject({ state: "failed", error: { message: expect.stringMatching(/^bad/) } });
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

  test("there are no sinks", async () => {
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

  test("also if it ignores the body and does not end", async () => {
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

test("no more parts exist than the slowest sink may lag by", async () => {
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
