import { unlessAborted } from "../../base/abort.ts";
import { openArchive } from "../../postgres/archive/archive.ts";
import { needlessDrops } from "../../postgres/archive/clean.ts";
import type { TextEdit } from "../../postgres/archive/data.ts";
import { onlyDrops, RowCounter, withTexts } from "../../postgres/archive/data.ts";
import type { ArchiveContents, ArchiveEntry } from "../../postgres/archive/format.ts";
import { isWhole } from "../../postgres/archive/selection.ts";
import type { DataChoice, StreamRows } from "../../postgres/archive/streams.ts";
import { aroundData, DataIndex } from "../../postgres/archive/streams.ts";
import { restoreFile, restoreStream } from "../../postgres/restore/restore.ts";
import type { ContainerMember } from "../../sealed/container/format.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import type { Spool } from "../copies/spool.ts";
import { spool } from "../copies/spool.ts";
import type { RestoreFaults } from "./faults.ts";
import type { LoadOptions } from "./load-archive.ts";
import { boundedByLocks } from "./load-archive.ts";

/** The archives of rows of a dump of several streams. */
export interface DataStreams {
  /** So many must be read at the same time. */
  membersAtOnce: number;
  /** Ends only if the whole dump was read and is complete. */
  members: AsyncIterator<ContainerMember>;
  /** Stops reading; members that are being read fail. */
  close(): Promise<void>;
}

export interface StreamsLoad extends DataChoice {
  /** The schema's archive. */
  schema: Spool;
  /** That archive so that it only drops; undefined: nothing is dropped first. */
  drops: Spool | undefined;
  data: DataStreams;
  /** Of the schema's archive, with `withDataEntries`. */
  contents: ArchiveContents;
  /** The entries to restore. */
  entries: readonly ArchiveEntry[];
  /** Sessions for indexes and constraints. */
  jobs: number;
  faults: RestoreFaults;
  rows: StreamRows;
  /** Gets the rows and sequences that are left out because an extension is skipped. */
  leftOut: ArchiveEntry[];
  /** See `LoadPlan`. */
  editsOfData: ((entries: readonly ArchiveEntry[]) => readonly TextEdit[]) | undefined;
}

/**
 * Restores a dump of several streams: the tables from the schema's archive, then the rows by one pg_restore for each
 * stream as they arrive, then indexes, constraints and privileges from the schema's archive. Reads the dump to its end,
 * unless it needs none of the rows. Ends all sessions if one of them waits too long for a lock. Returns the number of
 * errors that pg_restore ignored.
 */
export async function loadStreams(
  context: Pick<JobContext, "clock" | "signal" | "config" | "log">,
  load: StreamsLoad,
  options: LoadOptions,
): Promise<number> {
  const { contents, entries, selection, faults } = load;
  const { before, after } = aroundData(contents, entries);
  const common = { ...options, clean: false, singleTransaction: false };
  const needsData = isWhole(selection) || entries.some(({ section }) => section === "data");
  return await boundedByLocks(context, options, async (signal) => {
    const restoreSchema = async (
      file: Spool,
      some: readonly ArchiveEntry[],
      more: { jobs: number; clean: boolean },
    ) => {
      if (some.length === 0) return 0;
      const only = some.map(({ id }) => id);
      const own = { ...common, ...more, signal, only, onError: faults.add };
      return (await restoreFile(file.path, own)).errorsIgnored;
    };
    const whole = [...before, ...after];
    let errorsIgnored = load.drops ? await restoreSchema(load.drops, whole, { jobs: 1, clean: true }) : 0;
    errorsIgnored += await restoreSchema(load.schema, before, { jobs: 1, clean: false });
    if (needsData) errorsIgnored += await restoreData(context, load, { ...common, signal });
    errorsIgnored += await restoreSchema(load.schema, after, { jobs: load.jobs, clean: false });
    return errorsIgnored;
  });
}

/** The files that `loadStreams` needs; disposing removes them. They contain no rows. */
export async function spoolSchema(
  bytes: AsyncIterable<Uint8Array>,
  contents: ArchiveContents,
  { tempDir, clean }: { tempDir: string; clean: boolean },
): Promise<Pick<StreamsLoad, "schema" | "drops"> & AsyncDisposable> {
  await using made = new AsyncDisposableStack();
  const schema = made.use(await spool(bytes, { tempDir, expectedBytes: 0 }));
  let drops: Spool | undefined;
  if (clean) {
    await using again = await openArchive(schema.read());
    const archive = onlyDrops(again.bytes, contents, needlessDrops(contents));
    drops = made.use(await spool(archive, { tempDir, expectedBytes: 0 }));
  }
  const all = made.move();
  return { schema, drops, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

type DataOptions = LoadOptions & { signal: AbortSignal };

/** Feeds the streams to as many pg_restore. The first error ends the others. */
async function restoreData(
  context: Pick<JobContext, "log">,
  load: StreamsLoad,
  options: DataOptions,
): Promise<number> {
  const { membersAtOnce, members } = load.data;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const index = new DataIndex(load.contents);
  const running = new Set<Promise<void>>();
  let errorsIgnored = 0;
  const restore = async (member: ContainerMember) => {
    // Not `+= await`: that would read the sum before the wait, and lose the errors of the members beside it.
    const ignored = await restoreMember(context, member, load, index, { ...options, signal });
    errorsIgnored += ignored;
  };
  const next = () => unlessAborted(members.next(), signal);
  try {
    for (let member = await next(); !member.done; member = await next()) {
      const one = restore(member.value).finally(() => running.delete(one));
      one.catch((error) => failed.abort(error));
      running.add(one);
      // A member that has ended needs nothing more of the dump, so there will be room again.
      while (running.size >= membersAtOnce) await Promise.race(running);
    }
    await Promise.all(running);
    return errorsIgnored;
  } catch (error) {
    failed.abort(error);
    // The others get no more bytes, so their pg_restore are ended.
    await load.data.close();
    await Promise.allSettled(running);
    throw failed.signal.reason;
  }
}

/** The entries of an archive of rows to restore. Notes those that a skipped extension keeps out. */
export function chosenEntries(
  { log }: Pick<JobContext, "log">,
  contents: ArchiveContents,
  load: Pick<StreamsLoad, "entries" | "leftOut"> & DataChoice,
  index: DataIndex,
): ArchiveEntry[] {
  const entries = index.toRestore(contents, load.entries, load);
  const lost = index.leftOut(contents, load.entries, load);
  load.leftOut.push(...lost);
  if (lost.length > 0)
    log.warning("an extension is skipped, so rows of its own tables are not restored", {
      tables: lost.map(({ namespace, tag }) => `${namespace}.${tag}`).join(", "),
    });
  return entries;
}

async function restoreMember(
  context: Pick<JobContext, "log">,
  { bytes }: ContainerMember,
  load: StreamsLoad,
  index: DataIndex,
  options: DataOptions,
): Promise<number> {
  const { faults, rows, editsOfData = () => [] } = load;
  await using archive = await openArchive(bytes);
  const { contents } = archive;
  const entries = chosenEntries(context, contents, load, index);
  if (entries.length === 0) return 0;
  const counter = new RowCounter(contents);
  rows.add(counter, contents, index);
  const passing = observed(archive.bytes, (_, chunk) => counter.pass(chunk));
  const { errorsIgnored } = await restoreStream(withTexts(passing, editsOfData(entries)), {
    ...options,
    only: entries.map(({ id }) => id),
    onError: faults.addOf(contents, index.idOf),
  });
  return errorsIgnored;
}
