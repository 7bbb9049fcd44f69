import { expect, test } from "bun:test";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { GIB, MIB } from "../base/limits.ts";
import type { StorageConfig } from "../config/config.ts";
import { doctorExitCode } from "./doctor.ts";
import type { Finding } from "./finding.ts";
import { failed, look, ok } from "./finding.ts";
import { memoryBudget } from "./memory.ts";

const place = { area: "storage", subject: "nas", code: "storage" } as const;

test("a check that never ends is given up after 10 s and fails", async () => {
  const clock = new ManualClock();
  const looked = look(place, { clock, signal: new AbortController().signal }, () => new Promise(() => {}));
  expect(await clock.advanceUntil(looked, 1000)).toEqual([
    { area: "storage", subject: "nas", ...failed("storage", "no answer within 10 s") },
  ]);
  expect(clock.monotonicMs()).toBeGreaterThanOrEqual(10_000);
  expect(clock.sleeping).toBe(0);
});

test("an error in a check is a finding; only an unexpected one is a bug", async () => {
  const at = { clock: new ManualClock(), signal: new AbortController().signal };
  const thrown = (error: unknown) => look(place, at, () => Promise.reject(error));
  const hint = "check its mount";
  expect(await thrown(new Pg321Error("storage", 'storage "nas": is away', { hint }))).toMatchObject([
    { verdict: "failed", message: "is away", hint, code: "storage" },
  ]);
  const system = Object.assign(new Error("EIO: i/o error, stat"), { code: "EIO", syscall: "stat" });
  expect(await thrown(system)).toMatchObject([{ code: "storage", message: "EIO: i/o error, stat" }]);
  expect(await thrown(new TypeError("x is not a function"))).toMatchObject([{ code: "bug" }]);
  expect(at.clock.sleeping).toBe(0);
});

test("a stop ends a check at once", async () => {
  const stop = new AbortController();
  const looked = look(place, { clock: new ManualClock(), signal: stop.signal }, () => new Promise(() => {}));
  stop.abort(new Pg321Error("interrupted", "ended by SIGINT"));
  expect(await looked.catch((error) => error)).toMatchObject({ code: "interrupted" });
});

test("the exit code is that of the gravest failure", () => {
  const findings = (...codes: Finding["code"][]): Finding[] =>
    codes.map((code) => ({ ...place, ...(code === null ? ok("") : failed("storage", "")), code }));
  expect(doctorExitCode(findings(null, null))).toBe(0);
  expect(doctorExitCode(findings(null, "storage"))).toBe(13);
  expect(doctorExitCode(findings("storage", "database"))).toBe(10);
  expect(doctorExitCode(findings("storage", "database", "key"))).toBe(12);
  expect(doctorExitCode(findings("database", "usage", "key"))).toBe(2);
  expect(doctorExitCode(findings("usage", "bug"))).toBe(1);
  expect(doctorExitCode(findings("verification"))).toBe(14);
});

test("the memory of a run follows the formula of docs/limits.md", () => {
  const bucket = { type: "s3", max_parallel_parts: 4, max_parts: 10_000 } as StorageConfig;
  const disk = { type: "local" } as StorageConfig;
  const dump = { max_parallel: 1, jobs: 1 } as Parameters<typeof memoryBudget>[0]["dump"];
  const blocks = (cores: number) => 2 * MIB * (cores + 3 + cores + 1);
  expect(memoryBudget({ storage: [disk], dump }, 0, 2)).toEqual({
    bytes: 90 * MIB + blocks(2) + 6 * 5 * MIB,
    partBytes: 5 * MIB,
  });
  expect(memoryBudget({ storage: [disk, bucket, bucket], dump }, 1024 * GIB, 64)).toEqual({
    bytes: 90 * MIB + blocks(8) + (6 + 8) * 132 * MIB,
    partBytes: 132 * MIB,
  });
  const both = { storage: [bucket], dump: { ...dump, max_parallel: 2 } };
  expect(memoryBudget(both, 0, 2).bytes).toBe(90 * MIB + 2 * (blocks(2) + 10 * 5 * MIB));
  const streams = { storage: [disk], dump: { ...dump, jobs: 4 } };
  expect(memoryBudget(streams, 0, 2).bytes).toBe(90 * MIB + blocks(2) + 4 * 3 * MIB + 6 * 5 * MIB);
});
