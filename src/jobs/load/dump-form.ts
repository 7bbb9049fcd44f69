import { UnreadableDump } from "../../base/errors.ts";
import { ByteReader } from "../../sealed/byte-reader.ts";
import { CONTAINER_MAGIC } from "../../sealed/container/format.ts";
import type { SplitContainer } from "../../sealed/container/split.ts";
import { isContainer, split } from "../../sealed/container/split.ts";
import type { SealedVersion } from "../../sealed/file-key.ts";

/** A dump as one archive of pg_dump, or as several. */
export type DumpForm =
  | { container: undefined; archive: AsyncIterable<Uint8Array> }
  | { container: SplitContainer; archive: undefined };

/**
 * Looks at the beginning of a dump, which shows whether it is one archive or a container of several. The version of the
 * sealed file must say the same; undefined: the backup is not encrypted.
 */
export async function openDump(
  dump: AsyncIterable<Uint8Array>,
  version: SealedVersion | undefined,
): Promise<DumpForm> {
  const reader = new ByteReader(dump);
  const head = await reader.take(CONTAINER_MAGIC.length);
  const whole = again(head, reader);
  const hasSeveral = isContainer(head);
  if (version !== undefined && hasSeveral !== (version === 2)) {
    await reader.return();
    const [is, expected] = hasSeveral ? ["several archives", "one"] : ["one archive", "several"];
    throw new UnreadableDump(`the dump is ${is}, but the version of its file says that it is ${expected}`);
  }
  if (hasSeveral) return { container: await split(whole), archive: undefined };
  return { container: undefined, archive: whole };
}

async function* again(head: Uint8Array, rest: ByteReader): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    if (head.length > 0) yield head;
    yield* { [Symbol.asyncIterator]: () => ({ next: () => rest.next() }) };
  } finally {
    await rest.return();
  }
}
