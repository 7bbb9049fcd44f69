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
import { messagesOf } from "../../postgres/program-messages.ts";
import { ChildError } from "../../stream/process.ts";
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

  /** A given snapshot is used, and closed; otherwise the dump takes its own. */
  constructor(context: CountContext, options: DumpOptions, snapshot?: Snapshot) {
    this.#context = context;
    this.#options = options;
    this.#snapshot = snapshot;
  }

  /**
   * The dump. If pg_dump cannot connect or use the snapshot, which may be gone by then, it is started again without. Never
   * after its first byte: the end of the stream means that this one dump is complete.
   */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#open();
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
   * The facts, at most `dump.count_grace` after pg_dump's end; undefined if nothing is to be counted. Call it after the
   * end of the dump. If the signal aborts, the rest is not counted. Never rejects.
   */
  async facts(signal: AbortSignal): Promise<DumpFacts | undefined> {
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

  #without(error: unknown): void {
    if (!this.#context.config.dump.counts) return;
    this.#facts = Promise.resolve(unknownFacts(`no snapshot was shared with pg_dump: ${messageOf(error)}`));
  }

  #dump(begin: () => void): AsyncIterable<Uint8Array> {
    const snapshot = this.#snapshot;
    if (!snapshot) return dumpDatabase(this.#options);
    const limits = { maxBytes: this.#context.config.dump.count_max_bytes, signal: this.#end.signal };
    return dumpDatabase({
      ...this.#options,
      snapshot: snapshot.id,
      onLocked: () => {
        begin();
        this.#facts = this.#context.config.dump.counts
          ? snapshot.count(limits)
          : Promise.resolve(unknownFacts("dump.counts is off", snapshot.moment));
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

/**
 * Whether pg_dump could not connect because the session with the snapshot has the last connection, or could not use the
 * snapshot. Each line is matched from its beginning, because names of objects stand further on. pg_dump's messages are
 * in English.
 */
function isOfSnapshot(error: unknown): boolean {
  const cause = error instanceof Pg321Error ? error.cause : undefined;
  if (!(cause instanceof ChildError)) return false;
  const lines = messagesOf(cause.stderrTail).flatMap(({ text, details }) => [text, ...details]);
  return lines.some((line) => NO_CONNECTION.test(line) || OF_SNAPSHOT.test(line));
}

/** Programs before version 12 name a module first. */
const NO_CONNECTION =
  /^(?:\[[^\]]*\] )?connection to .* failed: FATAL: +(?:sorry, too many clients|too many connections for|remaining connection slots are reserved)/;
const OF_SNAPSHOT = /^(?:\[[^\]]*\] )?query was: SET TRANSACTION SNAPSHOT /i;
