import { UnreadableDump } from "../../base/errors.ts";
import type { ReadThroughOptions } from "../../postgres/archive/read-through.ts";
import { readThrough } from "../../postgres/archive/read-through.ts";
import type { SplitContainer } from "../../sealed/container/split.ts";

/**
 * Lets one pg_restore read each stream of a dump to its end, all that are open at the same time. As `readThrough`: returns
 * why pg_restore could not be used, null if every stream was read; throws `UnreadableDump` if one is broken.
 */
export async function readStreamsThrough(
  container: SplitContainer,
  options: ReadThroughOptions,
): Promise<string | null> {
  await using _ = container;
  const reading: Promise<string | null>[] = [];
  try {
    for await (const { name, bytes } of container.members) {
      const one = readThrough(bytes, options).catch(async (error: unknown) => {
        // Otherwise the other streams would wait for this one.
        await bytes[Symbol.asyncIterator]().return?.();
        if (error instanceof UnreadableDump)
          throw new UnreadableDump(`stream ${name}: ${error.message}`, error);
        throw error;
      });
      one.catch(() => {});
      reading.push(one);
    }
  } finally {
    // No pg_restore is left behind, however the reading ends.
    await Promise.allSettled(reading);
  }
  const notes = await Promise.all(reading);
  return notes.find((note) => note !== null) ?? null;
}
