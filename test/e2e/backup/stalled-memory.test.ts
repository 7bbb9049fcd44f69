import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { MIB } from "../../../src/base/limits.ts";
import { fillBulk } from "../../lab/data/bulk-database.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { portOf, rgw, through } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const DUMP_MIB = 384;
const MIDDLE_BYTES = 20 * MIB;
const postgres = usePostgres();

test("a stalled storage does not grow memory", async () => {
  const database = await postgres.createDatabase();
  await fillBulk(postgres.connect(database), DUMP_MIB);
  const r2 = await rgw();

  const peakMib = async (isStalled: boolean) => {
    await using proxy = await startFaultProxy(portOf(r2));
    const bucket = await r2.makeBucket();
    await using installation = await Installation.make({
      postgres: postgres.address,
      databases: [database],
      storages: (dir) => [
        localStorage("disk", dir),
        s3Storage("r2", through(r2, proxy), bucket, { stall_timeout: "3s" }),
      ],
    });
    if (isStalled) proxy.stallAfter(MIDDLE_BYTES);
    const running = watched(installation.start("backup", "--json"));
    let peakKib = 0;
    const look = () => {
      peakKib = Math.max(peakKib, peakOf(running.pid));
      if (running.stderr().includes("a storage was dropped")) proxy.pass();
      return false;
    };
    await running.until("its end", look).catch(() => {});
    expect((await running.ended).exitCode).toBe(isStalled ? 3 : 0);
    return peakKib / 1024;
  };
  const [undisturbed, stalled] = [await peakMib(false), await peakMib(true)];
  console.info(
    `peak memory: ${undisturbed.toFixed()} MiB undisturbed, ${stalled.toFixed()} MiB with one stalled`,
  );
  expect(stalled - undisturbed).toBeLessThan(64);
}, 120_000);

/** The peak memory of a process so far, in KiB; 0 once it has ended. */
function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
