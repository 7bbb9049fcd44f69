import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { type FileHandle, lstat, mkdir, mkdtemp, open, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pg321Error } from "../../../src/base/errors.ts";
import { GIB, KIB, MIB } from "../../../src/base/limits.ts";
import type { LocalStorageConfig } from "../../../src/config/config.ts";
import { LocalStorage } from "../../../src/storage/local/local.ts";
import { temporaryPath } from "../../../src/storage/local/put.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { CountedParts, patterned } from "../../suites/parts.ts";

const partBytes = 64 * KIB;
const never = new AbortController().signal;
const noneOfThem = async () => new Set<string>();

function openLocal(path: string, change: Partial<LocalStorageConfig> = {}): Storage {
  const common = {
    off_site: false,
    min_rate_bytes_per_second: 0,
    rate_limit_bytes_per_second: 0,
    stall_timeout_ms: 10_000,
    attempts: 3,
    keep: { days: 7 },
    expire: "delete" as const,
  };
  const config = { type: "local" as const, name: "disk", path, min_free_bytes: 0, ...common, ...change };
  return new LocalStorage(config);
}

async function put(storage: Storage, key: string, sizeBytes = 10): Promise<void> {
  const parts = new CountedParts();
  try {
    await storage.put(key, parts.of(patterned(sizeBytes), partBytes), { signal: never, partBytes });
  } finally {
    parts.expectAllReleasedOnce();
  }
}

async function failureOf(promise: Promise<unknown>): Promise<Pg321Error> {
  return promise.then(
    () => expect.unreachable("it should have been rejected"),
    (error) => error,
  );
}

describe("a local storage on a real disk", () => {
  let root: string;
  let path: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "pg321-local-"));
    path = join(root, "storage");
    await mkdir(path);
  });
  afterAll(() => rm(root, { recursive: true }));

  test("files are 0600 and directories 0700", async () => {
    await put(openLocal(path), "modes/deep/file");
    const modeOf = async (name: string) => (await lstat(join(path, name))).mode & 0o777;
    expect(await modeOf("modes")).toBe(0o700);
    expect(await modeOf("modes/deep")).toBe(0o700);
    expect(await modeOf("modes/deep/file")).toBe(0o600);
  });

  test("a missing root is refused, not created", async () => {
    const missing = join(root, "unmounted");
    const storage = openLocal(missing);
    for (const call of [
      () => put(storage, "a"),
      () => storage.head("a", never),
      () => Array.fromAsync(storage.list("", never)),
      () => storage.sweep(new Date(0), never, noneOfThem),
      () => storage.freeBytes(),
    ]) {
      const error = await failureOf(call());
      expect(error.message).toBe(`storage "disk": directory ${missing} does not exist`);
      expect(error.hint).toContain("mkdir");
    }
    expect(await readdir(root)).not.toContain("unmounted");
  });

  test("a symbolic link below the root is refused", async () => {
    const outside = join(root, "outside");
    await mkdir(outside);
    await Bun.write(join(outside, "file"), "private");
    await symlink(outside, join(path, "link"));
    await symlink(join(outside, "file"), join(path, "link-to-file"));
    const storage = openLocal(path);
    for (const key of ["link/file", "link/new", "link-to-file"]) {
      expect((await failureOf(put(storage, key))).message).toContain("symbolic link");
      expect((await failureOf(Array.fromAsync(storage.get(key, undefined, never)))).message).toContain(
        "link",
      );
      expect((await failureOf(storage.remove(key, never))).message).toContain("symbolic link");
    }
    expect(await readdir(outside)).toEqual(["file"]);
    const listed = await Array.fromAsync(storage.list("link", never));
    expect(listed).toEqual([]);
  });

  test("a symbolic link in place of the temporary file is not followed", async () => {
    const victim = join(root, "victim");
    await Bun.write(victim, "precious");
    await symlink(victim, temporaryPath(path, "trapped"));
    await failureOf(put(openLocal(path), "trapped"));
    expect(await Bun.file(victim).text()).toBe("precious");
    expect(await openLocal(path).sweep(new Date(Date.now() + 1000), never, noneOfThem)).toBe(0);
  });

  test("a read that hangs ends after stall_timeout and blocks no other call", async () => {
    const own = join(root, "hung");
    await mkdir(own);
    const storage = openLocal(own, { stall_timeout_ms: 100 });
    await put(storage, "object");
    const handle = await open(join(own, "object"));
    const prototype = Object.getPrototypeOf(handle);
    await handle.close();
    // As on a lost mount: a read does not return, and a close waits for it.
    const left: FileHandle[] = [];
    const read = spyOn(prototype, "read").mockImplementation(() => new Promise<never>(() => {}));
    const close = spyOn(prototype, "close").mockImplementation(function (this: FileHandle) {
      left.push(this);
      return new Promise<never>(() => {});
    });
    try {
      const error = await failureOf(Array.fromAsync(storage.get("object", undefined, never)));
      expect(error).toMatchObject({ code: "storage", retryable: true });
      expect(error.message).toBe('storage "disk": get object: no answer for 0.1 s');
      expect((await failureOf(storage.head("object", never))).message).toContain("still hangs");
    } finally {
      read.mockRestore();
      close.mockRestore();
      for (const handle of left) await handle.close();
    }
  }, 15_000);

  test("a put is not disturbed by a second one of the same key", async () => {
    const storage = openLocal(path);
    const parts = new CountedParts();
    const body = parts.of(patterned(3 * partBytes), partBytes, async (offset) => {
      if (offset !== partBytes) return;
      expect((await failureOf(put(storage, "twice"))).message).toContain("temporary file exists");
    });
    await storage.put("twice", body, { signal: never, partBytes });
    expect(await storage.head("twice", never)).toMatchObject({ sizeBytes: 3 * partBytes });
  });

  test("remove prunes the directories that it empties, but no others and not the root", async () => {
    const own = join(root, "pruned");
    await mkdir(own);
    const storage = openLocal(own);
    await put(storage, "server/app/one");
    await put(storage, "server/other/two");
    await storage.remove("server/app/one", never);
    expect(await readdir(join(own, "server"))).toEqual(["other"]);
    await storage.remove("server/other/two", never);
    expect(await readdir(own)).toEqual([]);
  });

  test("a put that fails leaves no directory behind", async () => {
    const own = join(root, "clean");
    await mkdir(own);
    const body = new CountedParts().of(patterned(10), partBytes, () => {
      throw new Error("broken");
    });
    await failureOf(openLocal(own).put("a/b/c", body, { signal: never, partBytes }));
    expect(await readdir(own)).toEqual([]);
  });

  test("sweep deletes only regular files whose names are exactly those of temporary files", async () => {
    const own = join(root, "swept");
    await mkdir(join(own, ".pg321-0123456789abcdef.tmp"), { recursive: true });
    for (const name of [
      ".pg321-0123456789abcdeg.tmp",
      ".pg321-0123456789abcdef.tmp2",
      "x.tmp",
      ".pg321-id",
    ]) {
      await Bun.write(join(own, name), "keep");
    }
    await Bun.write(join(own, "a/.pg321-00000000000000ff.tmp"), "take");
    expect(await openLocal(own).sweep(new Date(Date.now() + 60_000), never, noneOfThem)).toBe(1);
    expect((await readdir(own)).toSorted()).toEqual([
      ".pg321-0123456789abcdef.tmp",
      ".pg321-0123456789abcdef.tmp2",
      ".pg321-0123456789abcdeg.tmp",
      ".pg321-id",
      "x.tmp",
    ]);
  });

  test("min_free: nothing is begun on a disk with less free space", async () => {
    const freeBytes = (await openLocal(path).freeBytes()) ?? 0;
    expect(freeBytes).toBeGreaterThan(0);
    const full = openLocal(path, { min_free_bytes: freeBytes + GIB });
    expect(await full.freeBytes()).toBe(0);
    const error = await failureOf(put(full, "full"));
    expect(error.message).toContain("must stay free");
    expect(error.hint).toContain("min_free");
    expect(error.retryable).toBe(false);
  });
});

