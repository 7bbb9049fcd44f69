import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { CountedParts, patterned } from "../../test/suites/parts.ts";
import { KIB, MIB } from "../base/limits.ts";
import { LocalStorage } from "./local/local.ts";
import { atFullSpeed, rateLimited } from "./rate-limit.ts";

const partBytes = 256 * KIB;
const never = new AbortController().signal;

/** A real directory behind a limit of 1 MiB/s, whose time a test moves. */
async function limited(body: (lab: Awaited<ReturnType<typeof openLab>>) => Promise<void>): Promise<void> {
  const lab = await openLab();
  try {
    await body(lab);
  } finally {
    await rm(lab.path, { recursive: true });
  }
}

async function openLab() {
  const path = await mkdtemp(join(tmpdir(), "pg321-rate-"));
  const driver = new LocalStorage({
    ...{ type: "local", name: "disk", path, min_free_bytes: 0, off_site: false, attempts: 1 },
    ...{ min_rate_bytes_per_second: 0, rate_limit_bytes_per_second: MIB, stall_timeout_ms: 0 },
    ...{ keep: { days: 7 }, expire: "delete" },
  });
  const clock = new ManualClock();
  return { path, driver, clock, storage: rateLimited(driver, MIB, clock) };
}

/** The real file operations need a turn of the event loop that the manual clock does not give. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

describe("rate_limit", () => {
  test("a put takes its bytes' time, reports its waits, and holds no part meanwhile", () =>
    limited(async ({ storage, clock }) => {
      const parts = new CountedParts();
      const pauses: boolean[] = [];
      const heldInPause: number[] = [];
      const stored = storage.put("a", parts.of(patterned(4 * MIB), partBytes), {
        ...{ signal: never, partBytes },
        onPause: (isPaused) => {
          pauses.push(isPaused);
          if (isPaused) heldInPause.push(clock.sleeping);
        },
      });
      await clock.advanceUntil(stored, 50, turn);
      parts.expectAllReleasedOnce();
      // The first second may be made up for.
      expect(clock.monotonicMs()).toBeGreaterThanOrEqual(2_950);
      expect(clock.monotonicMs()).toBeLessThan(4_500);
      expect(pauses.length).toBeGreaterThan(2);
      expect(pauses).toEqual(pauses.map((_, index) => index % 2 === 0));
    }));

  test("reads and writes share the limit", () =>
    limited(async ({ storage, driver, clock }) => {
      const options = { signal: never, partBytes };
      await driver.put("there", new CountedParts().of(patterned(3 * MIB), partBytes), options);
      const put = storage.put("a", new CountedParts().of(patterned(3 * MIB), partBytes), options);
      const got = Array.fromAsync(storage.get("there", undefined, never));
      const [, chunks] = await clock.advanceUntil(Promise.all([put, got]), 50, turn);
      expect(Buffer.concat(chunks).equals(Buffer.from(patterned(3 * MIB)))).toBe(true);
      expect(clock.monotonicMs()).toBeGreaterThanOrEqual(4_950);
      expect(clock.monotonicMs()).toBeLessThan(6_500);
    }));

  test("a small object does not wait for the debt of a large one", () =>
    limited(async ({ storage, clock }) => {
      const options = { signal: never, partBytes };
      const large = storage.put("large", new CountedParts().of(patterned(8 * MIB), partBytes), options);
      await clock.advance(1_500);
      await turn();
      const beforeMs = clock.monotonicMs();
      await storage.put("small", new CountedParts().of(patterned(300), partBytes), options);
      const read = await Array.fromAsync(storage.get("small", undefined, never));
      expect(Buffer.concat(read).length).toBe(300);
      expect(clock.monotonicMs()).toBe(beforeMs);
      await clock.advanceUntil(large, 50, turn);
    }));

  test("a wait ends at once when the signal aborts, and nothing stays", () =>
    limited(async ({ storage, clock }) => {
      const abort = new AbortController();
      const parts = new CountedParts();
      const { promise: paused, resolve } = Promise.withResolvers<void>();
      const put = storage.put("a", parts.of(patterned(64 * MIB), partBytes), {
        ...{ signal: abort.signal, partBytes },
        onPause: (isPaused) => isPaused && resolve(),
      });
      put.catch(() => {});
      await clock.advanceUntil(paused, 50, turn);
      abort.abort(new Error("enough"));
      expect(put).rejects.toThrow("enough");
      await put.catch(() => {});
      parts.expectAllReleasedOnce();
      expect(await storage.head("a", never)).toBeUndefined();
      expect(clock.sleeping).toBe(0);
    }));

  test("everything else is the driver's own, and a restore takes the driver itself", () =>
    limited(async ({ storage, driver }) => {
      expect(storage.name).toBe("disk");
      expect(storage.describe()).toMatchObject({ type: "local", rate_limit: String(MIB) });
      expect(storage).toBeInstanceOf(LocalStorage);
      expect("traits" in storage).toBe("traits" in driver);
      expect(await storage.freeBytes()).toBeGreaterThan(0);
      expect(atFullSpeed(storage)).toBe(driver);
      expect(atFullSpeed(driver)).toBe(driver);
    }));
});
