import { setMaxListeners } from "node:events";
import { unlessAborted } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { MIB, STDERR_TAIL_BYTES } from "../../base/limits.ts";
import { BufferPool } from "../../stream/buffer-pool.ts";
import { openArchive } from "../archive/archive.ts";
import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import type { Snapshot } from "../counts/snapshot.ts";
import type { ExtensionData } from "../counts/streams.ts";
import type { DumpOptions } from "../dump.ts";
import { dumpDatabase } from "../dump.ts";
import { hasNoConnection, isOfSnapshot, isShortage } from "../shortage.ts";
import { canBeNamed } from "./patterns.ts";
import type { DataTask } from "./plan.ts";
import { dataEntries, entryKey, extensionData, planTasks } from "./plan.ts";
import { readRelations } from "./relations.ts";
import type { TableLocks } from "./table-locks.ts";
import { lockTables } from "./table-locks.ts";

/** Read at once from a pg_dump; its pipe holds as much. */
const PIECE_BYTES = MIB;
/** How often a stream without a connection tries again, and how long if no other one has a connection. */
const CONNECT_AGAIN_MS = 500;
const ALONE_MS_MAX = 10_000;
/** The same for the schema: without it the dump can still be made in one stream. */
const SCHEMA_ALONE_MS_MAX = 3_000;
/** What a stream holds in memory: a piece that is filled, one that is passed on, and a copy while it is looked at. */
export const STREAM_BYTES: number = 3 * PIECE_BYTES;

export interface ParallelDumpOptions extends Omit<DumpOptions, "blocks" | "snapshot" | "onLocked" | "part"> {
  snapshot: Pick<Snapshot, "id" | "connection">;
  /** Streams of data at the same time. */
  jobs: number;
  clock: Clock;
  signal: AbortSignal;
  /** Called if a stream gets no connection and waits for the end of another one. */
  onFewer?: (error: unknown) => void;
  groupBytesMin?: number;
}

/** One archive of a parallel dump. */
export interface DumpMember {
  name: string;
  kind: "schema" | "data";
  /** A piece's memory is used again when the next one is asked for. */
  bytes: AsyncIterable<Uint8Array>;
}

/** Why a database must be dumped in one stream. */
export interface OneStream {
  oneStream: string;
}

/**
 * Prepares a dump in several streams of one snapshot: reads in a table of contents what a whole dump contains, locks the
 * tables, and deals the data to streams. Throws code `database` whenever a dump in one stream would fail too, and a
 * `VanishedError` if a table was changed since the snapshot.
 */
export async function openParallelDump(options: ParallelDumpOptions): Promise<ParallelDump | OneStream> {
  const { endpoint, snapshot, signal } = options;
  const database = await unlessAborted(readRelations(snapshot.connection), signal);
  let entries: ArchiveEntry[];
  try {
    entries = dataEntries(await entriesOfWhole(options));
  } catch (error) {
    if (isOfSnapshot(error)) return { oneStream: messageOf(error) };
    throw error;
  }
  const named = entries.map(({ namespace, tag }) => ({ schema: namespace ?? "", name: tag }));
  if (!canBeNamed(named, database.encoding))
    return {
      oneStream: `a table's name has other characters than ASCII, and the database's encoding is ${database.encoding}, not UTF8`,
    };
  const withData = new Set(
    entries.filter(({ description }) => description === "TABLE DATA").map((entry) => nameKey(entry)),
  );
  const tables = database.relations.filter(({ schema, name }) =>
    withData.has(JSON.stringify([schema, name])),
  );
  let locks: TableLocks;
  try {
    locks = await lockTables(endpoint, tables, { lockWaitMs: options.lock_wait_timeout_ms, signal });
  } catch (error) {
    if (isShortage(error)) return { oneStream: messageOf(error) };
    throw error;
  }
  const input = { ...options, ...database, entries, sizes: locks.sizes };
  const tasks = planTasks(input);
  if (!tasks) {
    await locks[Symbol.asyncDispose]();
    return { oneStream: "the dump contains data of a kind that cannot be selected" };
  }
  const dump = new ParallelDump(options, { tasks, extensionData: extensionData(input) }, locks);
  try {
    await dump.start();
    return dump;
  } catch (error) {
    await dump[Symbol.asyncDispose]();
    // The snapshot and the locks may have taken the last connections.
    if (hasNoConnection(error)) return { oneStream: messageOf(error) };
    throw error;
  }
}

function nameKey({ namespace, tag }: ArchiveEntry): string {
  return JSON.stringify([namespace ?? null, tag]);
}