// Skipped if the user may not mount; CI runs as root.
describe.skipIf(process.getuid?.() !== 0)("a local storage on a small disk", () => {
  let path: string;
  beforeAll(async () => {
    path = await mkdtemp(join(tmpdir(), "pg321-small-"));
    const mount = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path]);
    expect(mount.stderr.toString()).toBe("");
  });
  afterAll(async () => {
    Bun.spawnSync(["umount", path]);
    await rm(path, { recursive: true });
  });

  test("that fills up: the error is clear, and the space is freed again", async () => {
    const storage = openLocal(path);
    const freeBytes = await storage.freeBytes();
    const error = await failureOf(put(storage, "too/large", 9 * MIB));
    expect(error).toMatchObject({ code: "storage", retryable: false });
    expect(error.message).toMatch(/storage "disk": put too\/large: (no space left|0 B free)/);
    expect(await readdir(path)).toEqual([]);
    expect(await storage.freeBytes()).toBe(freeBytes);
    await put(storage, "small", 10);
  });

  test("with min_free: that space stays free all the time", async () => {
    const storage = openLocal(path, { min_free_bytes: 4 * MIB });
    const parts = new CountedParts();
    const lowest: number[] = [];
    const body = parts.of(patterned(7 * MIB), partBytes, async () => {
      lowest.push((await openLocal(path).freeBytes()) as number);
    });
    const error = await failureOf(storage.put("half", body, { signal: never, partBytes }));
    expect(error.message).toContain("must stay free");
    expect(lowest.length).toBeGreaterThan(10);
    expect(Math.min(...lowest)).toBeGreaterThanOrEqual(4 * MIB);
  });

  test("that is read-only", async () => {
    expect(Bun.spawnSync(["mount", "-o", "remount,ro", path]).exitCode).toBe(0);
    const error = await failureOf(put(openLocal(path), "denied"));
    expect(error.message).toBe('storage "disk": put denied: the file system is read-only');
    expect(error.hint).toContain("remount");
    expect(Bun.spawnSync(["mount", "-o", "remount,rw", path]).exitCode).toBe(0);
  });
});
