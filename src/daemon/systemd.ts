/*
 * sd_notify(3) without a helper process: one datagram to the socket that systemd names. Bun has no Unix datagram
 * sockets, so this calls libc.
 */

/** Sends a state to systemd, with the names of sd_notify(3): `READY`, `STATUS`, `WATCHDOG` … */
export type Notify = (state: Readonly<Record<string, string | number>>) => void;

const AF_UNIX = 1;
const CLOCK_MONOTONIC = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
/** MSG_NOSIGNAL | MSG_DONTWAIT: a receiver that does not read must not hold the event loop. */
const FLAGS = 0x4000 | 0x40;
/** The first pause before a message that the receiver's full queue did not take is sent again; it doubles. */
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 5_000;
/** A waiting message of one of these alone is replaced by the next of its kind; all others arrive some time. */
const REPLACEABLE = ["STATUS", "WATCHDOG", "EXTEND_TIMEOUT_USEC"];

/**
 * Returns the sender to `address` (`NOTIFY_SOCKET`: a path, or `@name` for an abstract socket); it sends nothing if the
 * address is undefined. Throws if the system has no such sockets. Never blocks: messages wait until the
 * receiver takes them, and are lost if the process ends before.
 */
export async function notifierAt(address: string | undefined): Promise<Notify> {
  if (!address) return () => {};
  const { dlopen } = await import("bun:ffi");
  const { symbols: libc } = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  });
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (socket < 0) throw new Error("no datagram socket of the unix domain could be opened");
  const receiver = socketAddress(address);
  const waiting: { kind: string | undefined; message: Buffer }[] = [];
  let pauseMs = PAUSE_MS;
  let isPaused = false;
  /** Sends what waits, in order, as far as the receiver takes it. */
  const send = () => {
    while (!isPaused && waiting[0]) {
      const { message } = waiting[0];
      const isSent = libc.sendto(socket, message, message.length, FLAGS, receiver, receiver.length) >= 0n;
      if (isSent) {
        waiting.shift();
        pauseMs = PAUSE_MS;
        continue;
      }
      isPaused = true;
      const resume = () => {
        isPaused = false;
        send();
      };
      setTimeout(resume, pauseMs).unref();
      pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX);
    }
  };
  return (state) => {
    const lines = Object.entries(state).map(([name, value]) => `${name}=${oneLine(value)}\n`);
    if ("RELOADING" in state) lines.push(`MONOTONIC_USEC=${monotonicUsec(libc.clock_gettime)}\n`);
    const [name, ...others] = Object.keys(state);
    const kind = others.length === 0 ? REPLACEABLE.find((one) => one === name) : undefined;
    const former = waiting.findIndex((one) => kind !== undefined && one.kind === kind);
    if (former >= 0) waiting.splice(former, 1);
    waiting.push({ kind, message: Buffer.from(lines.join("")) });
    send();
  };
}

/** A `struct sockaddr_un` of the length of its name. An abstract name begins with NUL; a path ends with NUL. */
export function socketAddress(address: string): Buffer {
  const name = Buffer.from(address.startsWith("@") ? `\0${address.slice(1)}` : `${address}\0`);
  const family = Buffer.alloc(2);
  new Uint16Array(family.buffer, family.byteOffset, 1)[0] = AF_UNIX;
  return Buffer.concat([family, name]);
}

/** The time of CLOCK_MONOTONIC: systemd compares it with its own reading of that clock. */
function monotonicUsec(clock_gettime: (clock: number, time: Uint8Array) => number): bigint {
  const time = new BigInt64Array(2);
  clock_gettime(CLOCK_MONOTONIC, new Uint8Array(time.buffer));
  const [seconds = 0n, nanoseconds = 0n] = time;
  return seconds * 1_000_000n + nanoseconds / 1_000n;
}

function oneLine(value: string | number): string {
  return String(value).replaceAll(/\s*\n\s*/g, "; ");
}

/** Half the interval at which systemd expects `WATCHDOG`, in milliseconds; undefined if it expects none from this process. */
export function watchdogPauseMs(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | undefined {
  const usec = Number(env["WATCHDOG_USEC"]);
  const isOurs = env["WATCHDOG_PID"] === undefined || Number(env["WATCHDOG_PID"]) === pid;
  return isOurs && usec > 0 ? usec / 2_000 : undefined;
}
