import { mkdtemp, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../clock.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../limits.ts";
import type { ProcessIdentity } from "../process/identity.ts";
import { fateOf, processIdentity } from "../process/identity.ts";

/** How often a private directory in use is touched. */
const TOUCH_MS = MINUTE_MS;
/** If its process cannot be seen, a directory that was not touched for this long is left over. */
const UNTOUCHED_MS_MAX = HOUR_MS;
/** The same for pg321 0.1.0, which did not touch its directories. */
const OLD_UNTOUCHED_MS_MAX = DAY_MS;

/** The first characters of an id are enough to tell hosts and boots apart. */
const ID_LENGTH = 8;
const UNKNOWN = "x";
const TAG = "(?:[0-9a-f]{8}|x)-(?:[0-9a-f]{8}|x)-(?:\\d+|x)-\\d+-(?:\\d+|x)";
const DIRECTORY = new RegExp(`^pg321-(spool|libpq|cluster)-(?:(${TAG})|(\\d+))-[A-Za-z0-9]{6}$`);
const WHOLE_TAG = new RegExp(`^${TAG}$`);

/** A directory that no other user can access; disposing removes it with its contents. */
export interface PrivateDirectory extends AsyncDisposable {
  readonly path: string;
  /** Leaves it as it is: it cannot be removed now. `isLeft` then says so. */
  leave(): void;
}

/** Directories that this process no longer uses, and could not remove. */
const left = new Set<string>();

/** Whether this process has made the directory, no longer uses it, and could not remove it. */
export function isLeft(path: string): boolean {
  return left.has(path);
}

/** Creates one with mode 0700, whatever the umask, and a name that identifies its process. */
export async function makePrivateDirectory(
  parent: string,
  kind: "spool" | "libpq" | "cluster",
): Promise<PrivateDirectory> {
  const path = await mkdtemp(join(parent, `pg321-${kind}-${processTag()}-`));
  // Do not pile up calls on a hanging file system.
  let isTouching = false;
  const touch = () => {
    if (isTouching) return;
    isTouching = true;
    const now = systemClock.now();
    void utimes(path, now, now)
      .catch(() => {})
      .finally(() => {
        isTouching = false;
      });
  };
  const timer = setInterval(touch, TOUCH_MS);
  timer.unref();
  const leave = () => {
    clearInterval(timer);
    left.add(path);
  };
  return {
    path,
    leave,
    async [Symbol.asyncDispose]() {
      leave();
      await rm(path, { recursive: true, force: true });
      left.delete(path);
    },
  };
}

/** The process that made a temporary file or directory, according to its name. */
export type Maker = ProcessIdentity;

/** The process that made the private directory of that name; undefined for any other name. */
export function makerOfDirectory(name: string): Maker | undefined {
  const [, , tag, pid] = DIRECTORY.exec(name) ?? [];
  if (pid !== undefined) return { pid: Number(pid), pid_start: null, ...NOWHERE };
  return tag === undefined ? undefined : makerOfTag(tag);
}

/** Whether it is the directory of a throwaway cluster, in which a server may still run. */
export function isClusterDirectory(name: string): boolean {
  return DIRECTORY.exec(name)?.[1] === "cluster";
}

/** Whether the maker still uses a file or directory that was last touched at `touchedAtMs`. */
export function isInUse(maker: Maker, touchedAtMs: number): boolean {
  const fate = fateOf(maker);
  if (fate !== "unseen") return fate === "alive";
  const ageMs = systemClock.now().getTime() - touchedAtMs;
  if (maker.boot_id !== null) return ageMs < UNTOUCHED_MS_MAX;
  // Made by 0.1.0: its maker may be the process with this pid here.
  const mayLive = maker.pid !== process.pid && processIdentity(maker.pid).pid_start !== null;
  return mayLive || ageMs < OLD_UNTOUCHED_MS_MAX;
}

/** Identifies this process in a file name: host, boot, PID namespace, pid and start. */
export function processTag(): string {
  const { host_id, boot_id, pid_namespace, pid, pid_start } = processIdentity();
  return [short(host_id), short(boot_id), pid_namespace ?? UNKNOWN, pid, pid_start ?? UNKNOWN].join("-");
}

/** Undefined if the text is not a tag. */
export function makerOfTag(tag: string): Maker | undefined {
  if (!WHOLE_TAG.test(tag)) return undefined;
  const own = processIdentity();
  const whole = (id: string | undefined, ownId: string | null) =>
    id === short(ownId) ? ownId : (known(id) ?? null);
  const [host, boot, namespace, pid, start] = tag.split("-");
  const knownStart = known(start);
  return {
    host_id: whole(host, own.host_id),
    boot_id: whole(boot, own.boot_id),
    pid_namespace: known(namespace) ?? null,
    pid: Number(pid),
    pid_start: knownStart === undefined ? null : Number(knownStart),
  };
}

const NOWHERE = { host_id: null, boot_id: null, pid_namespace: null };

function short(id: string | null): string {
  return id?.slice(0, ID_LENGTH) ?? UNKNOWN;
}

function known(part: string | undefined): string | undefined {
  return part === UNKNOWN ? undefined : part;
}
