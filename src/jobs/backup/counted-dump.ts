import type { Deadline } from "../../base/abort.ts";
import { deadline } from "../../base/abort.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { totalsOf, unknownFacts } from "../../postgres/counts/facts.ts";
import type { Snapshot } from "../../postgres/counts/snapshot.ts";
import { openSnapshot } from "../../postgres/counts/snapshot.ts";
import type { DumpOptions } from "../../postgres/dump.ts";
import { dumpDatabase } from "../../postgres/dump.ts";
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

  constructor(context: CountContext, options: DumpOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** The dump. If pg_dump cannot use the snapshot, which may be gone by then, it is made again without, unseen. */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#open();
    try {
      yield* this.#dump();
    } catch (error) {
      if (!this.#snapshot || !isOfSnapshot(error)) throw error;
      this.#without(error);
      await this.#close();
      yield* this.#dump();
    }
    this.#endAfterGrace();
  }

  /**
   * The facts, at most `dump.count_grace` after the dump's end; undefined if nothing is to be counted. Call it after the
   * end of the dump. Rejects only with the signal's reason.
   */
  async facts(signal: AbortSignal): Promise<DumpFacts | undefined> {
    if (!this.#facts) return undefined;
    const onAbort = () => this.#end.abort(new Error("the run was ended"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const facts = await this.#facts.finally(() => signal.removeEventListener("abort", onAbort));
    signal.throwIfAborted();
    await this.#close();
    const { tables, exact, sampled, not_counted } = totalsOf(facts);
    const fields = { database: this.#options.endpoint.database, tables, exact, sampled, not_counted };
    if (facts.problem !== null || not_counted > 0)
      this.#context.log.warning("not every table of the dump was counted", {
        ...fields,
        error: facts.problem ?? `${plural(not_counted, "table")} not counted; pg321 show ID --json says why`,
      });
    return facts;
  }

  async #open(): Promise<void> {
    const { config, clock } = this.#context;
    if (!config.dump.counts) return;
    const signal = this.#options.signal ?? this.#end.signal;
    try {
      this.#snapshot = await openSnapshot(this.#options.endpoint, { clock, signal });
    } catch (error) {
      signal.throwIfAborted();
      this.#without(error);
    }
  }

  #without(error: unknown): void {
    this.#facts = Promise.resolve(unknownFacts(`no snapshot was shared with pg_dump: ${messageOf(error)}`));
  }

  #dump(): AsyncIterable<Uint8Array> {
    const snapshot = this.#snapshot;
    if (!snapshot) return dumpDatabase(this.#options);
    const limits = { maxBytes: this.#context.config.dump.count_max_bytes, signal: this.#end.signal };
    return dumpDatabase({
      ...this.#options,
      snapshot: snapshot.id,
      onLocked: () => {
        this.#facts = snapshot.count(limits);
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

  async #close(): Promise<void> {
    this.#grace?.[Symbol.dispose]();
    const snapshot = this.#snapshot;
    this.#snapshot = undefined;
    await snapshot?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort(new Error("the backup ended"));
    await this.#close();
  }
}

/**
 * Whether pg_dump failed because of the session with the snapshot: it could not use the snapshot, or found no connection
 * left. Its messages are in English.
 */
function isOfSnapshot(error: unknown): boolean {
  return error instanceof Pg321Error && OF_SNAPSHOT.test(error.message);
}

const OF_SNAPSHOT =
  /SET TRANSACTION SNAPSHOT|snapshot identifier|the requested snapshot|too many (clients|connections)|connection slots are reserved/;
