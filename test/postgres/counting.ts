import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import type { DumpConfig } from "../../src/config/dump-config.ts";
import { CountedDump } from "../../src/jobs/backup/counted-dump.ts";
import type { JobContext } from "../../src/jobs/context.ts";
import { pgDumpFor } from "../../src/postgres/binaries.ts";
import type { Endpoint } from "../../src/postgres/connection.ts";
import { connect } from "../../src/postgres/connection.ts";
import { countDatabase } from "../../src/postgres/counts/count-database.ts";
import type { DumpFacts } from "../../src/postgres/counts/facts.ts";
import type { DumpOptions } from "../../src/postgres/dump.ts";
import { BufferPool } from "../../src/stream/buffer-pool.ts";

const SETTINGS = { lock_wait_timeout_ms: 0, stall_timeout_ms: 0, nice: 0, io_class: "none" as const };
export const COUNTS = { jobs: 1, counts: true, count_grace_ms: 60_000, count_max_bytes: 0 };

export interface Counted {
  dump: Buffer;
  facts: DumpFacts | undefined;
}

/** Dumps a database and counts it beside the dump. `onBlock` is called after each block of the dump. */
export async function dumpAndCount(
  endpoint: Endpoint,
  tempDir: string,
  {
    settings = {},
    options = {},
    clock = systemClock,
    onBlock = () => {},
  }: {
    settings?: Partial<DumpConfig>;
    options?: Partial<DumpOptions>;
    clock?: Clock;
    onBlock?: () => unknown;
  } = {},
): Promise<Counted> {
  const blocks = new BufferPool(64 * 1024, 2);
  const config = { dump: { ...COUNTS, ...settings } } as JobContext["config"];
  const binary = options.binary ?? (await pgDumpFor(15, undefined));
  await using counted = new CountedDump(
    { config, clock, log: silentLog },
    { endpoint, binary, tempDir, blocks, ...SETTINGS, ...options },
  );
  await counted.open();
  const pieces: Uint8Array[] = [];
  for await (const block of counted.read()) {
    pieces.push(Uint8Array.from(block));
    blocks.release(block);
    await onBlock();
  }
  return { dump: Buffer.concat(pieces), facts: await counted.facts(AbortSignal.any([])) };
}

/** The facts of a database as it is now. */
export async function factsOf(endpoint: Endpoint, maxBytes = 0): Promise<DumpFacts> {
  await using connection = await connect(endpoint);
  return await countDatabase(connection, { maxBytes, signal: AbortSignal.any([]) });
}
