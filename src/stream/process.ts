import type { Subprocess } from "bun";
import { unlessAborted, waitAtMost } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { BLOCK_BYTES, STDERR_TAIL_BYTES } from "../base/limits.ts";
import { BufferPool } from "./buffer-pool.ts";
import { Pipe } from "./pipe.ts";

export interface ChildOptions {
  /** Program and arguments. Never a secret: every user of the host can read them. */
  argv: readonly string[];
  /** The whole environment of the child. */
  env: Record<string, string>;
  signal?: AbortSignal;
  /** -20 to 19. */
  nice?: number;
  ioClass?: "idle" | "best-effort" | "none";
  /** `readChild` only: ends the child if no byte, or no end, comes for this long while we wait for it; 0: never. */
  stallTimeoutMs?: number;
  /** Used instead of it until the first byte, which may take longer; 0: never. */
  firstByteTimeoutMs?: number;
  clock?: Clock;
  /** `readChild` only: called once, when the first byte has come. Must not throw. */
  onFirstByte?: () => void;
  /** Called once when the child has ended, although its output may not have been read yet. Must not throw. */
  onEnd?: (() => void) | undefined;
  /** Gets everything that the child writes to stderr, of which only the end is kept. Must not throw. */
  onStderr?: (bytes: Uint8Array) => void;
}

export interface ChildResult {
  stdout: string;
  /** The end of its stderr. */
  stderrTail: string;
}

/** A child ended with another exit code than 0, or could not be started. */
export class ChildError extends Error {
  override readonly name = "ChildError";
  readonly exitCode: number | null;
  readonly signalName: string | null;
  readonly stderrTail: string;

  constructor(
    message: string,
    end: { exitCode: number | null; signalName: string | null; stderrTail: string },
  ) {
    super(message);
    this.exitCode = end.exitCode;
    this.signalName = end.signalName;
    this.stderrTail = end.stderrTail;
  }
}

/** Time for a child to end after SIGTERM, before SIGKILL. */
const KILL_GRACE_MS = 5_000;
/** Time to wait for the end of stderr after a child's end: processes that it started may hold it open. */
const STDERR_GRACE_MS = 1_000;

/**
 * The stdout of a child in blocks of `blocks.bufferBytes` bytes, the last one shorter. End of stream means success:
 * throws `ChildError` before the end unless the child exits with 0. Each block belongs to the reader until it calls
 * `blocks.release`. If the reader leaves the loop early the child is ended; also if the signal aborts, and then its
 * reason is thrown.
 */
export async function* readChild(
  options: ChildOptions,
  blocks: BufferPool = new BufferPool(BLOCK_BYTES, 4),
  onExit?: (result: { stderrTail: string }) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  const pipe = new Pipe("read", options.clock ?? systemClock);
  let child: Child | undefined;
  try {
    child = new Child(options, { stdin: "ignore", stdout: pipe.childFd });
    pipe.closeChildEnd();
    for (let isAtEnd = false; !isAtEnd; ) {
      const block = await nextBlock(child, pipe, blocks);
      isAtEnd = block.length < blocks.bufferBytes;
      if (block.length > 0) yield block;
    }
    child.watchStall(true);
    // On a separate line: without onExit an optional call would not evaluate its argument.
    const result = await child.success();
    onExit?.(result);
  } catch (error) {
    throw (await child?.explain(error)) ?? error;
  } finally {
    pipe.close();
    await child?.end();
  }
}

/** Shorter than a whole buffer, possibly empty, only at the end of the stream. */
async function nextBlock(child: Child, pipe: Pipe, blocks: BufferPool): Promise<Uint8Array> {
  const buffer = await blocks.acquire(child.signal);
  let filled = 0;
  try {
    child.watchStall(true);
    filled = await pipe.fill(buffer, child.signal, () => child.noteProgress());
    return buffer.subarray(0, filled);
  } finally {
    child.watchStall(false);
    if (filled === 0) blocks.release(buffer);
  }
}

/**
 * Feeds a child's stdin and collects its stdout. A child that closes its stdin early and exits with 0 needs no more
 * (pg_restore with a selection): that is success, and the rest of the source is not read. Any other end throws
 * `ChildError`; an error of the source ends the child and is thrown unchanged, and so is the reason of an aborted
 * signal.
 */
