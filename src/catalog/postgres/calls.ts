import type { CallMark } from "../spool/unreachable.ts";

/** The part of a transaction that is used here. */
interface Statements {
  rows<R>(sql: string, values: Record<string, string | number>): Promise<R[]>;
  run(sql: string, values: Record<string, string | number>): Promise<number>;
}

/**
 * Each transaction that changes something stores its number, by its process, together with its COMMIT. If the COMMIT is
 * not answered, that number says whether it happened; and a trigger refuses a number that was given up, so that a COMMIT
 * still under way somewhere cannot happen later.
 */
export class Calls {
  readonly #process = crypto.randomUUID();
  #number = 0;

  /** The statement that removes what was stored; undefined if there is nothing. */
  get removal(): string | undefined {
    if (this.#number === 0) return undefined;
    return `DELETE FROM pg321.calls WHERE process = '${this.#process}'`;
  }

  next(): CallMark {
    this.#number++;
    return { process: this.#process, number: this.#number };
  }
}

/** The statement that stores the number; both values are this program's own. */
export function markStatement({ process, number }: CallMark): string {
  return `INSERT INTO pg321.calls VALUES ('${process}', ${number}, 1, now())
    ON CONFLICT (process) DO UPDATE SET number = excluded.number, is_done = 1, at = now()`;
}

/** Processes that were killed leave a row. No outage lasts as long. */
export const REMOVE_OLD_CALLS = "DELETE FROM calls WHERE at < now() - interval '90 days'";

/** A transaction at its server: no other one has the same process and beginning. */
export interface Whereabouts {
  pid: number;
  began: string;
}

export const WHEREABOUTS = "SELECT pg_backend_pid() AS pid, now()::text AS began";
/** Its connection is lost, but the server does not know it yet, and its locks would last a minute. */
const END = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE pid = $pid AND xact_start::text = $began AND state = 'idle in transaction'`;
const GIVE_UP = `INSERT INTO calls AS known VALUES ($process, $number, 0, now())
  ON CONFLICT (process) DO UPDATE SET number = excluded.number, is_done = 0, at = now()
  WHERE known.number < excluded.number`;
const FOUND = "SELECT number, is_done FROM calls WHERE process = $process";

/** Whether a transaction whose COMMIT was not answered has happened. If not, it never will from now on. */
export async function hasHappened(
  { run, rows }: Statements,
  mark: CallMark,
  at?: Whereabouts,
): Promise<boolean> {
  const values = { process: mark.process, number: mark.number };
  // Waits for the COMMIT if it is still under way.
  if ((await run(GIVE_UP, values)) === 1) {
    if (at) await rows(END, { pid: at.pid, began: at.began });
    return false;
  }
  const [found] = await rows<{ number: number; is_done: number }>(FOUND, { process: mark.process });
  // A higher number: the process has settled this one and gone on.
  return found?.number === mark.number && found.is_done === 1;
}
