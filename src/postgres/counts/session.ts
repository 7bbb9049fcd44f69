import { deadline, unlessAborted } from "../../base/abort.ts";
import { systemClock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Connection, Endpoint } from "../connection.ts";
import { connect } from "../connection.ts";
import { sqlStateOf } from "../errors.ts";

/** Shown in `pg_stat_activity`. */
export const COUNTS_APPLICATION = "pg321 counts";
/** How long one statement of ours may wait for a lock. Waiting longer would queue the users' queries behind it. */
const LOCK_WAIT_MS = 200;
/** For the end of a statement that runs when the counts must end. */
const CANCEL_MS_MAX = 5_000;

/**
 * Settings of a session that counts. One process without workers, which reads the tables themselves, as pg_dump does:
 * an index that is damaged would give another number. It ends by itself if pg321 is killed. Some versions lack some.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  application_name: COUNTS_APPLICATION,
  lock_timeout: String(LOCK_WAIT_MS),
  row_security: "off",
  standard_conforming_strings: "on",
  max_parallel_workers_per_gather: "0",
  jit: "off",
  enable_indexscan: "off",
  enable_indexonlyscan: "off",
  enable_bitmapscan: "off",
};

/** Prepares a session for counting. */
export async function limitSession(connection: Connection): Promise<void> {
  await connection.run("prepare the session that counts", async (sql) => {
    for (const [name, value] of Object.entries(SETTINGS))
      await sql`select set_config(name, ${value}, false) from pg_settings where name = ${name}`;
    // Not on every system: only Linux can see that the client has closed its connection.
    await sql`select set_config(name, '10s', false) from pg_settings
      where name = 'client_connection_check_interval'`.catch(() => {});
  });
}

/** Why a statement failed, and whether the session is still there. */
export interface Refusal {
  why: string;
  isLost: boolean;
}

/**
 * Runs statements in a subtransaction of their own and ends it: their locks are released, and an error does not end the
 * transaction. Returns the rows of the last one. Throws `Refusal`, or the signal's reason, without waiting for a session
 * that does not answer.
 */
export async function inSubtransaction<Row>(
  connection: Connection,
  statement: string,
  signal: AbortSignal,
): Promise<Row[]> {
  const end = "rollback to savepoint pg321; release savepoint pg321";
  const run = connection.run("count", async (sql) => {
    const results: unknown = await sql.unsafe(`savepoint pg321; ${statement}; ${end}`);
    return (results as Row[][])[1] ?? [];
  });
  try {
    return await unlessAborted(run, signal);
  } catch (error) {
    signal.throwIfAborted();
    const isBack = connection.run("continue to count", (sql) => sql.unsafe(end));
    const isLost = await unlessAborted(isBack, signal).then(
      () => false,
      () => true,
    );
    signal.throwIfAborted();
    throw { why: isLost ? `the session that counts was lost: ${reasonOf(error)}` : reasonOf(error), isLost };
  }
}

const LOCKED = "another session holds an exclusive lock on it, or waits for one";

function reasonOf(error: unknown): string {
  if (sqlStateOf(error) === "55P03") return LOCKED;
  const message = messageOf(error);
  return message.slice(message.indexOf(": cannot count: ") + 1).replace(/^: cannot count: /, "");
}

export function isRefusal(error: unknown): error is Refusal {
  return typeof error === "object" && error !== null && "isLost" in error;
}

/** Ends what the session of `pid` is doing now; without this the server would finish it although nobody waits for it. */
export async function cancelSession(endpoint: Endpoint, pid: number): Promise<void> {
  using time = deadline({ clock: systemClock, durationMs: CANCEL_MS_MAX });
  const cancel = async () => {
    await using connection = await connect(endpoint);
    await connection.run("end the counts", (sql) => sql`select pg_cancel_backend(${pid})`);
  };
  await unlessAborted(cancel(), time.signal).catch(() => {});
}
