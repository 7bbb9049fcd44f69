import { createReadStream } from "node:fs";
import { openArchive } from "../../postgres/archive/archive.ts";
import type { TextEdit } from "../../postgres/archive/data.ts";
import { RowCounter } from "../../postgres/archive/data.ts";
import type { ArchiveContents, ArchiveEntry } from "../../postgres/archive/format.ts";
import type { MergedArchive, SpooledArchive } from "../../postgres/archive/merge.ts";
import { mergeArchives } from "../../postgres/archive/merge.ts";
import { isWhole } from "../../postgres/archive/selection.ts";
import type { DataChoice, StreamRows } from "../../postgres/archive/streams.ts";
import { DataIndex } from "../../postgres/archive/streams.ts";
import type { ContainerMember } from "../../sealed/container/format.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { spool } from "../copies/spool.ts";
import type { DataStreams } from "./load-streams.ts";
import { chosenEntries } from "./load-streams.ts";

export interface MergePlan extends DataChoice {
  /** The schema's archive. */
  bytes: AsyncIterable<Uint8Array>;
  /** Of the schema's archive, with `withDataEntries`. */
  contents: ArchiveContents;
  /** Changes to its table of contents. */
  edits: readonly TextEdit[];
  editsOfData: ((entries: readonly ArchiveEntry[]) => readonly TextEdit[]) | undefined;
  data: DataStreams;
  /** The entries to restore, in their order. */
  entries: readonly ArchiveEntry[];
  rows: StreamRows;
  leftOut: ArchiveEntry[];
  /** Size of the dump. */
  expectedBytes: number;
}

/**
 * Reads a dump of several streams to its end, with the rows in private files, and gives it as one archive; disposing removes
 * the files.
 */
export async function mergeStreams(
  context: Pick<JobContext, "config" | "log">,
  plan: MergePlan,
): Promise<MergedArchive & AsyncDisposable> {
  const { contents, edits, data, entries } = plan;
  const { dataStart } = contents;
  await using made = new AsyncDisposableStack();
  const head = (await Array.fromAsync(plan.bytes))[0]?.subarray(0, dataStart) ?? new Uint8Array();
  const index = new DataIndex(contents);
  const running = new Set<Promise<unknown>>();
  const archives: SpooledArchive[] = [];
  let failure: { error: unknown } | undefined;
  // Nothing tells how large a part is.
  let expectedBytes = isWhole(plan.selection) ? plan.expectedBytes : 0;
  try {
    for (let next = await data.members.next(); !next.done; next = await data.members.next()) {
      const one = spoolMember(context, next.value, plan, index, expectedBytes)
        .then((archive) => {
          if (!archive) return;
          made.use(archive);
          archives.push(archive);
        })
        .catch(async (error) => {
          failure ??= { error };
          // Otherwise the other members would wait for this one.
          await data.close();
        })
        .finally(() => running.delete(one));
      running.add(one);
      // The others get the rest of the same room.
      expectedBytes = 0;
      while (running.size >= data.membersAtOnce) await Promise.race(running);
    }
  } catch (error) {
    failure ??= { error };
    await data.close();
  }
  await Promise.all(running);
  if (failure) throw failure.error;
  const merged = await mergeArchives({ contents, head, edits }, entries, archives, index);
  const all = made.move();
  return { ...merged, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Undefined: nothing of it is to be restored. */
async function spoolMember(
  context: Pick<JobContext, "config" | "log">,
  { bytes }: ContainerMember,
  plan: MergePlan,
  index: DataIndex,
  expectedBytes: number,
): Promise<(SpooledArchive & AsyncDisposable) | undefined> {
  await using archive = await openArchive(bytes);
  const { contents } = archive;
  const entries = chosenEntries(context, contents, plan, index);
  if (entries.length === 0) return undefined;
  const counter = new RowCounter(contents);
  let head: Uint8Array | undefined;
  const passing = observed(archive.bytes, (_, chunk) => {
    head ??= Uint8Array.from(chunk.subarray(0, contents.dataStart));
    counter.pass(chunk);
  });
  const file = await spool(passing, { tempDir: context.config.temp_dir, expectedBytes });
  plan.rows.add(counter, contents, index);
  return {
    ...{ contents, entries, blocks: counter.blocks, head: head ?? new Uint8Array() },
    edits: plan.editsOfData?.(entries) ?? [],
    read: (start, end) =>
      end > start
        ? createReadStream(file.path, { start, end: end - 1, highWaterMark: 1024 * 1024 })
        : createReadStream("/dev/null"),
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}
