import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { KIB, MIB } from "../../../src/base/limits.ts";
import { LocalStorage } from "../../../src/storage/local/local.ts";
import { temporaryPath } from "../../../src/storage/local/put.ts";
import { rateLimited } from "../../../src/storage/rate-limit.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type StorageUnderTest, storageConformance } from "../../suites/storage-conformance.ts";

storageConformance("local", () => localUnderTest((storage) => storage));
storageConformance("local with a rate_limit", () =>
  localUnderTest((storage) => rateLimited(storage, 20 * MIB, systemClock)),
);

async function localUnderTest(limit: (driver: Storage) => Storage): Promise<StorageUnderTest> {
  const path = await mkdtemp(join(tmpdir(), "pg321-local-"));
  const common = {
    off_site: false,
    min_rate_bytes_per_second: 0,
    rate_limit_bytes_per_second: 0,
    stall_timeout_ms: 10_000,
    attempts: 3,
    keep: { days: 7 },
    expire: "delete" as const,
  };
  const config = { type: "local" as const, name: "disk", path, min_free_bytes: 0, ...common };
  return {
    storage: limit(new LocalStorage(config)),
    partBytes: 64 * KIB,
    dangling: () => Array.fromAsync(new Bun.Glob("**/.pg321-*").scan({ cwd: path, dot: true })),
    crashDuringPut: async (key) => {
      const temporary = temporaryPath(path, key);
      await mkdir(dirname(temporary), { recursive: true });
      await Bun.write(temporary, "half");
      return undefined;
    },
    seed: (key, bytes) => Bun.write(join(path, key), bytes),
    close: () => rm(path, { recursive: true }),
  };
}
