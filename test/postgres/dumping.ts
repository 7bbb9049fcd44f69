import { openArchive } from "../../src/postgres/archive/archive.ts";
import type { ArchiveContents } from "../../src/postgres/archive/format.ts";
import { EVERYTHING, type Selection } from "../../src/postgres/archive/selection.ts";
import { pgDumpFor, pgRestoreFor } from "../../src/postgres/binaries.ts";
import type { Connection, Endpoint } from "../../src/postgres/connection.ts";
import type { DumpOptions } from "../../src/postgres/dump.ts";
import { dumpDatabase } from "../../src/postgres/dump.ts";
import { type Lack, planRestore, preflight } from "../../src/postgres/restore/preflight.ts";
import type { RestoreOptions, RestoreResult } from "../../src/postgres/restore/restore.ts";
import { restoreStream } from "../../src/postgres/restore/restore.ts";
import { BufferPool } from "../../src/stream/buffer-pool.ts";

/** Dumps with small blocks, each of them copied, so that a test may keep them. */
export async function* dumpBlocks(
  endpoint: Endpoint,
  tempDir: string,
  options: Partial<DumpOptions> = {},
): AsyncGenerator<Uint8Array> {
  const binary = options.binary ?? (await pgDumpFor(15, undefined));
  const blocks = new BufferPool(64 * 1024, 2);
  const settings = { lock_wait_timeout_ms: 0, stall_timeout_ms: 0, nice: 0, io_class: "none" as const };
  for await (const block of dumpDatabase({ endpoint, binary, tempDir, blocks, ...settings, ...options })) {
    const copy = Uint8Array.from(block);
    blocks.release(block);
    yield copy;
  }
}

export async function dumpToMemory(
  endpoint: Endpoint,
  tempDir: string,
  options: Partial<DumpOptions> = {},
): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(dumpBlocks(endpoint, tempDir, options)));
}

/** Bytes as from a storage: in pieces unrelated to the contents. */
export async function* pieces(bytes: Uint8Array, pieceBytes = 10_007): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

export async function restoreDump(
  dump: Uint8Array | AsyncIterable<Uint8Array>,
  target: Endpoint,
  tempDir: string,
  options: Partial<RestoreOptions> = {},
): Promise<RestoreResult> {
  const binary = await pgRestoreFor(15, "1.14", undefined);
  return restoreStream(dump instanceof Uint8Array ? pieces(dump) : dump, {
    target,
    binary,
    tempDir,
    ...options,
  });
}

/** What a target lacks for a restore of everything, or of a selection. */
export async function lacksOf(
  target: Connection,
  contents: ArchiveContents,
  { selection = EVERYTHING, create }: { selection?: Selection; create: boolean },
): Promise<Lack[]> {
  const { entries } = await planRestore(target, contents, { selection, create });
  return await preflight(target, contents, { entries, create });
}

export async function contentsOfDump(dump: Uint8Array): Promise<ArchiveContents> {
  return (await openArchive(pieces(dump))).contents;
}
