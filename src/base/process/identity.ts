import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * Which process it is, also among those of other hosts, boots and containers: a pid by itself means another process
 * in each PID namespace. All of it but the pid is null where it is not known, as in records of pg321 0.1.0.
 */
export interface ProcessIdentity {
  pid: number;
  /** When it began, in clock ticks since boot: tells it from a later one with the same pid. */
  pid_start: number | null;
  /** A hash of the machine id and the host's name; of the boot id where there is no machine id. */
  host_id: string | null;
  /** Of the kernel, another one after each boot; all containers of a host share it. */
  boot_id: string | null;
  /** Inode number of the PID namespace. */
  pid_namespace: string | null;
}

/** Whether a process still runs; `unseen`: it is where nobody can tell from here. */
export type Fate = "alive" | "dead" | "unseen";

/** The namespace that a kernel starts with: PROC_PID_INIT_INO in its `proc_ns.h`. */
const FIRST_NAMESPACE = "4026531836";

type Place = Pick<ProcessIdentity, "host_id" | "boot_id" | "pid_namespace">;

let here: Place | undefined;

/** The identity of a process of this PID namespace. */
export function processIdentity(pid: number = process.pid): ProcessIdentity {
  here ??= findPlace();
  return { pid, pid_start: lookAt(pid)?.start ?? null, ...here };
}

/** Whether two identities are of one process. */
export function isSameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return (
    a.pid === b.pid &&
    a.pid_start === b.pid_start &&
    a.boot_id === b.boot_id &&
    a.pid_namespace === b.pid_namespace
  );
}

/** Whether a process still runs, as far as this one can see. A process of 0.1.0 is known to be alive only. */
export function fateOf(identity: ProcessIdentity): Fate {
  const { host_id, boot_id, pid_namespace } = identity;
  here ??= findPlace();
  if (boot_id === null || pid_namespace === null) return lookFor(identity) === "alive" ? "alive" : "unseen";
  if (boot_id === here.boot_id) return pid_namespace === here.pid_namespace ? lookFor(identity) : "unseen";
  // This host was started again since. In a container nobody can tell: its image may have brought the machine id.
  const isHost = pid_namespace === FIRST_NAMESPACE && here.pid_namespace === FIRST_NAMESPACE;
  return isHost && host_id === here.host_id ? "dead" : "unseen";
}

/** Whether a process is one of this host, as pids are counted in another container, or outside of this one. */
export function isInOtherContainer({ boot_id, pid_namespace }: ProcessIdentity): boolean {
  here ??= findPlace();
  return boot_id !== null && boot_id === here.boot_id && pid_namespace !== here.pid_namespace;
}

function lookFor({ pid, pid_start }: ProcessIdentity): Fate {
  const found = lookAt(pid);
  if (found === undefined) return isThere(pid) ? "unseen" : "dead";
  if (found.hasEnded) return "dead";
  if (pid_start === null) return "unseen";
  return found.start === pid_start ? "alive" : "dead";
}

/** Undefined where there is no such process, or it is hidden from us. */
function lookAt(pid: number): { start: number; hasEnded: boolean } | undefined {
  try {
    if (pid !== process.pid && !isOwnProc()) return undefined;
    const stat = readFileSync(pid === process.pid ? "/proc/self/stat" : `/proc/${pid}/stat`, "latin1");
    // The second field, the command's name in parentheses, may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { start: Number(fields[19]), hasEnded: fields[0] === "Z" || fields[0] === "X" };
  } catch {
    return undefined;
  }
}

/** Whether `/proc` numbers processes as this one does: `unshare --pid` alone leaves that of the namespace above. */
function isOwnProc(): boolean {
  return readlinkSync("/proc/self") === String(process.pid);
}

/** Also of a process that `/proc` hides, as `hidepid=2` does those of other users. */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

function findPlace(): Place {
  const boot = read("/proc/sys/kernel/random/boot_id");
  const namespace = /^pid:\[(\d+)\]$/.exec(link("/proc/self/ns/pid") ?? "")?.[1];
  if (boot === undefined || namespace === undefined)
    return { host_id: null, boot_id: null, pid_namespace: null };
  // An image that was not started yet says "uninitialized".
  const machine = /^[0-9a-f]{32}$/.exec(read("/etc/machine-id") ?? "")?.[0];
  return { host_id: idOf(machine ?? boot), boot_id: boot, pid_namespace: namespace };
}

/** machine-id(5) wants the machine id itself kept from what others may read. */
function idOf(machine: string): string {
  return createHash("sha256").update(`pg321 ${machine} ${hostname()}`).digest("hex").slice(0, 32);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
