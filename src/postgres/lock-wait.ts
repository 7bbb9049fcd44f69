import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import type { Connection, Endpoint } from "./connection.ts";
import { connect } from "./connection.ts";
import type { Session } from "./sessions.ts";
import { isForeign, mayTerminateHint, sessionText, terminate } from "./sessions.ts";

/** A session of ours that waits for a lock held by another session. */
export interface LockWait {
  pid: number;
  /** Changes with the statement. */
  statement: string;
  /** The locked object: `relation public.t`. */
  object: string;
  /** Each holder, and each session that waits for the lock before ours. */
  holders: string[];
  /** The sessions among them that hold it, and may be ended. */
  blockers: Session[];
}

const LOOK_INTERVAL_MS = 1_000;
/** Short waits are normal and not reported. */
const REPORT_AFTER_MS = 5_000;

export interface LockBound {
  target: Endpoint;
  /** The application name of the watched sessions in `pg_stat_activity`. */
  applicationName: string;
  /** The longest wait for a lock; 0: no limit. */
  boundMs: number;
  clock: Clock;
  signal: AbortSignal;
  /** Called once for each long wait. */
  onWait: (wait: LockWait) => void;
  /** If given, sessions that hold such a lock are ended, except those of pg321, and passed to it. */
  onTerminated?: (session: Session) => void;
}

/**
 * Runs `work`, whose sessions must have the application name, and ends it with code `database` if one of them has
 * waited too long for a lock of another session. Needed because pg_restore itself turns `lock_timeout` off. If the
 * target cannot be watched, `work` runs without a limit.
 */
export async function boundLockWaits<T>(
  bound: LockBound,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const refusal = new AbortController();
  const done = new AbortController();
  const watch = watchLocks({ ...bound, signal: AbortSignal.any([bound.signal, done.signal]) }, (error) =>
    refusal.abort(error),
  ).catch(() => {});
  try {
    return await work(AbortSignal.any([bound.signal, refusal.signal]));
  } finally {
    done.abort();
    await watch;
  }
}

async function watchLocks(bound: LockBound, refuse: (error: Pg321Error) => void): Promise<void> {
  const { target, applicationName, boundMs, clock, signal } = bound;
  await using connection = await connect(target);
  let known = new Map<string, { sinceMs: number; isReported: boolean }>();
  for (;;) {
    await clock.sleep(LOOK_INTERVAL_MS, signal);
    const waits = await lockWaits(connection, applicationName);
    const nowMs = clock.monotonicMs();
    const before = known;
    known = new Map();
    for (const wait of waits) {
      const key = `${wait.pid} ${wait.statement}`;
      const state = before.get(key) ?? { sinceMs: nowMs, isReported: false };
      known.set(key, state);
      const waitedMs = nowMs - state.sinceMs;
      if (boundMs > 0 && waitedMs >= boundMs) {
        refuse(lockError(target, wait, boundMs));
        // Otherwise the backend would keep waiting although its client is gone.
        await connection.run("end the wait", (sql) => sql`select pg_cancel_backend(${wait.pid})`);
        return;
      }
      if (waitedMs < Math.min(REPORT_AFTER_MS, boundMs / 2 || REPORT_AFTER_MS)) continue;
      if (!state.isReported) bound.onWait(wait);
      state.isReported = true;
      if (!bound.onTerminated) continue;
      const refused = await terminateAll(connection, wait, bound.onTerminated);
      if (refused === undefined) continue;
      refuse(refused);
      await connection.run("end the wait", (sql) => sql`select pg_cancel_backend(${wait.pid})`);
      return;
    }
  }
}

function lockError({ label }: Endpoint, { object, holders }: LockWait, boundMs: number): Pg321Error {
  return new Pg321Error(
    "database",
    `${label}: waited ${Math.round(boundMs / 1000)} s for a lock on ${object}, held by ${holders.join(", ")}`,
    {
      hint: "end that session, or wait until it ends; dump.lock_wait_timeout sets how long a restore waits",
      retryable: true,
    },
  );
}

/** Returns why one of them could not be ended. */
async function terminateAll(
  connection: Connection,
  { blockers }: LockWait,
  onTerminated: (session: Session) => void,
): Promise<Pg321Error | undefined> {
  for (const session of blockers.filter(isForeign)) {
    try {
      if (await terminate(connection, session)) onTerminated(session);
    } catch (error) {
      if (!(error instanceof Pg321Error)) throw error;
      const hint = mayTerminateHint(connection.endpoint.user);
      return new Pg321Error(error.code, error.message, { hint, cause: error });
    }
  }
  return undefined;
}

type Row = Omit<LockWait, "holders" | "blockers" | "object"> & {
  object: string | null;
  found: (Session & { is_holder: boolean })[];
  prepared: boolean;
};

async function lockWaits(connection: Connection, applicationName: string): Promise<LockWait[]> {
  const rows = await connection.run(
    "read the locks",
    (sql) => sql<Row[]>`
      select a.pid, a.query_start::text as statement,
        (select case when l.relation is null then l.locktype || ' lock'
            else 'relation ' || coalesce(l.relation::regclass::text, l.relation::text) end
          from pg_locks l where l.pid = a.pid and not l.granted limit 1) as object,
        coalesce(json_agg(json_build_object('pid', b.pid, 'user', b.usename, 'application', b.application_name,
          'type', coalesce(b.backend_type, 'client backend'),
          'state', coalesce(b.state, case when b.backend_start is null then 'unknown state' else 'running' end),
          'since', to_char(b.state_change at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
          'started', b.backend_start::text,
          'is_holder', exists (select from pg_locks ours join pg_locks theirs
            on theirs.locktype = ours.locktype and theirs.database is not distinct from ours.database
              and theirs.relation is not distinct from ours.relation
              and theirs.transactionid is not distinct from ours.transactionid
              and theirs.virtualxid is not distinct from ours.virtualxid
              and theirs.classid is not distinct from ours.classid
              and theirs.objid is not distinct from ours.objid
            where ours.pid = a.pid and not ours.granted and theirs.pid = b.pid and theirs.granted)))
          filter (where b.pid is not null), '[]') as found,
        bool_or(b.pid is null) as prepared
      from pg_stat_activity a cross join lateral unnest(pg_blocking_pids(a.pid)) as blocker
      left join pg_stat_activity b on b.pid = blocker
      where a.application_name = ${applicationName} and a.wait_event_type = 'Lock'
        and b.application_name is distinct from ${applicationName}
      group by a.pid, a.query_start`,
  );
  return rows.map(({ found, prepared, object, ...row }) => ({
    ...row,
    object: object ?? "an object",
    holders: [...found.map(sessionText), ...(prepared ? ["a prepared transaction"] : [])],
    blockers: found.flatMap(({ is_holder, ...session }) => (is_holder ? [session] : [])),
  }));
}
