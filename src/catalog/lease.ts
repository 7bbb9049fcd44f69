import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { LEASE_LOOK_MS, LEASE_MS, LEASE_POLL_MS, LEASE_WAIT_MS, LEASE_WATCH_MS } from "../base/limits.ts";
import {
  type Fate,
  fateOf,
  isInOtherContainer,
  isSameProcess,
  processIdentity,
} from "../base/process/identity.ts";
import { timeText } from "../base/text/zoned-time.ts";
import type { Catalog } from "./catalog.ts";
import { type Fence, lostLease } from "./fence.ts";
import type { LeaseHolder } from "./records.ts";

export interface LeaseRequest {
  /** The name of the lease, as errors show it: `main/app`. */
  name: string;
  runId: string;
  host: string;
  pid: number;
}

/** The leases that this process is working under, by run and name. */
const heldHere = new Set<string>();

/**
 * Whether this process took the lease but no longer works under it: it could not release it, because the catalog
 * could not be written.
 */
export function isLeftHere(lease: LeaseHolder): boolean {
  return !heldHere.has(lease.run_id + lease.name) && isSameProcess(lease, processIdentity());
}

/** Whether the holder of a lease lives; for its own leases this process knows more than `fateOf`. */
function fateOfHolder(lease: LeaseHolder): Fate {
  return isLeftHere(lease) ? "dead" : fateOf(lease);
}

/** A lease that is renewed until it is disposed of. */
export interface Held extends AsyncDisposable {
  /** Aborts when the caller's signal does, and with an error of code `locked` if the lease is lost. */
  readonly signal: AbortSignal;
  /** The error of the last renewal; undefined if it succeeded. */
  readonly trouble: unknown;
  /** What a write under this lease shows to the catalog. */
  readonly fence: Fence;
}

export interface LeaseTools {
  clock: Clock;
  signal: AbortSignal;
  /**
   * Whether the lease counts as lost only once the catalog says that another run has it. If false, it is also lost
   * when it has expired and the catalog could not renew it.
   */
  untilTaken?: boolean;
}

/**
 * Takes a lease and renews it four times per `LEASE_MS`. Rejects with code `locked`, naming the holder, if another
 * run has it.
 */
export async function holdLease(catalog: Catalog, request: LeaseRequest, tools: LeaseTools): Promise<Held> {
  const taken = await tryLease(catalog, request, tools);
  if ("holder" in taken) throw heldBy(taken.holder);
  return taken;
}

/**
 * Name of the lease that a run holds while it waits for another lease. No server can be called so that its lease
 * had this name.
 */
function nextName(name: string): string {
  return `next ${name}`;
}

/** The name of the lease that `nextName` was made from; undefined if the name is of another kind. */
function waitedFor(name: string): string | undefined {
  return name.startsWith(nextName("")) ? name.slice(nextName("").length) : undefined;
}

/** Whether a run waits for the lease: then others should not take it again and again. */
export async function isAwaited(catalog: Catalog, name: string, now: Date): Promise<boolean> {
  const leases = await catalog.leases();
  return leases.some((lease) => lease.name === nextName(name) && isHeld(lease, now.toISOString()));
}

/**
 * Takes a lease as `holdLease` does, but waits up to `waitMs` if `isBrief` says that the holder will release
 * it soon. Only one run may wait, unless all who wait hold the lease only briefly (`isShared`); others are refused.
 * `onWait` is called when the wait begins.
 */
export async function awaitLease(
  catalog: Catalog,
  request: LeaseRequest,
  tools: LeaseTools & {
    isBrief: (holder: LeaseHolder) => Promise<boolean>;
    isShared?: boolean;
    waitMs?: number;
    onWait: (holder: LeaseHolder) => void;
  },
): Promise<Held> {
  const { clock, signal, isBrief, onWait, waitMs = LEASE_WAIT_MS } = tools;
  const taken = await tryLease(catalog, request, tools);
  if (!("holder" in taken)) return taken;
  if (!(await isBrief(taken.holder))) throw heldBy(taken.holder);
  const next = await tryLease(catalog, { ...request, name: nextName(request.name) }, tools);
  if ("holder" in next && !tools.isShared) throw heldBy(next.holder);
  await using _next = "holder" in next ? undefined : next;
  onWait(taken.holder);
  const untilMs = clock.monotonicMs() + waitMs;
  for (;;) {
    await clock.sleep(LEASE_POLL_MS, signal);
    const again = await tryLease(catalog, request, tools);
    if (!("holder" in again)) return again;
    if (clock.monotonicMs() >= untilMs || !(await isBrief(again.holder))) throw heldBy(again.holder);
  }
}

