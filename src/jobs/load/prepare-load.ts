import { needlessDrops } from "../../postgres/archive/clean.ts";
import type { TextEdit } from "../../postgres/archive/data.ts";
import { RowCounter, withoutDrops, withTexts } from "../../postgres/archive/data.ts";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import type { Selection } from "../../postgres/archive/selection.ts";
import { isWhole } from "../../postgres/archive/selection.ts";
import type { DataChoice, ExtensionOf } from "../../postgres/archive/streams.ts";
import { extensionsOf, StreamRows } from "../../postgres/archive/streams.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { spool } from "../copies/spool.ts";
import type { RestoreFaults } from "./faults.ts";
import type { LoadOptions } from "./load-archive.ts";
import { loadArchive } from "./load-archive.ts";
import { loadStreams, spoolSchema } from "./load-streams.ts";
import { mergeStreams } from "./merge-streams.ts";
import type { ReadArchive } from "./read-archive.ts";

export interface LoadPlan {
  /** The entries of the archive to restore. */
  entries: readonly ArchiveEntry[];
  /** What these were chosen by. */
  selection: Selection;
  /** The extensions that are not restored, although the backup may have them. */
  skipExtensions: readonly string[];
  /** Of the tables that the archive does not show; default: not known. */
  extensionOf?: ExtensionOf;
  /** Drop the objects first. */
  clean: boolean;
  /** Sessions of pg_restore; undefined: 1, or as many as the backup has streams. */
  jobs: number | undefined;
  /** Size of the dump, if it must be written to a file. */
  expectedBytes: number;
  faults: RestoreFaults;
  /**
   * Whether the order of the entries needs a file to seek in, even with one session; of several streams, whether one session
   * must restore them all.
   */
  needsFile?: boolean;
  /** Changes to the table of contents of the archive. */
  edits?: readonly TextEdit[];
  /** Changes to that of an archive of rows, which has these entries to restore. */
  editsOfData?: ((entries: readonly ArchiveEntry[]) => readonly TextEdit[]) | undefined;
}

/** A restore whose temporary files are ready; disposing removes them. The target is unchanged so far. */
export interface PreparedLoad extends AsyncDisposable {
  /** The rows that have been sent. */
  readonly rows: Pick<RowCounter, "rowsOf">;
  /**
   * Rows and sequences of extensions' tables that were left out because an extension is skipped; complete once `run` has
   * ended. Of several streams only: there also those of extensions that are not known.
   */
  readonly leftOut: readonly ArchiveEntry[];
  /** Runs once; `onLoaded` is called when all pg_restore have succeeded. Returns the number of errors that they ignored. */
  run(options: LoadOptions, onLoaded?: () => void): Promise<number>;
}

/** Prepares the restore of a backup of one stream or of several. */
export function prepareLoad(
  context: JobContext,
  archive: ReadArchive,
  plan: LoadPlan,
): Promise<PreparedLoad> {
  if (!archive.data) return prepareArchive(context, archive, plan);
  return plan.needsFile
    ? prepareMerged(context, archive, archive.data, plan)
    : prepareStreams(context, archive, archive.data, plan);
}

async function prepareArchive(
  context: JobContext,
  { contents, bytes }: ReadArchive,
  { selection, clean, jobs = 1, expectedBytes, needsFile = false, edits = [] }: LoadPlan,
): Promise<PreparedLoad> {
  const rows = new RowCounter(contents);
  const passing = observed(bytes, (_, chunk) => rows.pass(chunk));
  const source = clean ? withoutDrops(passing, needlessDrops(contents)) : withTexts(passing, edits);
  // Parallel jobs, and rows in another order, need a file to seek in: the whole plain dump, private, removed afterwards. It is complete before the
  // target is changed, so all of the backup has been verified by then.
  const { temp_dir: tempDir } = context.config;
  const file = jobs > 1 || needsFile ? await spool(source, { tempDir, expectedBytes }) : undefined;
  const load = { source, spooled: file && { file, jobs }, isPart: !isWhole(selection) };
  return {
    rows,
    leftOut: [],
    run: (options, onLoaded = () => {}) => loadArchive(context, { ...load, onLoaded }, options),
    [Symbol.asyncDispose]: async () => file?.[Symbol.asyncDispose](),
  };
}

async function prepareStreams(
  context: JobContext,
  { contents, bytes }: ReadArchive,
  data: NonNullable<ReadArchive["data"]>,
  plan: LoadPlan,
): Promise<PreparedLoad> {
  const { entries, clean, jobs = data.membersAtOnce, faults, edits = [], editsOfData } = plan;
  const rows = new StreamRows();
  const files = await spoolSchema(withTexts(bytes, edits), contents, {
    tempDir: context.config.temp_dir,
    clean,
  });
  const chosen = { entries, ...choiceOf(contents, plan) };
  const leftOut: ArchiveEntry[] = [];
  const load = { ...files, ...chosen, data, contents, jobs, faults, rows, leftOut, editsOfData };
  return {
    rows,
    leftOut,
    run: async (options, onLoaded = () => {}) => {
      const errorsIgnored = await loadStreams(context, load, options);
      onLoaded();
      return errorsIgnored;
    },
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
  };
}

/** Of several streams, as one archive for one session, with the rows in files. */
async function prepareMerged(
  context: JobContext,
  { contents, bytes }: ReadArchive,
  data: NonNullable<ReadArchive["data"]>,
  plan: LoadPlan,
): Promise<PreparedLoad> {
  const { entries, clean, expectedBytes, edits = [], editsOfData } = plan;
  const rows = new StreamRows();
  const leftOut: ArchiveEntry[] = [];
  const needless = clean ? needlessDrops(contents) : [];
  const withoutDrops = needless.map(({ dropRange }) => ({ range: dropRange, text: "" }));
  const merged = await mergeStreams(context, {
    ...{ bytes, contents, data, entries, rows, leftOut, expectedBytes, editsOfData },
    ...choiceOf(contents, plan),
    edits: [...edits, ...withoutDrops],
  });
  return {
    ...{ rows, leftOut },
    run: (options, onLoaded = () => {}) =>
      loadArchive(
        context,
        { source: merged.bytes, isPart: true, onLoaded },
        { ...options, only: merged.only },
      ),
    [Symbol.asyncDispose]: () => merged[Symbol.asyncDispose](),
  };
}

function choiceOf({ entries }: ReadArchive["contents"], plan: LoadPlan): DataChoice {
  const { selection, skipExtensions, extensionOf = extensionsOf() } = plan;
  const skipped = entries.flatMap(({ description, tag }) =>
    description === "EXTENSION" && skipExtensions.includes(tag) ? [tag] : [],
  );
  return { selection, skipped, extensionOf };
}