export async function feedChild(
  options: ChildOptions,
  source: AsyncIterable<Uint8Array>,
): Promise<ChildResult> {
  options.signal?.throwIfAborted();
  const pipe = new Pipe("write", options.clock ?? systemClock);
  let child: Child | undefined;
  try {
    child = new Child(options, { stdin: pipe.childFd, stdout: "pipe" });
    pipe.closeChildEnd();
    await feed(child, pipe, source);
    pipe.close();
    return await child.success();
  } catch (error) {
    throw (await child?.explain(error)) ?? error;
  } finally {
    pipe.close();
    await child?.end();
  }
}

/** Runs a child that gets no input and has little output. */
export async function runChild(options: ChildOptions): Promise<ChildResult> {
  return feedChild(options, (async function* () {})());
}

async function feed(child: Child, stdin: Pipe, source: AsyncIterable<Uint8Array>): Promise<void> {
  const signal = AbortSignal.any([child.signal, child.exited]);
  for await (const chunk of source) {
    try {
      await stdin.write(chunk, signal);
    } catch (error) {
      if (child.exited.aborted || (error as { code?: string }).code === "EPIPE") return;
      throw error;
    }
  }
}

/** A running child: its end, the tail of its stderr, and all ways to end it. */
class Child {
  readonly process: Subprocess;
  /** Aborted by the caller's signal or by a stall. */
  readonly signal: AbortSignal;
  readonly #exited = new AbortController();
  readonly #name: string;
  readonly #stdout: Collected | undefined;
  readonly #stderr: Collected;
  readonly #stall = new AbortController();
  #stallTimeoutMs: number;
  readonly #laterStallTimeoutMs: number;
  readonly #clock: Clock;
  #stallTimer: AbortController | undefined;
  #progressAtMs = 0;
  #onFirstByte: (() => void) | undefined;