async function tryLease(
  catalog: Catalog,
  { name, runId, host, pid }: LeaseRequest,
  { clock, signal, untilTaken = false }: LeaseTools,
): Promise<Held | { holder: LeaseHolder }> {
  signal.throwIfAborted();
  await watchUnseen(catalog, name, { clock, signal });
  const lostAt = expiry(clock.now());
  const now = await catalog.leaseTime(clock);
  const lease: LeaseHolder = {
    name,
    run_id: runId,
    host,
    ...processIdentity(pid),
    // Clones of a machine share its id: of a process on a host, only that host and the time can tell its end.
    ...(catalog.isShared && { host_id: null }),
    acquired_at: now.toISOString(),
    expires_at: expiry(now),
  };
  heldHere.add(runId + name);
  let holder: LeaseHolder | undefined;
  let token: number | undefined;
  try {
    holder = await catalog.acquireLease(lease, now.toISOString(), fateOfHolder);
    if (holder) heldHere.delete(runId + name);
    else token = await catalog.leaseToken(name, runId);
    if (!holder && token === undefined) throw lostLease(name);
  } catch (error) {
    heldHere.delete(runId + name);
    throw error;
  }
  if (holder) return { holder };

  const lost = new AbortController();
  const ended = new AbortController();
  let trouble: unknown;
  const onTry = (error: unknown) => {
    trouble = error;
  };
  const tools = { clock, ended: ended.signal, untilTaken, onTry, lostAt };
  const heartbeat = renew(catalog, lease, tools).catch((error) => lost.abort(error));
  return {
    fence: { name, token: token ?? 0 },
    signal: AbortSignal.any([signal, lost.signal]),
    get trouble() {
      return trouble;
    },
    async [Symbol.asyncDispose]() {
      ended.abort();
      await heartbeat;
      // A lease that cannot be released must not hide the outcome of the job. While this process lives, no other
      // sees that the lease is over, so it is released later; see `isLeftHere`.
      await catalog.releaseLease(name, runId).catch(() => {});
      heldHere.delete(runId + name);
    },
  };
}

/**
 * Watches an expired lease, whose holder cannot be seen from here, before it is taken: a suspended host or a jump
 * of the clock may have kept a living holder from renewing it in time, and it will renew it now.
 */
async function watchUnseen(
  catalog: Catalog,
  name: string,
  { clock, signal }: Pick<LeaseTools, "clock" | "signal">,
): Promise<void> {
  // Nobody's clock but the server's counts, and what the holder still writes is refused by its token.
  if (catalog.isShared) return;
  const find = async () => (await catalog.leases()).find((lease) => lease.name === name);
  const before = await find();
  if (!before || fateOf(before) !== "unseen") return;
  if (before.expires_at > (await catalog.leaseTime(clock)).toISOString()) return;
  const untilMs = clock.monotonicMs() + LEASE_WATCH_MS;
  while (clock.monotonicMs() < untilMs) {
    await clock.sleep(LEASE_LOOK_MS, signal);
    const now = await find();
    if (now?.run_id !== before.run_id || now.expires_at !== before.expires_at) return;
  }
}

interface RenewalTools extends Required<Pick<LeaseTools, "clock" | "untilTaken">> {
  ended: AbortSignal;
  /** When the lease is over by this host's clock, which is all that it has if the catalog is unreachable. */
  lostAt: string;
  /** Called after each renewal, with its error if it failed. */
  onTry: (error: unknown) => void;
}

/**
 * Renews until `ended` aborts. Rejects once another run has the lease or, unless `untilTaken`, it expired before it
 * could be renewed.
 */
async function renew(
  catalog: Catalog,
  lease: LeaseHolder,
  { clock, ended, untilTaken, onTry, lostAt: lostAtFirst }: RenewalTools,
): Promise<void> {
  let lostAt = lostAtFirst;
  while (!ended.aborted) {
    await clock.sleep(LEASE_MS / 4, ended).catch(() => {});
    if (ended.aborted) return;
    const next = expiry(clock.now());
    try {
      const expiresAt = expiry(await catalog.leaseTime(clock));
      if (!(await catalog.renewLease(lease.name, lease.run_id, expiresAt))) throw lostLease(lease.name);
      lostAt = next;
      onTry(undefined);
    } catch (error) {
      onTry(error);
      // The catalog may work again before another run can take the lease.
      const isOver = !untilTaken && clock.now().toISOString() >= lostAt;
      if (isOver || (error instanceof Pg321Error && error.code === "locked"))
        throw lostLease(lease.name, error);
    }
  }
}

/**
 * Whether a lease is still held. If the holder's process can be seen, its life decides and not the clock: a process
 * that was suspended, or whose clock jumped, has not renewed its lease but is still working.
 */
export function isHeld(
  lease: LeaseHolder,
  now: string,
  fateOf: (holder: LeaseHolder) => Fate = fateOfHolder,
): boolean {
  const fate = fateOf(lease);
  return fate === "unseen" ? lease.expires_at > now : fate === "alive";
}

function expiry(now: Date): string {
  return new Date(now.getTime() + LEASE_MS).toISOString();
}

function heldBy(holder: LeaseHolder): Pg321Error {
  const { name, pid, host, run_id, acquired_at, expires_at } = holder;
  const where = isInOtherContainer(holder) ? `${host}, in another container` : host;
  const who = `run ${run_id} (pid ${pid} on ${where})`;
  const since = `since ${timeText(acquired_at)}, at least until ${timeText(expires_at)}`;
  const wanted = waitedFor(name);
  const message =
    wanted === undefined
      ? `${name}: held by ${who} ${since}`
      : `${wanted}: another run is already waiting for it: ${who} ${since}`;
  return new Pg321Error("locked", message, {
    hint: /^daemon( |$)/.test(name)
      ? "only one daemon can run at a time on a host, and with a catalog in a file; other commands work beside it. To start another, stop the running one first; the lease of a daemon that died expires within a minute"
      : "wait for that run to end; the lease of a process that died expires within a minute",
    retryable: true,
  });
}
