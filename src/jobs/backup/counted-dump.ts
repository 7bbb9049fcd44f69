import type { Deadline } from "../../base/abort.ts";
import { deadline } from "../../base/abort.ts";
import { messageOf } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { totalsOf, unknownFacts } from "../../postgres/counts/facts.ts";
import { readAgain } from "../../postgres/counts/read-again.ts";
import type { Snapshot } from "../../postgres/counts/snapshot.ts";
import { openSnapshot } from "../../postgres/counts/snapshot.ts";
import type { DumpStreams } from "../../postgres/counts/streams.ts";
import type { DumpOptions } from "../../postgres/dump.ts";
import { dumpDatabase } from "../../postgres/dump.ts";
import type { OneStream, ParallelDump } from "../../postgres/parallel-dump/parallel-dump.ts";
import { openParallelDump } from "../../postgres/parallel-dump/parallel-dump.ts";
import { isOfSnapshot } from "../../postgres/shortage.ts";
import { interleave } from "../../sealed/container/interleave.ts";
import { inBlocks } from "../../stream/blocks.ts";
import { blockPool } from "../../stream/compression.ts";
import type { JobContext } from "../context.ts";

type CountContext = Pick<JobContext, "config" | "clock" | "log">;

/**
 * A dump whose rows a second session counts in the same snapshot, beside pg_dump. Nothing that goes wrong with the counts
 * harms the dump. Dispose of it in any case: until then the session may be open.
 */
export class CountedDump implements AsyncDisposable {
  readonly #context: CountContext;
  readonly #options: DumpOptions;
  /** Ends the counts. */
  readonly #end = new AbortController();
  #snapshot: Snapshot | undefined;
  #grace: Deadline | undefined;
  #facts: Promise<DumpFacts> | undefined;
  #closed: Promise<void> | undefined;
  #parallel: ParallelDump | undefined;
  /** Of a dump for which several streams were asked for. */
  #streams: DumpStreams | undefined;
  #noSnapshot = "";

  /** A given snapshot is used, and closed; otherwise the dump takes its own. */
  constructor(context: CountContext, options: DumpOptions, snapshot?: Snapshot) {
    this.#context = context;
    this.#options = options;
    this.#snapshot = snapshot;
  }

  /**
   * Prepares a dump in `dump.jobs` streams of one snapshot. Returns whether `read` gives a container of several archives; if
   * the server has no room for the streams it is one archive, as always. Call it once, before `read`.
   */
  async open(): Promise<boolean> {
    await this.#open();
    const { dump } = this.#context.config;
    if (dump.jobs === 1) return false;
    const opened = await this.#openParallel(dump.jobs);
    if ("oneStream" in opened) {
      const fields = { database: this.#options.endpoint.database, jobs: dump.jobs, reason: opened.oneStream };
      this.#context.log.warning("the database is dumped in one stream, not in dump.jobs streams", fields);
      this.#streams = { jobs: dump.jobs, data_archives: null, at_once: 1, why_one: opened.oneStream };
      return false;
    }
    this.#parallel = opened;
    const { archives, streams, extensionData } = opened;
    this.#streams = {
      ...{ jobs: dump.jobs, data_archives: archives, at_once: streams, why_one: null },
      ...(extensionData.length > 0 && { extension_data: [...extensionData] }),
    };
    return true;
  }

