import type { Connection } from "./connection.ts";

/** What a standby does with the WAL that it gets. */
export type ReplayState = "not paused" | "pause requested" | "paused";

export interface Standby {
  /**
   * How far its data lies behind its primary's, in ms: 0 if everything that it has received is replayed, otherwise the
   * age of the last replayed commit. Null: nothing has been replayed yet.
   */
  lagMs: number | null;
  replay: ReplayState;
  /** Whether its queries hold back vacuum on the primary. */
  hasFeedback: boolean;
}

/** 0 only while it receives WAL: without a connection to its primary it does not know what it lacks. */
const LAG = `case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
    and exists (select from pg_stat_get_wal_receiver() r where r.pid is not null) then 0
  else round(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000) end`;

/** The lag in ms as an expression of SQL, for a session on a standby. */
export const LAG_MS_SQL = `case when pg_is_in_recovery() then ${LAG} end::float8`;

/** Undefined if the server is no standby. */
export async function inspectStandby(connection: Connection): Promise<Standby | undefined> {
  const [row] = await connection.run(
    "look at the standby",
    (sql) => sql<{ standby: boolean; lag: number | null; feedback: boolean }[]>`
      select pg_is_in_recovery() as standby, ${sql.unsafe(LAG_MS_SQL)} as lag,
        current_setting('hot_standby_feedback')::bool as feedback`,
  );
  if (!row?.standby) return undefined;
  return { lagMs: row.lag, replay: await replayState(connection), hasFeedback: row.feedback };
}

/** Before PostgreSQL 14 a requested pause cannot be told from one that has begun. */
export async function replayState(connection: Connection): Promise<ReplayState> {
  const rows = await connection.run("ask whether replay is paused", async (sql) => {
    const [has] = await sql<{ has: boolean }[]>`
      select to_regprocedure('pg_catalog.pg_get_wal_replay_pause_state()') is not null as has`;
    return has?.has
      ? sql<{ state: ReplayState }[]>`select pg_get_wal_replay_pause_state() as state`
      : sql<{ state: ReplayState }[]>`
          select case when pg_is_wal_replay_paused() then 'paused' else 'not paused' end as state`;
  });
  return rows[0]?.state ?? "not paused";
}

/** Whether the role may pause and resume. */
export async function mayPause(connection: Connection): Promise<boolean> {
  const [row] = await connection.run(
    "look at the rights on functions",
    (sql) => sql<{ may: boolean }[]>`
      select has_function_privilege('pg_catalog.pg_wal_replay_pause()', 'execute')
        and has_function_privilege('pg_catalog.pg_wal_replay_resume()', 'execute') as may`,
  );
  return row?.may === true;
}

/** Asks for a pause, which begins with the next record; `replayState` says when. */
export async function requestPause(connection: Connection): Promise<void> {
  await connection.run("pause the replay of WAL", (sql) => sql`select pg_wal_replay_pause()`);
}

/** Has no effect on a server that is not paused, or that was promoted meanwhile. */
export async function resumeReplay(connection: Connection): Promise<void> {
  await connection.run(
    "resume the replay of WAL",
    (sql) => sql`select case when pg_is_in_recovery() then pg_wal_replay_resume() end`,
  );
}

/** The statement that lets a role pause and resume; it is run on the primary. */
export function pauseRights(role: string): string {
  return `GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_pause(), pg_catalog.pg_wal_replay_resume() TO ${role}`;
}
