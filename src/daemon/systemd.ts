import { datagramsTo } from "../base/process/datagrams.ts";

/* sd_notify(3) without a helper process: one datagram to the socket that systemd names. */

/** Sends a state to systemd, with the names of sd_notify(3): `READY`, `STATUS`, `WATCHDOG` … */
export type Notify = (state: Readonly<Record<string, string | number>>) => void;

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
  const datagrams = await datagramsTo(address);
  const waiting: { kind: string | undefined; message: Buffer }[] = [];
  let pauseMs = PAUSE_MS;
  let isPaused = false;
  /** Sends what waits, in order, as far as the receiver takes it. */
  const send = () => {
    while (!isPaused && waiting[0]) {
      const { message } = waiting[0];
      if (datagrams.send(message)) {
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
    if ("RELOADING" in state) lines.push(`MONOTONIC_USEC=${datagrams.monotonicUsec()}\n`);
    const [name, ...others] = Object.keys(state);
    const kind = others.length === 0 ? REPLACEABLE.find((one) => one === name) : undefined;
    const former = waiting.findIndex((one) => kind !== undefined && one.kind === kind);
    if (former >= 0) waiting.splice(former, 1);
    waiting.push({ kind, message: Buffer.from(lines.join("")) });
    send();
  };
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
