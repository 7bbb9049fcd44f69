import type { Subprocess } from "bun";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { BLOCK_BYTES, STDERR_TAIL_BYTES } from "../base/limits.ts";
import { BufferPool } from "./buffer-pool.ts";
import { openPipe } from "./pipe.ts";

export interface ChildOptions {
  /** Program and arguments. Never a secret: every user of the machine can read them. */
  argv: readonly string[];
  /** The whole environment of the child. */
  env: Record<string, string>;
  signal?: AbortSignal;
  /** -20 to 19. */
  nice?: number;
  ioClass?: "idle" | "best-effort" | "none";
  /** No byte for this long, while we wait for one, ends the child; 0: never. */
  stallTimeoutMs?: number;
  clock?: Clock;
}

export interface ChildResult {
  stdout: string;
  /** The end of what it wrote to stderr. */
  stderrTail: string;
}

/** A child that did not end with exit code 0, or could not be started. */
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

/** How long a child may take to end after SIGTERM before SIGKILL. */
const KILL_GRACE_MS = 5_000;

/**
 * The stdout of a child in blocks of `blocks.bufferBytes` bytes, the last one shorter. End of stream
 * means success: it throws `ChildError` before it returns unless the child exits with 0. Each block is
 * the reader's until it calls `blocks.release`. Leaving the loop early ends the child.
 */
export async function* readChild(
  options: ChildOptions,
  blocks: BufferPool = new BufferPool(BLOCK_BYTES, 4),
  onExit?: (result: { stderrTail: string }) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const clock = options.clock ?? systemClock;
  const pipe = openPipe(clock);
  const child = new Child(options, { stdin: "ignore", stdout: pipe.writeFd }, () => pipe.closeWriter());
  try {
    for (;;) {
      const buffer = await blocks.acquire(child.signal);
      let filled = 0;
      try {
        child.watchStall(true);
        filled = await pipe.reader.fill(buffer, child.signal, () => child.noteProgress());
      } finally {
        child.watchStall(false);
        if (filled === 0) blocks.release(buffer);
      }
      if (filled === 0) break;
      yield buffer.subarray(0, filled);
      if (filled < buffer.length) break;
    }
    const result = await child.success();
    onExit?.(result);
  } catch (error) {
    throw await child.explain(error);
  } finally {
    pipe.reader.close();
    await child.end();
  }
}

/**
 * Feeds a child's stdin, collecting its stdout. A child that closes its stdin early and exits with 0 is
 * content (pg_restore with a selection): that is success, and the source is left where it is. Any other
 * end throws `ChildError`; an error of the source ends the child and is thrown as it is.
 */
export async function feedChild(
  options: ChildOptions,
  source: AsyncIterable<Uint8Array>,
): Promise<ChildResult> {
  const child = new Child(options, { stdin: "pipe", stdout: "pipe" });
  const stdout = collect(child.process.stdout as ReadableStream<Uint8Array>);
  try {
    await feed(child, source);
    const { stderrTail } = await child.success();
    return { stdout: await stdout, stderrTail };
  } catch (error) {
    throw await child.explain(error);
  } finally {
    await child.end();
  }
}

/** Runs a child without input whose output is small. */
export async function runChild(options: ChildOptions): Promise<ChildResult> {
  return feedChild(options, (async function* () {})());
}

async function feed(child: Child, source: AsyncIterable<Uint8Array>): Promise<void> {
  const stdin = child.process.stdin as import("bun").FileSink;
  let closedByChild = false;
  const exited = child.process.exited.then(() => {
    closedByChild = true;
  });
  try {
    for await (const chunk of source) {
      child.signal.throwIfAborted();
      stdin.write(chunk);
      await Promise.race([stdin.flush(), exited, child.aborted]);
      if (closedByChild) return;
    }
  } catch (error) {
    if ((error as { code?: string }).code !== "EPIPE") throw error;
    return;
  }
  await Promise.race([Promise.resolve(stdin.end()).catch(() => {}), exited, child.aborted]);
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(stream).text();
}