/** The table of contents comes before the data, so it costs no more than pg_dump's look at the system catalog. */
async function entriesOfWhole(options: ParallelDumpOptions): Promise<ArchiveEntry[]> {
  const blocks = new BufferPool(PIECE_BYTES / 4, 2);
  const { onEnd: _onEnd, onExit: _onExit, snapshot, ...rest } = options;
  const dump = dumpDatabase({ ...rest, snapshot: snapshot.id, part: ["--section=data"], blocks });
  await using archive = await openArchive(released(dump, blocks));
  return archive.contents.entries;
}

async function* released(
  source: AsyncIterable<Uint8Array>,
  blocks: BufferPool,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const block of source) {
    try {
      yield block;
    } finally {
      blocks.release(block);
    }
  }
}

interface Expected {
  /** Its name, and for rows its contents, in errors. */
  stream: string;
  /** The data entries that the archive must have; undefined: it has no data, but the schema. */
  entries?: readonly string[];
  /** Called at its first byte. */
  onBegin?: () => void;
}

interface Begun {
  /** Settles at its first byte. */
  first: Promise<unknown>;
  bytes: AsyncIterable<Uint8Array>;
}

const nameOf = (task: number) => `data-${task + 1}`;

/** Dispose of it in any case: it holds locks and processes. */
export class ParallelDump implements AsyncDisposable {
  /** Data members. */
  readonly archives: number;
  readonly extensionData: readonly ExtensionData[];
  /** How many data members are open at the same time, at most. */
  readonly streams: number;
  /** Resolves once every stream has its snapshot: the session that exported it is no longer needed. */
  readonly started: Promise<void>;
  readonly #options: ParallelDumpOptions;
  readonly #tasks: readonly DataTask[];
  readonly #locks: TableLocks;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #ended: Promise<void>;
  readonly #onStarted: () => void;
  readonly #onEnded: () => void;
  readonly #sources: AsyncGenerator<Uint8Array, void, undefined>[] = [];
  readonly #stderr = new Set<string>();
  readonly #watch = new AbortController();
  #schema: Begun | undefined;
  /** Streams that begin while the schema is read. */
  readonly #early: Begun[] = [];
  /** Streams that have begun, and whose output has not been read to its end. */
  #running = 0;
  #begun = 0;
  #exited = 0;

