import { AssertionError } from "node:assert";
import { systemClock } from "../../src/base/clock.ts";
import type { ArchiveContents } from "../../src/postgres/archive/format.ts";
import { pgDumpFor } from "../../src/postgres/binaries.ts";
import type { Endpoint } from "../../src/postgres/connection.ts";
import { openSnapshot } from "../../src/postgres/counts/snapshot.ts";
import type { ParallelDumpOptions } from "../../src/postgres/parallel-dump/parallel-dump.ts";
import { openParallelDump } from "../../src/postgres/parallel-dump/parallel-dump.ts";
import { interleave } from "../../src/sealed/container/interleave.ts";
import { split } from "../../src/sealed/container/split.ts";

export interface DumpedMember {
  name: string;
  kind: string;
  bytes: Buffer;
}

interface StreamOptions extends Partial<ParallelDumpOptions> {
  /** Called when everything is prepared, and before the first byte is read. */
  onOpen?: () => unknown;
  /** Called after each piece of the container. */
  onPiece?: () => unknown;
}

const SETTINGS = { lock_wait_timeout_ms: 0, stall_timeout_ms: 0, nice: 0, io_class: "none" as const };

/** Dumps into a container and splits it; fails if the dump would be made in one stream. */
export async function dumpInStreams(
  endpoint: Endpoint,
  tempDir: string,
  { onOpen = () => {}, onPiece = () => {}, ...options }: StreamOptions,
): Promise<{ members: DumpedMember[]; streams: number }> {
  const signal = options.signal ?? AbortSignal.any([]);
  await using snapshot = await openSnapshot(endpoint, { clock: systemClock, signal });
  const binary = options.binary ?? (await pgDumpFor(15, undefined));
  const all = { ...SETTINGS, endpoint, tempDir, binary, jobs: 2, clock: systemClock, signal, snapshot };
  const dump = await openParallelDump({ ...all, ...options });
  if ("oneStream" in dump) throw new AssertionError({ message: dump.oneStream });
  await using opened = dump;
  await onOpen();
  const pieces: Buffer[] = [];
  const container = interleave(opened.members(), {
    membersAtOnce: opened.streams,
    stop: (reason) => opened.stop(reason),
  });
  for await (const piece of container) {
    pieces.push(Buffer.from(piece));
    await onPiece();
  }
  return { members: await membersOf(Buffer.concat(pieces)), streams: opened.streams };
}

export async function membersOf(container: Uint8Array): Promise<DumpedMember[]> {
  const source = (async function* () {
    yield container;
  })();
  await using found = await split(source, { bufferBytes: container.length + 1 });
  const reading: Promise<DumpedMember>[] = [];
  for await (const { name, kind, bytes } of found.members)
    reading.push(Array.fromAsync(bytes).then((all) => ({ name, kind, bytes: Buffer.concat(all) })));
  return Promise.all(reading);
}

/** The entries of a table of contents, without those that every archive has. */
export function listOf({ entries }: ArchiveContents): string[] {
  return entries
    .filter(
      ({ description }) =>
        !["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"].includes(description),
    )
    .map(({ description, namespace, tag, definition }) =>
      JSON.stringify([description, namespace ?? "", tag, definition]),
    );
}
