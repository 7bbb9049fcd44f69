import type { Sql } from "postgres";
import * as v from "valibot";
import type { Connection } from "../connection.ts";
import { sqlStateOf } from "../errors.ts";
import { LAG_MS_SQL } from "../standby.ts";

/** The moment of a dump: of the snapshot that it was made from. */
export const dumpMoment = v.object({
  /** By the server's clock, in UTC: `2026-11-23T00:25:00.123Z`. */
  taken_at: v.string(),
  /** The position in the WAL, as PostgreSQL writes it: `0/16B3748`. On a standby, of the last replayed record; null: none. */
  lsn: v.nullable(v.string()),
  /** Null: the role may not see it. */
  timeline: v.nullable(v.number()),
  /** Of the server; missing: the role may not see it, or the backup is of a version that did not record it. */
  system_identifier: v.optional(v.string()),
  is_standby: v.boolean(),
  /** How far a standby lay behind its primary, in ms; null: not known. Missing: no standby. */
  lag_ms: v.optional(v.nullable(v.number())),
  /** The same for all dumps whose snapshots were taken together; missing: taken alone. */
  group: v.optional(v.string()),
});

export type DumpMoment = v.InferOutput<typeof dumpMoment>;

interface Row {
  taken_at: Date;
  lsn: string | null;
  is_standby: boolean;
  lag_ms: number | null;
}

/** Reads the moment in the session that has just taken the snapshot. */
export async function readMoment(connection: Connection): Promise<DumpMoment> {
  const [row] = await connection.run(
    "read the position in the WAL",
    (sql) => sql<Row[]>`
      select clock_timestamp() as taken_at, pg_is_in_recovery() as is_standby, ${sql.unsafe(LAG_MS_SQL)} as lag_ms,
        case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end::text as lsn`,
  );
  if (!row) throw new Error("a select without a table gives one row");
  const { taken_at, lag_ms, ...rest } = row;
  const timeline = await readTimeline(connection);
  const system_identifier = await readSystem(connection);
  const server = { timeline, ...(system_identifier !== null && { system_identifier }) };
  return { taken_at: taken_at.toISOString(), ...rest, ...server, ...(rest.is_standby && { lag_ms }) };
}

/** Of the last checkpoint: a primary that was just promoted changes it a moment later. */
async function readTimeline(connection: Connection): Promise<number | null> {
  return await tried(connection, "timeline", async (sql) => {
    const rows = await sql<{ timeline: number }[]>`
      select case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
        else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end as timeline`;
    return rows[0]?.timeline ?? null;
  });
}

async function readSystem(connection: Connection): Promise<string | null> {
  return await tried(connection, "system identifier", async (sql) => {
    const rows = await sql<{ id: string }[]>`select system_identifier::text as id from pg_control_system()`;
    return rows[0]?.id ?? null;
  });
}

/** The role may not see it, the server has no such function, or none in the state that it has just got (promotion). */
const UNKNOWN = ["42501", "42883", "0A000", "55000"];

/** Null, and the transaction goes on, if the server does not tell it. */
async function tried<T>(
  connection: Connection,
  what: string,
  query: (sql: Sql) => Promise<T | null>,
): Promise<T | null> {
  const ask = connection.run(`read the ${what}`, async (sql) => {
    await sql.unsafe("savepoint pg321_moment");
    const found = await query(sql);
    await sql.unsafe("release savepoint pg321_moment");
    return found;
  });
  return await ask.catch(async (error: Error) => {
    if (!UNKNOWN.includes(sqlStateOf(error) ?? "")) throw error;
    await connection.run("read on", (sql) => sql.unsafe("rollback to savepoint pg321_moment"));
    return null;
  });
}
