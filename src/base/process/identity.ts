import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * Identifies a process across hosts, boots and containers: a pid alone means a different process in each PID
 * namespace. Every field except the pid is null if it is unknown, as in records of pg321 0.1.0.
 */
export interface ProcessIdentity {
  pid: number;
  /** When it started, in clock ticks since boot: tells it apart from a later process with the same pid. */
  pid_start: number | null;
  /** A hash of the machine id (or the boot id, if there is no machine id) and the host name. */
  host_id: string | null;
  /** The kernel's boot id, new at each boot and shared by all containers of a host. */
  boot_id: string | null;
  /** Inode number of the PID namespace. */
  pid_namespace: string | null;
}

/** Whether a process still runs; `unseen`: it cannot be told from here. */
export type Fate = "alive" | "dead" | "unseen";

/** The kernel's initial PID namespace: PROC_PID_INIT_INO in its `proc_ns.h`. */
const FIRST_NAMESPACE = "4026531836";

type Place = Pick<ProcessIdentity, "host_id" | "boot_id" | "pid_namespace">;

let here: Place | undefined;

/** The identity of a process in this PID namespace. */
export function processIdentity(pid: number = process.pid): ProcessIdentity {
  here ??= findPlace();
  return { pid, pid_start: lookAt(pid)?.start ?? null, ...here };
}

/** Whether two identities mean the same process. */
export function isSameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return (
    a.pid === b.pid &&
    a.pid_start === b.pid_start &&
    a.boot_id === b.boot_id &&
    a.pid_namespace === b.pid_namespace
  );
}

/** Whether a process still runs, as far as can be seen from here. Of 0.1.0 processes only "alive" can be known. */
export function fateOf(identity: ProcessIdentity): Fate {
  const { host_id, boot_id, pid_namespace } = identity;
  here ??= findPlace();
  if (boot_id === null || pid_namespace === null) return lookFor(identity) === "alive" ? "alive" : "unseen";
  if (boot_id === here.boot_id) return pid_namespace === here.pid_namespace ? lookFor(identity) : "unseen";
  // Another boot. If it is the same host, the process is dead; a container cannot tell, because the machine id may come
  // from its image.
  const isHost = pid_namespace === FIRST_NAMESPACE && here.pid_namespace === FIRST_NAMESPACE;
  return isHost && host_id === here.host_id ? "dead" : "unseen";
}

/** Whether a process runs on this host but in another PID namespace: in another container, or outside of this one. */
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

/** Undefined if there is no such process, or if it is hidden from us. */
function lookAt(pid: number): { start: number; hasEnded: boolean } | undefined {
  try {
    if (pid !== process.pid && !isOwnProc()) return undefined;
    const stat = readFileSync(pid === process.pid ? "/proc/self/stat" : `/proc/${pid}/stat`, "latin1");
    // The second field, the command name in parentheses, may itself contain spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { start: Number(fields[19]), hasEnded: fields[0] === "Z" || fields[0] === "X" };
  } catch {
    return undefined;
  }
}

/** Whether `/proc` belongs to our PID namespace: `unshare --pid` alone leaves the parent's `/proc` mounted. */
function isOwnProc(): boolean {
  return readlinkSync("/proc/self") === String(process.pid);
}

/** Whether a process exists, even one that `/proc` hides (`hidepid=2` hides those of other users). */
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
  // In an image that has never booted the file says "uninitialized".
  const machine = /^[0-9a-f]{32}$/.exec(read("/etc/machine-id") ?? "")?.[0];
  return { host_id: idOf(machine ?? boot), boot_id: boot, pid_namespace: namespace };
}

/** A hash, because machine-id(5) asks to keep the machine id itself confidential. */
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
