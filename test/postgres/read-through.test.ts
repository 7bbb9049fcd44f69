import { describe, expect, test } from "bun:test";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UnreadableDump } from "../../src/base/errors.ts";
import type { ReadThroughOptions } from "../../src/postgres/archive/read-through.ts";
import { readThrough } from "../../src/postgres/archive/read-through.ts";
import { pgRestoreFor } from "../../src/postgres/binaries.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { pieces } from "./dumping.ts";
import { useSampleDump } from "./sample-dump.ts";
import { useTempDir } from "./temp-dir.ts";

const temp = useTempDir();
const sample = useSampleDump(usePostgres(), temp);

const read = (dump: Uint8Array | AsyncIterable<Uint8Array>, options: Partial<ReadThroughOptions> = {}) =>
  readThrough(dump instanceof Uint8Array ? pieces(dump) : dump, {
    ...{ pgDumpVersion: "15.1", binDir: undefined, nice: 0, signal: new AbortController().signal },
    ...options,
  });
const failure = (promise: Promise<unknown>) =>
  promise.then(
    (value) => ({ value }),
    (error: unknown) => error,
  );

/** A directory with a program in place of pg_restore; the real one answers `--version`. */
async function binDir(body: string): Promise<string> {
  const directory = join(temp.path, crypto.randomUUID());
  await mkdir(directory);
  const { path } = await pgRestoreFor(15, "1.14", undefined);
  await symlink(path, join(directory, "real"));
  const script = `#!/bin/sh\nif [ "$1" = --version ]; then exec "${path}" --version; fi\n${body}\n`;
  await writeFile(join(directory, "pg_restore"), script);
  await chmod(join(directory, "pg_restore"), 0o755);
  return directory;
}

describe("pg_restore reads a dump to its end", () => {
  test("a good one, in pieces of any size", async () => {
    expect(await read(sample.dump)).toBeNull();
    expect(await read(pieces(sample.dump, 100_000_000))).toBeNull();
    expect(await read(pieces(sample.dump.subarray(0), 3))).toBeNull();
  });

  test("one that is cut off anywhere is unreadable", async () => {
    const { dump } = sample;
    for (const left of [0, 4, 7, 12, 60, 5_000, Math.floor(dump.length / 2), dump.length - 40]) {
      const error = await failure(read(dump.subarray(0, left)));
      expect({ left, isUnreadable: error instanceof UnreadableDump }).toEqual({ left, isUnreadable: true });
    }
  });

  test("so is one with a broken block, and something else that is no dump", async () => {
    const broken = Buffer.from(sample.dump);
    broken.fill(0xff, Math.floor(broken.length / 2));
    expect(await failure(read(broken))).toBeInstanceOf(UnreadableDump);
    const sql = await failure(read(Buffer.from("-- PostgreSQL database dump\n".repeat(100))));
    expect(sql).toMatchObject({ code: "verification", message: expect.stringContaining("custom format") });
  });

  test("the source is read to its end, and its error comes before that of pg_restore", async () => {
    let passed = 0;
    async function* withEnd(end?: Error) {
      for await (const piece of pieces(sample.dump)) {
        passed += piece.length;
        yield piece;
      }
      yield Buffer.from("bytes after the end of the archive");
      passed = -1;
      if (end) throw end;
    }
    expect(await read(withEnd())).toBeNull();
    expect(passed).toBe(-1);
    await expect(read(withEnd(new Error("the hash differs")))).rejects.toThrow("the hash differs");
    const failing = await binDir("exit 1");
    await expect(read(withEnd(new Error("cut")), { binDir: failing })).rejects.toThrow("cut");
  });
});

describe("what says nothing about the dump", () => {
  test.each([
    ["no pg_restore at all", "missing", "15.1", "no pg_restore"],
    ["one older than the pg_dump", undefined, "99.2", "no pg_restore of PostgreSQL 99 or newer (found 1"],
    [
      "one that does not know the version",
      'echo "pg_restore: error: unsupported version (1.16) in file header" >&2; exit 1',
      "15.1",
      "unsupported version",
    ],
    [
      "no memory",
      'cat >/dev/null; echo "pg_restore: error: out of memory" >&2; exit 1',
      "15.1",
      "out of memory",
    ],
    [
      "a missing library",
      'echo "error while loading shared libraries: libpq.so.5" >&2; exit 127',
      "15.1",
      "libpq",
    ],
    ["a signal", "kill -9 $$", "15.1", "was killed by SIGKILL"],
    [
      "an error of another exit code",
      'echo "pg_restore: error: did not find magic string in file header" >&2; exit 2',
      "15.1",
      "magic",
    ],
  ])("%s", async (_, program, pgDumpVersion, reason) => {
    const directory =
      program === "missing" ? temp.path : program === undefined ? undefined : await binDir(program);
    // Even if the dump were broken.
    for (const dump of [sample.dump, sample.dump.subarray(0, 70_000)])
      expect(await read(dump, { binDir: directory, pgDumpVersion })).toContain(reason);
  });

  test("a stop of the run is passed on", async () => {
    const stop = new AbortController();
    const hanging = read(sample.dump, { binDir: await binDir("sleep 1000"), signal: stop.signal });
    stop.abort(new Error("stopped"));
    await expect(hanging).rejects.toThrow("stopped");
  });
});