  constructor(
    options: ParallelDumpOptions,
    { tasks, extensionData }: { tasks: readonly DataTask[]; extensionData: readonly ExtensionData[] },
    locks: TableLocks,
  ) {
    this.#options = options;
    this.extensionData = extensionData;
    this.#tasks = tasks;
    this.#locks = locks;
    this.archives = tasks.length;
    this.streams = Math.max(1, Math.min(options.jobs, tasks.length));
    this.#signal = AbortSignal.any([options.signal, this.#abort.signal]);
    // Every stream listens to it.
    setMaxListeners(0, this.#signal);
    const started = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    [this.started, this.#onStarted] = [started.promise, started.resolve];
    [this.#ended, this.#onEnded] = [ended.promise, ended.resolve];
  }

  /** Starts the pg_dump of the schema, and waits for its first byte. */
  async start(): Promise<void> {
    const { signal } = this.#watch;
    const watched = this.#locks.watch(this.#options.clock, AbortSignal.any([this.#signal, signal]));
    watched.catch((error) => signal.aborted || this.stop(error));
    // The others look at the system catalog while the schema is read; not earlier: they might take its connection.
    const onBegin = () =>
      void this.#early.push(
        ...this.#tasks.slice(0, this.streams - 1).map((task, i) => this.#beginTask(task, i)),
      );
    const part = ["--section=pre-data", "--section=post-data"];
    this.#schema = this.#begin(part, { stream: "schema", onBegin });
    await unlessAborted(this.#schema.first, this.#signal);
  }

  /**
   * The schema first, then the data, in the order in which the streams become free. Can be read once, after `start`. A
   * failure of one stream ends all others; it ends only if all streams succeeded under the locks.
   */
  async *members(): AsyncGenerator<DumpMember, void, undefined> {
    if (!this.#schema) throw new Error("the dump is not started");
    yield { name: "schema", kind: "schema", bytes: this.#schema.bytes };
    for (const [i, task] of this.#tasks.entries()) {
      const { bytes } = this.#early[i] ?? this.#beginTask(task, i);
      yield { name: nameOf(i), kind: "data", bytes };
    }
    await unlessAborted(this.#ended, this.#signal);
    // If the session was lost, a table may have been emptied before its stream began.
    this.#watch.abort();
    await this.#locks.confirm(this.#options.clock, this.#signal);
    this.#options.onEnd?.();
    this.#options.onExit?.({ stderrTail: [...this.#stderr].join("\n").slice(-STDERR_TAIL_BYTES) });
    await this.#locks[Symbol.asyncDispose]();
  }

  /** Ends all streams; each throws the reason. */
  stop(reason: unknown): void {
    this.#abort.abort(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop(new Error("the dump ended"));
    await Promise.allSettled(this.#sources.map((source) => source.return()));
    await this.#locks[Symbol.asyncDispose]();
  }

  #beginTask({ options, entries, contents }: DataTask, i: number): Begun {
    return this.#begin(["--section=data", ...options], { stream: `${nameOf(i)} (${contents})`, entries });
  }

  /** Starts its process now. */
  #begin(part: readonly string[], expected: Expected): Begun {
    const source = this.#stream(part, expected);
    this.#sources.push(source);
    const first = source.next();
    // Nobody may have asked for its bytes yet.
    first.catch((error) => this.stop(error));
    const begun = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      try {
        for (let next = await first; !next.done; next = await source.next()) yield next.value;
      } finally {
        await source.return();
      }
    };
    return { first, bytes: begun() };
  }

  /** If there is no connection for it, it tries again while others still have one, and a moment longer. */
  async *#stream(
    part: readonly string[],
    { onBegin = () => {}, ...expected }: Expected,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { clock, onFewer } = this.#options;
    let aloneSinceMs: number | undefined;
    for (let isFirst = true; ; isFirst = false) {
      let hasBegun = false;
      try {
        yield* this.#streamOnce(part, expected, () => {
          hasBegun = true;
          onBegin();
        });
        return;
      } catch (error) {
        if (hasBegun || !hasNoConnection(error)) throw error;
        const nowMs = clock.monotonicMs();
        aloneSinceMs = this.#running > 0 ? undefined : (aloneSinceMs ?? nowMs);
        // A session lives on for a moment after its stream.
        const aloneMsMax = expected.entries ? ALONE_MS_MAX : SCHEMA_ALONE_MS_MAX;
        if (aloneSinceMs !== undefined && nowMs - aloneSinceMs > aloneMsMax) throw error;
        if (isFirst) onFewer?.(error);
      }
      await clock.sleep(CONNECT_AGAIN_MS, this.#signal);
    }
  }

  async *#streamOnce(
    part: readonly string[],
    { stream, entries }: Omit<Expected, "onBegin">,
    onBegin: () => void,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const blocks = new BufferPool(PIECE_BYTES, 2);
    const { snapshot, ...options } = this.#options;
    const { selected } = options;
    let isBegun = false;
    let isExited = false;
    // A small output may be read only after the process has ended.
    const note = () => {
      if (!isBegun || !isExited) return;
      this.#exited += 1;
      if (this.#exited === this.#tasks.length + 1) this.#onEnded();
    };
    const dump = dumpDatabase({
      ...options,
      ...{ snapshot: snapshot.id, part, stream, blocks, signal: this.#signal },
      ...(entries && selected && { selected: { ...selected, args: selected.streamArgs } }),
      onLocked: () => {
        isBegun = true;
        this.#running += 1;
        this.#begun += 1;
        if (this.#begun === this.#tasks.length + 1) this.#onStarted();
        onBegin();
        note();
      },
      onEnd: () => {
        isExited = true;
        note();
      },
      onExit: ({ stderrTail }) => {
        for (const line of stderrTail.split("\n")) if (line !== "") this.#stderr.add(line);
      },
    });
    try {
      if (!entries) yield* released(dump, blocks);
      else {
        await using archive = await openArchive(released(dump, blocks));
        requireEntries(archive.contents, entries);
        yield* archive.bytes;
      }
    } finally {
      if (isBegun) this.#running -= 1;
    }
  }
}

/** Every entry of a whole dump must be in exactly one stream: a pattern or a rule of pg_dump may be other than we think. */
function requireEntries({ entries }: ArchiveContents, expected: readonly string[]): void {
  const found = new Set(dataEntries(entries).map(entryKey));
  const missing = expected.filter((key) => !found.delete(key));
  if (missing.length + found.size === 0) return;
  const list = (keys: Iterable<string>) => [...keys].slice(0, 3).join(", ") || "none";
  throw new Error(
    `internal error (a bug in pg321): pg_dump dumped other data than the stream was to contain; missing: ${list(missing)}; not asked for: ${list(found)}. dump.jobs = 1 avoids it`,
  );
}
