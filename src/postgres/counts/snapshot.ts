import { deadline, unlessAborted } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Connection, Endpoint } from "../connection.ts";
import { connect } from "../connection.ts";
import type { CountLimits } from "./count.ts";
import { readSequences } from "./count.ts";
import type { SequencesBefore } from "./count-database.ts";
import { readFacts } from "./count-database.ts";
import type { DumpFacts } from "./facts.ts";
import { unknownFacts } from "./facts.ts";
import type { DumpMoment } from "./moment.ts";
import { readMoment } from "./moment.ts";
import { cancelSession, limitSession } from "./session.ts";
import { listSequences } from "./tables.ts";

/** The dump waits at most this long for its snapshot; then it is made without. */
const OPEN_MS_MAX = 30_000;

/** The dump waits at most this long for the sequences to be read; of the others nothing is known from before it. */
const SEQUENCES_MS_MAX = 5_000;

/** A session whose snapshot a dump can use, and that can count what the dump contains. */
export interface Snapshot extends AsyncDisposable {
  /** For `pg_dump --snapshot`, which must read it while this session is open. */
  readonly id: string;
  readonly moment: DumpMoment;
  /** The session, in the snapshot's transaction; not to be used any more once `count` is called. */
  readonly connection: Connection;
  /**
   * Counts, once pg_dump holds the locks of all its tables and has read the sequences. Never rejects: what could not be
   * counted, or not before the signal aborted, has the reason. Can be called only once.
   */
  count(limits: CountLimits): Promise<DumpFacts>;
}

/** Sessions that take their snapshots together. */
export interface SnapshotGroup {
  id: string;
  /** Resolves when every session of the group is ready to take its snapshot. */
  ready(): Promise<void>;
}

/**
 * Opens a session and exports its snapshot. Throws if the server does not export one (a standby before PostgreSQL 10), or
 * not soon; and if the signal aborts, its reason.
 */
export async function openSnapshot(
  endpoint: Endpoint,
  { clock, signal, group }: { clock: Clock; signal: AbortSignal; group?: SnapshotGroup | undefined },
): Promise<Snapshot> {
  const late = () => new Error(`no snapshot within ${OPEN_MS_MAX / 1000} s`);
  using time = deadline({ clock, signal, durationMs: OPEN_MS_MAX }, late);
  const close = (connection: Connection) => void connection[Symbol.asyncDispose]();
  const connection = await unlessAborted(connect(endpoint), time.signal, close);
  try {
    return await unlessAborted(exportSnapshot(connection, clock, time.signal, group), time.signal);
  } catch (error) {
    close(connection);
    throw error;
  }
}

async function exportSnapshot(
  connection: Connection,
  clock: Clock,
  signal: AbortSignal,
  group: SnapshotGroup | undefined,
): Promise<Snapshot> {
  await limitSession(connection);
  await group?.ready();
  const [row] = await connection.run("export a snapshot", async (sql) => {
    await sql.unsafe("begin isolation level repeatable read read only");
    return sql<{ id: string; pid: number }[]>`
      select pg_export_snapshot() as id, pg_backend_pid() as pid`;
  });
  if (!row) throw new Error("a select without a table gives one row");
  const moment = { ...(await readMoment(connection)), ...(group && { group: group.id }) };
  const sequences = await listSequences(connection);
  using time = deadline({ clock, signal, durationMs: SEQUENCES_MS_MAX });
  const before = { sequences, values: await readSequences(connection, sequences, time.signal) };
  return new CountingSnapshot(connection, row, moment, before);
}

class CountingSnapshot implements Snapshot {
  readonly id: string;
  readonly moment: DumpMoment;
  readonly connection: Connection;
  readonly #pid: number;
  readonly #before: SequencesBefore;
  readonly #closed = new AbortController();
  /** Whether a statement may still be running. */
  #isBusy = false;

  constructor(
    connection: Connection,
    { id, pid }: { id: string; pid: number },
    moment: DumpMoment,
    before: SequencesBefore,
  ) {
    this.connection = connection;
    this.id = id;
    this.moment = moment;
    this.#pid = pid;
    this.#before = before;
  }

  async count({ signal, ...rest }: CountLimits): Promise<DumpFacts> {
    const limits = { ...rest, signal: AbortSignal.any([signal, this.#closed.signal]) };
    this.#isBusy = true;
    try {
      return { ...(await readFacts(this.connection, this.#before, limits)), moment: this.moment };
    } catch (error) {
      return unknownFacts(messageOf(limits.signal.aborted ? limits.signal.reason : error), this.moment);
    } finally {
      this.#isBusy = limits.signal.aborted;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new Error("the backup ended"));
    if (this.#isBusy) await cancelSession(this.connection.endpoint, this.#pid);
    await this.connection[Symbol.asyncDispose]();
  }
}
