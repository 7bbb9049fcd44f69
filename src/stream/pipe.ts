import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, readSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import { KIB, MIB } from "../base/limits.ts";

const libc = dlopen("libc.so.6", {
  pipe2: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
}).symbols;

const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_SETFL = 4;
const F_SETPIPE_SZ = 1031;
const PAUSE_MS_MIN = 1;
const PAUSE_MS_MAX = 16;
/** Of a pipe that could not be enlarged. */
const PIPE_BYTES_MIN = 64 * KIB;

/**
 * A pipe to or from a child; our end does not block, the child's does.
 *  Why not the runtime's pipes: its `stdout: "pipe"` delivers a dump in pieces of about 13 KB, which costs 1.3 s of
 * CPU per GB, and its stdin does not report writes after the child has closed it. A pipe of 1 MiB read in few large
 * reads costs a third of that. If nothing can be read or written we try again after a short pause: a blocking call
 * would occupy one of the pool's few threads, which compression needs. The pauses become longer as long as they end with
 * little to read or write, because each costs more than the bytes, but not so long that the child waits.
 */
export class Pipe {
  /** For the child; close it in this process once the child has it. */
  readonly childFd: number;
  readonly #fd: number;
  readonly #clock: Clock;
  readonly #open: Set<number>;
  readonly #sizeBytes: number;
  #bytesThisTurn = 0;
  #pauseMs = PAUSE_MS_MIN;

  /** The kernel grants 1 MiB if the user's quota allows it. */
  constructor(use: "read" | "write", clock: Clock) {
    const fds = new Int32Array(2);
    if (libc.pipe2(ptr(fds), O_CLOEXEC) !== 0) throw new Error("pipe2 failed: too many open files");
    const [readFd, writeFd] = [fds[0] as number, fds[1] as number];
    this.#fd = use === "read" ? readFd : writeFd;
    this.childFd = use === "read" ? writeFd : readFd;
    this.#open = new Set([readFd, writeFd]);
    this.#clock = clock;
    this.#sizeBytes = Math.max(PIPE_BYTES_MIN, libc.fcntl(readFd, F_SETPIPE_SZ, MIB));
    libc.fcntl(this.#fd, F_SETFL, O_NONBLOCK);
  }

  /**
   * Fills `buffer` from its start and returns the bytes read: fewer than its size only at the end of the stream.
   * Calls `onBytes` after each read, for stall detection.
   */
  async fill(buffer: Uint8Array, signal: AbortSignal, onBytes: () => void): Promise<number> {
    let filled = 0;
    while (filled < buffer.length) {
      const count = await this.#transfer(signal, () =>
        readSync(this.#fd, buffer, filled, buffer.length - filled, null),
      );
      if (count === 0) break;
      filled += count;
      onBytes();
    }
    return filled;
  }

  /** Resolves when the pipe has taken all bytes. Rejects with code `EPIPE` if the other end is closed. */
  async write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let written = 0; written < bytes.length; ) {
      written += await this.#transfer(signal, () => writeSync(this.#fd, bytes, written));
    }
  }

  closeChildEnd(): void {
    if (this.#open.delete(this.childFd)) closeSync(this.childFd);
  }

  /** Closes those ends that are open. */
  close(): void {
    this.closeChildEnd();
    if (this.#open.delete(this.#fd)) closeSync(this.#fd);
  }

  async #transfer(signal: AbortSignal, call: () => number): Promise<number> {
    for (let pauses = 0; ; pauses++) {
      signal.throwIfAborted();
      try {
        const count = call();
        if (pauses > 0) this.#fitPause(count);
        this.#bytesThisTurn += count;
        // With a child as fast as we are no call ever pauses, and timers would starve.
        if (this.#bytesThisTurn >= MIB) {
          await setImmediate();
          this.#bytesThisTurn = 0;
        }
        return count;
      } catch (error) {
        const { code } = error as { code?: string };
        if (code !== "EAGAIN" && code !== "EINTR") throw error;
      }
      await this.#clock.sleep(Math.min(PAUSE_MS_MAX, this.#pauseMs * 2 ** pauses), signal);
      this.#bytesThisTurn = 0;
    }
  }

  /** After a pause that ended with this many bytes. */
  #fitPause(count: number): void {
    if (count > this.#sizeBytes / 2) this.#pauseMs = Math.max(PAUSE_MS_MIN, this.#pauseMs / 2);
    else if (count < this.#sizeBytes / 8) this.#pauseMs = Math.min(PAUSE_MS_MAX, this.#pauseMs * 2);
  }
}
