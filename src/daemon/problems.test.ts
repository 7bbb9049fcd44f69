import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { PoolWatch } from "../base/process/thread-pool.ts";
import { openCatalog } from "../catalog/open.ts";
import { problemsOf } from "./problems.ts";

test("a thread pool without a free thread is a problem after a minute", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-problems-"));
  const clock = new ManualClock();
  {
    await using catalog = await openCatalog(
      { type: "sqlite", path: join(directory, "catalog.db") },
      { clock },
    );
    const pool = new PoolWatch(clock, () => new Promise(() => {}));
    const scheduler = { silentMs: () => 0 };
    const problems = () =>
      problemsOf({ clock, catalog, lease: { trouble: undefined }, scheduler, pool, isStopping: false });
    pool.look();
    await clock.advance(60_000);
    expect(await problems()).toEqual([]);
    await clock.advance(1_000);
    expect(await problems()).toEqual(["no thread was free for 61 s: calls hang on a disk or a mount"]);
  }
  await rm(directory, { recursive: true });
});