  /**
   * The dump. If pg_dump cannot connect or use the snapshot, which may be gone by then, it is started again without. Never
   * after its first byte: the end of the stream means that this one dump is complete.
   */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#parallel) return yield* this.#readParallel(this.#parallel);
    let hasBegun = false;
    const begin = () => {
      hasBegun = true;
    };
    try {
      yield* this.#dump(begin);
      return;
    } catch (error) {
      if (hasBegun || !this.#snapshot || !isOfSnapshot(error)) throw error;
      this.#without(error);
    }
    await this.#close();
    yield* dumpDatabase(this.#options);
  }

  /**
   * The facts, at most `dump.count_grace` after pg_dump's end; undefined if nothing is to be recorded. Call it after the
   * end of the dump. If the signal aborts, the rest is not counted. Never rejects.
   */
  async facts(signal: AbortSignal): Promise<DumpFacts | undefined> {
    const facts = await this.#counted(signal);
    const streams = this.#streams;
    return streams ? { ...(facts ?? unknownFacts("dump.counts is off")), streams } : facts;
  }

  async #counted(signal: AbortSignal): Promise<DumpFacts | undefined> {
    if (!this.#facts) return undefined;
    const onAbort = () => this.#end.abort(new Error(`the backup was stopped: ${messageOf(signal.reason)}`));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const facts = await this.#facts.finally(() => signal.removeEventListener("abort", onAbort));
    const { tables, exact, sampled, not_counted } = totalsOf(facts);
    const fields = { database: this.#options.endpoint.database, tables, exact, sampled, not_counted };
    if (this.#context.config.dump.counts && (facts.problem !== null || not_counted > 0))
      this.#context.log.warning("not every table of the dump was counted", {
        ...fields,
        error: facts.problem ?? `${plural(not_counted, "table")} not counted; pg321 show ID --json says why`,
      });
    return facts;
  }

  async #open(): Promise<void> {
    if (this.#snapshot) return;
    const { clock } = this.#context;
    const signal = this.#options.signal ?? this.#end.signal;
    try {
      this.#snapshot = await openSnapshot(this.#options.endpoint, { clock, signal });
    } catch (error) {
      signal.throwIfAborted();
      this.#without(error);
    }
  }

  async #openParallel(jobs: number): Promise<ParallelDump | OneStream> {
    const snapshot = this.#snapshot;
    if (!snapshot) return { oneStream: this.#noSnapshot };
    const { clock, log } = this.#context;
    const { signal = this.#end.signal, ...options } = this.#options;
    return await openParallelDump({
      ...options,
      ...{ snapshot, jobs, clock, signal },
      onEnd: () => this.#endAfterGrace(),
      onFewer: (error) =>
        log.warning(
          "a stream of a dump waits until another one has ended: the server has no connection for it",
          {
            database: options.endpoint.database,
            error: messageOf(error),
          },
        ),
    });
  }

  async *#readParallel(dump: ParallelDump): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal, blocks = blockPool(), endpoint } = this.#options;
    if (this.#snapshot) {
      const facts = this.#factsOf(this.#snapshot);
      // The last sequences are dumped when the last stream begins, with the values that they have then.
      this.#facts = Promise.all([facts, dump.started]).then(async ([{ sequences, ...others }]) => ({
        ...others,
        sequences: await readAgain(endpoint, sequences, this.#end.signal, (error) =>
          this.#context.log.warning(
            "the sequences were not read after the dump, so a restore test does not compare them",
            { database: endpoint.database, error: messageOf(error) },
          ),
        ),
      }));
    }
    void Promise.all([this.#facts, dump.started]).then(() => this.#close());
    const container = interleave(dump.members(), {
      membersAtOnce: dump.streams,
      stop: (reason) => dump.stop(reason),
    });
    yield* inBlocks(container, blocks, signal);
  }

  #factsOf(snapshot: Snapshot): Promise<DumpFacts> {
    const { counts, count_max_bytes } = this.#context.config.dump;
    if (!counts) return Promise.resolve(unknownFacts("dump.counts is off", snapshot.moment));
    const { selected } = this.#options;
    return snapshot.count({ maxBytes: count_max_bytes, signal: this.#end.signal, selected });
  }

  #without(error: unknown): void {
    this.#noSnapshot = messageOf(error);
    if (!this.#context.config.dump.counts) return;
    this.#facts = Promise.resolve(unknownFacts(`no snapshot was shared with pg_dump: ${messageOf(error)}`));
  }

  #dump(begin: () => void): AsyncIterable<Uint8Array> {
    const snapshot = this.#snapshot;
    if (!snapshot) return dumpDatabase(this.#options);
    return dumpDatabase({
      ...this.#options,
      snapshot: snapshot.id,
      onLocked: () => {
        begin();
        this.#facts = this.#factsOf(snapshot);
        // A slow storage may take the rest of the dump much later: do not hold the server's snapshot until then.
        void this.#facts.then(() => this.#close());
      },
      onEnd: () => {
        if (this.#snapshot === snapshot) this.#endAfterGrace();
      },
    });
  }

  #endAfterGrace(): void {
    const { clock, config } = this.#context;
    const graceMs = config.dump.count_grace_ms;
    const late = () => new Error(`dump.count_grace (${graceMs / 1000} s) was over`);
    const time = deadline({ clock, durationMs: graceMs }, late);
    this.#grace = time;
    time.signal.addEventListener("abort", () => this.#end.abort(time.signal.reason), { once: true });
  }

  /** Never rejects: the dump does not need the snapshot any more. */
  #close(): Promise<void> {
    this.#grace?.[Symbol.dispose]();
    const snapshot = this.#snapshot;
    this.#snapshot = undefined;
    if (snapshot) this.#closed = release(snapshot);
    return this.#closed ?? Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort(new Error("the backup ended"));
    await this.#parallel?.[Symbol.asyncDispose]();
    await this.#close();
  }
}

async function release(snapshot: Snapshot): Promise<void> {
  try {
    await snapshot[Symbol.asyncDispose]();
  } catch {
    // The session is over in any case.
  }
}