  constructor(options: ChildOptions, stdio: { stdin: "ignore" | number; stdout: number | "pipe" }) {
    this.#name = options.argv[0]?.split("/").at(-1) ?? "child";
    this.#laterStallTimeoutMs = options.stallTimeoutMs ?? 0;
    this.#stallTimeoutMs = options.firstByteTimeoutMs ?? this.#laterStallTimeoutMs;
    this.#clock = options.clock ?? systemClock;
    this.#onFirstByte = options.onFirstByte;
    this.signal = options.signal ? AbortSignal.any([options.signal, this.#stall.signal]) : this.#stall.signal;
    try {
      this.process = Bun.spawn([...priorityPrefix(options), ...options.argv], {
        env: options.env,
        stdin: stdio.stdin,
        stdout: stdio.stdout,
        stderr: "pipe",
        onExit: () => {
          this.#exited.abort();
          options.onEnd?.();
        },
      });
    } catch (error) {
      throw new ChildError(`${this.#name} could not be started: ${(error as Error).message}`, {
        exitCode: null,
        signalName: null,
        stderrTail: "",
      });
    }
    const { stdout, stderr } = this.process;
    if (stdout instanceof ReadableStream) this.#stdout = new Collected(stdout, Number.POSITIVE_INFINITY);
    this.#stderr = new Collected(stderr as ReadableStream<Uint8Array>, STDERR_TAIL_BYTES, options.onStderr);
  }

  /** Aborts when the child has ended. */
  get exited(): AbortSignal {
    return this.#exited.signal;
  }

  /** Call when a byte has come. */
  noteProgress(): void {
    this.#onFirstByte?.();
    this.#onFirstByte = undefined;
    this.#progressAtMs = this.#clock.monotonicMs();
    if (this.#stallTimeoutMs === this.#laterStallTimeoutMs) return;
    this.#stallTimeoutMs = this.#laterStallTimeoutMs;
    this.watchStall(true);
  }

  /** Turns on or off the count of time without a byte; on only while someone waits for one. */
  watchStall(on: boolean): void {
    this.#stallTimer?.abort();
    this.#stallTimer = undefined;
    if (!on || this.#stallTimeoutMs <= 0) return;
    this.#progressAtMs = this.#clock.monotonicMs();
    const timer = new AbortController();
    this.#stallTimer = timer;
    void this.#waitForStall(timer.signal).catch(() => {});
  }

  async #waitForStall(signal: AbortSignal): Promise<void> {
    for (;;) {
      const leftMs = this.#progressAtMs + this.#stallTimeoutMs - this.#clock.monotonicMs();
      if (leftMs <= 0) break;
      await this.#clock.sleep(leftMs, signal);
    }
    this.#stall.abort(new StallError(`${this.#name} sent no byte for ${this.#stallTimeoutMs / 1000} s`));
  }

  /** Waits for the child's end and throws `ChildError` unless its exit code is 0. */
  async success(): Promise<ChildResult> {
    await unlessAborted(this.process.exited, this.signal);
    const stderrTail = await this.#stderrTail();
    const { exitCode, signalCode } = this.process;
    if (exitCode === 0) {
      if (this.#stdout) await unlessAborted(this.#stdout.ended, this.signal);
      return { stdout: this.#stdout?.text() ?? "", stderrTail };
    }
    const how = signalCode ? `was killed by ${signalCode}` : `ended with exit code ${exitCode}`;
    const signalName = signalCode === null ? null : String(signalCode);
    throw new ChildError(`${this.#name} ${how}`, { exitCode, signalName, stderrTail });
  }

  /** Ends the child. Converts a stall to a `ChildError`; returns any other error unchanged. */
  async explain(error: unknown): Promise<unknown> {
    await this.#kill();
    if (!(error instanceof StallError)) return error;
    const stderrTail = await this.#stderrTail();
    return new ChildError(error.message, { exitCode: null, signalName: null, stderrTail });
  }

  /** Ends the child if it still runs, and stops reading its output. Resolves when it has ended. */
  async end(): Promise<void> {
    await this.#kill();
    await Promise.all([this.#stdout?.cancel(), this.#stderr.cancel()]);
  }

  /** SIGTERM, then SIGKILL. */
  async #kill(): Promise<void> {
    this.watchStall(false);
    if (this.exited.aborted) return;
    this.process.kill("SIGTERM");
    await waitAtMost(this.process.exited, { clock: this.#clock, durationMs: KILL_GRACE_MS });
    this.process.kill("SIGKILL");
    await this.process.exited;
  }

  async #stderrTail(): Promise<string> {
    const ended = this.#stderr.ended.catch(() => {});
    await waitAtMost(ended, { clock: this.#clock, durationMs: STDERR_GRACE_MS });
    return this.#stderr.text().trim();
  }
}

class StallError extends Error {}

const IO_CLASS_NUMBER = { idle: "3", "best-effort": "2" } as const;

function priorityPrefix({ nice, ioClass }: ChildOptions): string[] {
  return [
    ...(nice ? ["nice", "-n", String(nice)] : []),
    ...(ioClass && ioClass !== "none" ? ["ionice", "-c", IO_CLASS_NUMBER[ioClass]] : []),
  ];
}

/** The contents so far of a stream that is read to its end. */
class Collected {
  /** Resolves at the end of the stream. */
  readonly ended: Promise<void>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #keepBytes: number;
  readonly #onBytes: ((bytes: Uint8Array) => void) | undefined;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(stream: ReadableStream<Uint8Array>, keepBytes: number, onBytes?: (bytes: Uint8Array) => void) {
    this.#reader = stream.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    this.#keepBytes = keepBytes;
    this.#onBytes = onBytes;
    this.ended = this.#read();
    this.ended.catch(() => {});
  }

  /** The last `keepBytes` bytes so far, without a partial character at their beginning. */
  text(): string {
    const kept = Buffer.concat(this.#chunks).subarray(-this.#keepBytes);
    return kept.toString().replace(/^\uFFFD+/, "");
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }

  async #read(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return;
      this.#onBytes?.(value);
      this.#chunks.push(value);
      this.#bytes += value.length;
      while (this.#bytes - (this.#chunks[0]?.length ?? 0) >= this.#keepBytes) {
        this.#bytes -= this.#chunks.shift()?.length ?? 0;
      }
    }
  }
}
