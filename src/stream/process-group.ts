import { unlessAborted, waitAtMost } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";

export interface GroupOptions {
  argv: readonly string[];
  /** The whole environment. */
  env: Record<string, string>;
  clock: Clock;
  /** Ends the group; its reason is thrown. */
  signal: AbortSignal;
}

export interface GroupResult {
  exitCode: number | null;
  signalName: string | null;
  /** The end of stdout and stderr, as they came. */
  output: string;
}

/** More than is shown, so that a secret which the end cuts in two can be recognized first. */
const OUTPUT_BYTES_MAX = 64 * 1024;
/** Time to end after SIGTERM, before SIGKILL. */
const KILL_GRACE_MS = 3_000;
/** For the rest of the output, once every process of the group has ended. */
const OUTPUT_MS_MAX = 2_000;

/**
 * Stdin is a pipe that ends when this process does, whatever ended it: then the group kills itself. The program itself has
 * an empty stdin, and the process id of this shell.
 */
const WATCHED = `exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec "$@" 3<&-`;

/**
 * Runs a program as the leader of a process group of its own, and ends the whole group with it: nothing that it started
 * lives on, unless that has left the group. Also ends it if this process is killed.
 */
export async function runGroup({ argv, env, clock, signal }: GroupOptions): Promise<GroupResult> {
  signal.throwIfAborted();
  const child = Bun.spawn(["/bin/sh", "-c", WATCHED, "hook", ...argv], {
    env,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  const output = new Tail();
  const read = Promise.allSettled([output.read(child.stdout), output.read(child.stderr)]);
  const kill = (name: "SIGTERM" | "SIGKILL") => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // The group has ended.
    }
  };
  try {
    await unlessAborted(child.exited, signal);
  } catch (error) {
    kill("SIGTERM");
    await waitAtMost(child.exited, { clock, durationMs: KILL_GRACE_MS });
    throw Object.assign(new GroupEnded(output), { cause: error });
  } finally {
    kill("SIGKILL");
    await child.exited;
    await waitAtMost(read, { clock, durationMs: OUTPUT_MS_MAX });
    output.close();
    child.stdin.end();
  }
  const { exitCode, signalCode } = child;
  return { exitCode, signalName: signalCode === null ? null : String(signalCode), output: output.text() };
}

/** The signal ended the group; `cause` is its reason. */
export class GroupEnded extends Error {
  readonly #output: Tail;

  constructor(output: Tail) {
    super("ended");
    this.#output = output;
  }

  get output(): string {
    return this.#output.text();
  }
}

class Tail {
  #bytes = Buffer.alloc(0);
  readonly #readers: ReadableStreamDefaultReader<Uint8Array>[] = [];

  async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const reader = stream.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    this.#readers.push(reader);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#bytes = Buffer.concat([this.#bytes, value]).subarray(-OUTPUT_BYTES_MAX);
    }
  }

  close(): void {
    for (const reader of this.#readers) void reader.cancel().catch(() => {});
  }

  text(): string {
    return this.#bytes.toString().replace(/^\uFFFD+/, "");
  }
}
