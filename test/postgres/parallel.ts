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
  /** Called when the snapshot is taken, and nothing is locked. */
  onSnapshot?: () => unknown;
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
  { onSnapshot = () => {}, onOpen = () => {}, onPiece = () => {}, ...options }: StreamOptions,
): Promise<{ members: DumpedMember[]; streams: number }> {
  const signal = options.signal ?? AbortSignal.any([]);
  await using snapshot = await openSnapshot(endpoint, { clock: systemClock, signal });
  await onSnapshot();
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

/** Restores as a user would with pg_restore alone: before the data, the data of every member, after the data. */
export function restoreMembers(members: readonly DumpedMember[], target: Endpoint): void {
  const restore = (bytes: Buffer, ...options: string[]) => {
    const { user, port, database } = target;
    const env = { PATH: "/usr/bin:/bin", PGPASSWORD: target.password?.reveal() ?? "", LC_ALL: "C" };
    const argv = [
      "pg_restore",
      "--exit-on-error",
      "-h",
      `${target.host}`,
      "-p",
      `${port}`,
      "-U",
      user,
      "-d",
      database,
    ];
    const { success, stderr } = Bun.spawnSync([...argv, ...options], { stdin: bytes, env });
    if (!success) throw new Error(stderr.toString());
  };
  const [schema, ...data] = members;
  if (!schema) throw new Error("no members");
  restore(schema.bytes, "--section=pre-data");
  for (const { bytes } of data) restore(bytes);
  restore(schema.bytes, "--section=post-data");
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
