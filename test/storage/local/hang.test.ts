import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { placeAt } from "../../../src/base/files/place.ts";
import { LocalStorage } from "../../../src/storage/local/local.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { mountHanging, noHanging } from "../../lab/machine/mounts.ts";
import { eventually } from "../../lab/machine/running.ts";

setDefaultTimeout(60_000);

const why = noHanging();
const never = new AbortController().signal;

function openLocal(path: string, stall_timeout_ms = 10_000): Storage {
  return new LocalStorage({
    ...{
      type: "local",
      name: "disk",
      path,
      off_site: false,
      min_free_bytes: 0,
      min_rate_bytes_per_second: 0,
      rate_limit_bytes_per_second: 0,
      stall_timeout_ms,
    },
    ...{ attempts: 1, keep: { days: 7 }, expire: "delete" },
  });
}

/** The threads of this process that hang in a system call and cannot be ended. */
function hangingThreads(): string[] {
  return readdirSync("/proc/self/task").filter((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("D");
  });
}

async function messageOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "no error",
    (error) => error.message,
  );
}

test.skipIf(why !== undefined)(
  `a storage on a hanging mount gives up in time, blocks no thread, and works again${why ? `: ${why}` : ""}`,
  async () => {
    const path = await mkdtemp(join(tmpdir(), "pg321-hang-"));
    {
      await using mount = await mountHanging(path);
      await mount.hang();
      // Each reload of the config opens it again.
      const storages = Array.from({ length: 8 }, () => openLocal(path, 1_000));
      const messages = await Promise.all(storages.map((storage) => messageOf(storage.head("a", never))));
      expect(messages).toEqual(storages.map(() => 'storage "disk": head a: no answer for 1 s'));
      expect(hangingThreads()).toEqual([]);
      const [storage] = storages;
      expect(await messageOf(storage?.freeBytes() ?? Promise.resolve())).toBe(
        'storage "disk": free space: an earlier call still hangs',
      );
      expect(await messageOf(placeAt(`${path}/`).run({ what: "a look", limitMs: 0 }, async () => {}))).toBe(
        "a look: an earlier call still hangs",
      );
      expect(hangingThreads()).toEqual([]);
    }
    await eventually(() => !placeAt(path).isHanging);
    expect(await openLocal(path).head("a", never)).toBeUndefined();
    await rmdir(path);
  },
);

test.skipIf(why !== undefined)(
  `a caller with more time is not refused because another gave up early${why ? `: ${why}` : ""}`,
  async () => {
    const path = await mkdtemp(join(tmpdir(), "pg321-hang-"));
    let head: Promise<string>;
    let put: Promise<string>;
    {
      await using mount = await mountHanging(path);
      await mount.hang();
      const look = placeAt(path).run({ what: "a look", limitMs: 500 }, async () => {});
      expect(await messageOf(look)).toBe("a look: no answer for 0.5 s");
      head = messageOf(openLocal(path).head("a", never));
      put = messageOf(placeAt(path).run({ what: "a put", limitMs: 0, signal: never }, async () => {}));
      await Bun.sleep(500);
      expect(hangingThreads()).toEqual([]);
    }
    // The file system of this test ends before it is unmounted.
    expect(["no error", 'storage "disk": head a: ENOTCONN']).toContain(await head);
    expect(await put).toBe("no error");
    await rmdir(path);
  },
);

test.skipIf(why !== undefined)(
  `an aborted call does not wait for a hanging mount, and does not mark it as hanging${why ? `: ${why}` : ""}`,
  async () => {
    const path = await mkdtemp(join(tmpdir(), "pg321-hang-"));
    {
      await using mount = await mountHanging(path);
      await mount.hang();
      const ended = new AbortController();
      const head = messageOf(openLocal(path).head("a", ended.signal));
      ended.abort(new Error("ended by SIGTERM"));
      expect(await head).toBe("ended by SIGTERM");
      expect(placeAt(path).isHanging).toBe(false);
    }
    await eventually(async () => (await openLocal(path).head("a", never)) === undefined);
    await rmdir(path);
  },
);