/** A running child: its end, the tail of its stderr, and every way to end it. */
class Child {
  readonly process: Subprocess;
  /** Aborted by the caller's signal or by a stall. */
  readonly signal: AbortSignal;
  /** Never resolves; rejects when the signal aborts. */
  readonly aborted: Promise<never>;
  readonly #name: string;
  readonly #stderr: Promise<string>;
  readonly #stall = new AbortController();
  readonly #stallTimeoutMs: number;
  readonly #clock: Clock;
  #stallTimer: AbortController | undefined;
  #progressAtMs = 0;

  constructor(
    options: ChildOptions,
    stdio: { stdin: "ignore" | "pipe"; stdout: number | "pipe" },
    onSpawned?: () => void,
  ) {
    this.#name = options.argv[0]?.split("/").at(-1) ?? "child";
    this.#stallTimeoutMs = options.stallTimeoutMs ?? 0;
    this.#clock = options.clock ?? systemClock;
    this.signal = options.signal ? AbortSignal.any([options.signal, this.#stall.signal]) : this.#stall.signal;
    try {
      this.process = Bun.spawn([...priorityPrefix(options), ...options.argv], {
        env: options.env,
        stdin: stdio.stdin,
        stdout: stdio.stdout,
        stderr: "pipe",
      });
    } catch (error) {
      throw new ChildError(`${this.#name} could not be started: ${(error as Error).message}`, {
        exitCode: null,
        signalName: null,
        stderrTail: "",
      });
    } finally {
      onSpawned?.();
    }
    this.#stderr = tailOf(this.process.stderr as ReadableStream<Uint8Array>);
    this.aborted = new Promise((_, reject) => {
      if (this.signal.aborted) reject(this.signal.reason);
      this.signal.addEventListener("abort", () => reject(this.signal.reason), { once: true });
    });
    this.aborted.catch(() => {});
  }

  noteProgress(): void {
    this.#progressAtMs = this.#clock.monotonicMs();
  }

  /** Counts the time without a byte, only while somebody waits for one. */
  watchStall(on: boolean): void {
    this.#stallTimer?.abort();
    this.#stallTimer = undefined;
    if (!on || this.#stallTimeoutMs <= 0) return;
    this.noteProgress();
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

  async success(): Promise<{ stderrTail: string }> {
    const exitCode = await Promise.race([this.process.exited, this.aborted]);
    const stderrTail = await this.#stderr;
    if (exitCode === 0) return { stderrTail };
    throw this.#failure(stderrTail);
  }

  /** What really went wrong: the child's own end tells more than the pipe that broke because of it. */
  async explain(error: unknown): Promise<unknown> {
    if (error instanceof ChildError) return error;
    await this.end();
    const stderrTail = await this.#stderr;
    if (error instanceof StallError)
      return new ChildError(error.message, { exitCode: null, signalName: null, stderrTail });
    return error;
  }

  #failure(stderrTail: string): ChildError {
    const { exitCode, signalCode } = this.process;
    const how = signalCode ? `was killed by ${signalCode}` : `ended with exit code ${exitCode}`;
    return new ChildError(`${this.#name} ${how}`, {
      exitCode,
      signalName: signalCode === null ? null : String(signalCode),
      stderrTail,
    });
  }

  /** Ends the child if it still runs: SIGTERM, then SIGKILL. Resolves when it is gone. */
  async end(): Promise<void> {
    this.watchStall(false);
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill("SIGTERM");
    const timer = new AbortController();
    void this.#clock.sleep(KILL_GRACE_MS, timer.signal).then(
      () => this.process.kill("SIGKILL"),
      () => {},
    );
    await this.process.exited;
    timer.abort();
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

async function tailOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  let tail: Uint8Array = new Uint8Array();
  for await (const chunk of stream) {
    tail = Buffer.concat([tail, chunk]).subarray(-STDERR_TAIL_BYTES);
  }
  return new TextDecoder().decode(tail).trim();
}
