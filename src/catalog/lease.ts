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
import type { Catalog } from "./catalog.ts";
import type { LeaseHolder } from "./records.ts";

export interface LeaseRequest {
  /** What is locked, as errors name it: `backup of main/app`. */
  name: string;
  runId: string;
  host: string;
  pid: number;
}

/** The leases that this process works under, by run and name. */
const heldHere = new Set<string>();

/** Whether a lease is of this process, which works under it no more: the catalog could not be written at its end. */
export function isLeftHere(lease: LeaseHolder): boolean {
  return !heldHere.has(lease.run_id + lease.name) && isSameProcess(lease, processIdentity());
}

/** What has become of the holder of a lease: this process knows of its own. */
function fateOfHolder(lease: LeaseHolder): Fate {
  return isLeftHere(lease) ? "dead" : fateOf(lease);
}

/** A lease that is kept alive until it is disposed of. */
export interface Held extends AsyncDisposable {
  /** Aborts when the caller's signal does, and with an error of code `locked` when the lease is lost. */
  readonly signal: AbortSignal;
  /** Why it could not be renewed when that was last tried; undefined where it was. */
  readonly trouble: unknown;
}

export interface LeaseTools {
  clock: Clock;
  signal: AbortSignal;
  /**
   * It counts as lost only once the catalog says that it is another's. Else it does also when it has run out and the
   * catalog cannot be asked.
   */
  untilTaken?: boolean;
}

/**
 * Takes a lease and renews it four times per `LEASE_MS`. Rejects with code `locked`, naming the holder,
 * when another run has it.
 */
export async function holdLease(catalog: Catalog, request: LeaseRequest, tools: LeaseTools): Promise<Held> {
  const taken = await tryLease(catalog, request, tools);
  if ("holder" in taken) throw heldBy(taken.holder);
  return taken;
}

/** The lease of the one that waits for a lease: no server is called so that it could be another one's name. */
function nextName(name: string): string {
  return `next ${name}`;
}

/** Whether a run waits for the lease: then another one does not take it again and again. */
export async function isAwaited(catalog: Catalog, name: string, now: Date): Promise<boolean> {
  const leases = await catalog.leases();
  return leases.some((lease) => lease.name === nextName(name) && isHeld(lease, now.toISOString()));
}

/**
 * Takes a lease as `holdLease` does, but waits up to `LEASE_WAIT_MS` for a holder of which `isBrief` says that it
 * gives it back soon. One run waits at most; others are turned away. `onWait` is called when the wait begins.
 */
export async function awaitLease(
  catalog: Catalog,
  request: LeaseRequest,
  tools: LeaseTools & {
    isBrief: (holder: LeaseHolder) => Promise<boolean>;
    onWait: (holder: LeaseHolder) => void;
  },
): Promise<Held> {
  const { clock, signal, isBrief, onWait } = tools;
  const taken = await tryLease(catalog, request, tools);
  if (!("holder" in taken)) return taken;
  if (!(await isBrief(taken.holder))) throw heldBy(taken.holder);
  await using _next = await holdLease(catalog, { ...request, name: nextName(request.name) }, tools);
  onWait(taken.holder);
  const untilMs = clock.monotonicMs() + LEASE_WAIT_MS;
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
  const now = clock.now();
  const lease: LeaseHolder = {
    name,
    run_id: runId,
    host,
    ...processIdentity(pid),
    acquired_at: now.toISOString(),
    expires_at: expiry(now),
  };
  heldHere.add(runId + name);
  let holder: LeaseHolder | undefined;
  try {
    holder = await catalog.acquireLease(lease, now.toISOString(), fateOfHolder);
    if (holder) heldHere.delete(runId + name);
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
  const tools = { clock, ended: ended.signal, untilTaken, onTry };
  const heartbeat = renew(catalog, lease, tools).catch((error) => lost.abort(error));
  return {
    signal: AbortSignal.any([signal, lost.signal]),
    get trouble() {
      return trouble;
    },
    async [Symbol.asyncDispose]() {
      ended.abort();
      await heartbeat;
      // The job's own outcome must not be hidden by a lease that cannot be given back. Where this process goes on
      // nobody else sees that it is over, so it is given back later; see `isLeftHere`.
      await catalog.releaseLease(name, runId).catch(() => {});
      heldHere.delete(runId + name);
    },
  };
}

/**
 * Watches a lease that ran out and whose holder cannot be seen, before it is taken: a host that was suspended, or a
 * clock that jumped, has kept a living one from renewing it in time, and it does so now.
 */
async function watchUnseen(
  catalog: Catalog,
  name: string,
  { clock, signal }: Pick<LeaseTools, "clock" | "signal">,
): Promise<void> {
  const find = async () => (await catalog.leases()).find((lease) => lease.name === name);
  const before = await find();
  if (!before || fateOf(before) !== "unseen" || before.expires_at > clock.now().toISOString()) return;
  const untilMs = clock.monotonicMs() + LEASE_WATCH_MS;
  while (clock.monotonicMs() < untilMs) {
    await clock.sleep(LEASE_LOOK_MS, signal);
    const now = await find();
    if (now?.run_id !== before.run_id || now.expires_at !== before.expires_at) return;
  }
}

interface RenewalTools extends Required<Pick<LeaseTools, "clock" | "untilTaken">> {
  ended: AbortSignal;
  /** Told of each try, and why it failed if it did. */
  onTry: (error: unknown) => void;
}

/**
 * Renews until `ended` aborts. Rejects once the lease is another's, or, unless `untilTaken`, could not be renewed
 * before it ran out.
 */
async function renew(
  catalog: Catalog,
  lease: LeaseHolder,
  { clock, ended, untilTaken, onTry }: RenewalTools,
): Promise<void> {
  let expiresAt = lease.expires_at;
  while (!ended.aborted) {
    await clock.sleep(LEASE_MS / 4, ended).catch(() => {});
    if (ended.aborted) return;
    const next = expiry(clock.now());
    try {
      if (!(await catalog.renewLease(lease.name, lease.run_id, next))) throw lostLease(lease.name);
      expiresAt = next;
      onTry(undefined);
    } catch (error) {
      onTry(error);
      // The catalog may be back before anybody else can take the lease.
      const isOver = !untilTaken && clock.now().toISOString() >= expiresAt;
      if (isOver || (error instanceof Pg321Error && error.code === "locked"))
        throw lostLease(lease.name, error);
    }
  }
}

/**
 * Whether a lease is still its holder's. Where the process can be seen it decides and not the clock: one that was
 * suspended, or whose clock jumped, has not renewed and goes on all the same.
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
  return new Pg321Error(
    "locked",
    `${name}: held by ${who} since ${acquired_at}, at least until ${expires_at}`,
    {
      hint:
        name === "daemon"
          ? "one daemon is enough: every other command works beside it; stop it first to run another. The lease of one that died ends by itself within a minute"
          : "wait for that run to end; the lease of a process that died ends by itself within a minute",
      retryable: true,
    },
  );
}

function lostLease(name: string, cause?: unknown): Pg321Error {
  return new Pg321Error("locked", `${name}: the lease was lost while the job ran`, {
    hint: "this host may have been suspended, or its catalog was out of reach for a minute; run the job again",
    cause,
  });
}
