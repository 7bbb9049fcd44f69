import { dlopen, FFIType, ptr, read as readMemory } from "bun:ffi";
import { closeSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { MIB } from "../base/limits.ts";

/*
 * Why not the runtime's own `stdout: "pipe"`: it hands on a dump in pieces of about 13 KB, which costs
 * 1.3 s of CPU a GB. A pipe of 1 MiB that is read in few large reads costs a third of that. The reads do
 * not block, and where nothing is there they come again after a short pause: a blocking read would hold
 * one of the pool's few threads, which compression needs.
 */
const libc = dlopen("libc.so.6", {
  pipe2: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  read: { args: [FFIType.i32, FFIType.ptr, FFIType.u64], returns: FFIType.i64 },
  __errno_location: { args: [], returns: FFIType.ptr },
}).symbols;

const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_SETFL = 4;
const F_SETPIPE_SZ = 1031;
const EAGAIN = 11;
const EINTR = 4;
const PAUSE_MS_MIN = 1;
const PAUSE_MS_MAX = 16;

export interface Pipe {
  /** For the child; close it in this process once the child has it. */
  writeFd: number;
  closeWriter(): void;
  reader: PipeReader;
}

/** A pipe whose reading end does not block. The kernel gives 1 MiB where the user's quota allows it. */
export function openPipe(clock: Clock): Pipe {
  const fds = new Int32Array(2);
  if (libc.pipe2(ptr(fds), O_CLOEXEC) !== 0) throw new Error("pipe2 failed: too many open files");
  const [readFd, writeFd] = [fds[0] as number, fds[1] as number];
  libc.fcntl(readFd, F_SETPIPE_SZ, MIB);
  libc.fcntl(readFd, F_SETFL, O_NONBLOCK);
  let open = true;
  return {
    writeFd,
    closeWriter: () => {
      if (open) closeSync(writeFd);
      open = false;
    },
    reader: new PipeReader(readFd, clock),
  };
}

export class PipeReader {
  readonly #fd: number;
  readonly #clock: Clock;
  #open = true;

  constructor(fd: number, clock: Clock) {
    this.#fd = fd;
    this.#clock = clock;
  }

  /**
   * Fills `buffer` from its start and returns the bytes read: fewer than its size only at the end of the
   * stream. `onBytes` is told after each read, for stall detection.
   */
  async fill(buffer: Uint8Array, signal: AbortSignal, onBytes: () => void): Promise<number> {
    let filled = 0;
    let pauseMs = PAUSE_MS_MIN;
    while (filled < buffer.length) {
      signal.throwIfAborted();
      const count = Number(libc.read(this.#fd, ptr(buffer, filled), buffer.length - filled));
      if (count === 0) break;
      if (count > 0) {
        filled += count;
        pauseMs = PAUSE_MS_MIN;
        onBytes();
        continue;
      }
      const errno = readMemory.i32(
        libc.__errno_location() as NonNullable<ReturnType<typeof libc.__errno_location>>,
      );
      if (errno !== EAGAIN && errno !== EINTR) throw new Error(`read from a pipe failed: errno ${errno}`);
      await this.#clock.sleep(pauseMs, signal);
      pauseMs = Math.min(PAUSE_MS_MAX, pauseMs * 2);
    }
    return filled;
  }

  close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}
