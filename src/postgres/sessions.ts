import { quoteIdentifier } from "./archive/sql-text.ts";
import type { Connection } from "./connection.ts";

/** A session of the server, without its query, whose text may contain passwords and values of rows. */
export interface Session {
  pid: number;
  user: string | null;
  application: string;
  /** As in `pg_stat_activity.backend_type`. */
  type: string;
  state: string;
  /** Since when it has been in this state. */
  since: string | null;
  /**
   * When it began; identifies it together with the pid, which another session may get later. Null, like the state, if
   * the role may not see it.
   */
  started: string | null;
}

/** `pid 4711 (user app, application "psql", idle in transaction since 2026-11-23T07:00:00Z)`. */
export function sessionText({ pid, user, application, type, state, since }: Session): string {
  const who = user === null ? type : `user ${user}, application "${application}"`;
  return `pid ${pid} (${who}, ${state}${since === null ? "" : ` since ${since}`})`;
}

/** Whether it is the session of a client other than pg321, whose backups and restores are never ended. */
export function isForeign({ application, type }: Session): boolean {
  return type === "client backend" && !/^pg321\b/.test(application);
}

/** Ends exactly this session. Returns false if it had ended already. Throws code `database` if the role may not. */
export async function terminate(connection: Connection, session: Session): Promise<boolean> {
  const { pid, user, application, started } = session;
  const rows = await connection.run(
    `end the session in the way, ${sessionText(session)}`,
    (sql) => sql<{ is_ended: boolean }[]>`
      select pg_terminate_backend(pid) as is_ended from pg_stat_activity
      where pid = ${pid} and usename is not distinct from ${user}::text and application_name = ${application}
        and backend_start is not distinct from ${started}::text::timestamptz`,
  );
  return rows[0]?.is_ended ?? false;
}

/** What lets a role end sessions of others. */
export function mayTerminateHint(user: string): string {
  return `run in psql as a superuser: GRANT pg_signal_backend TO ${quoteIdentifier(user)}; (only a superuser can end the session of a superuser)`;
}

export interface SessionInTheWay extends Session {
  /** Whether the role of this connection may end it. */
  can_terminate: boolean;
}

/** The sessions of others that hold a lock on one of these relations of the connected database. */
export async function sessionsOn(
  connection: Connection,
  relations: readonly string[],
): Promise<SessionInTheWay[]> {
  const names = JSON.stringify(relations);
  return await connection.run(
    "look for sessions that use the objects to be dropped",
    (sql) => sql<SessionInTheWay[]>`
      select a.pid, a.usename as "user", a.application_name as application, 
        coalesce(a.backend_type, 'client backend') as type,
        coalesce(a.state, case when a.backend_start is null then 'unknown state' else 'running' end) as state,
        to_char(a.state_change at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since,
        a.backend_start::text as started,
        me.rolsuper or not coalesce(r.rolsuper, true)
          and (pg_has_role(r.oid, 'usage') or pg_has_role('pg_signal_backend', 'usage')) as can_terminate
      from pg_stat_activity a
      join pg_roles me on me.rolname = current_user
      left join pg_roles r on r.oid = a.usesysid
      where a.pid <> pg_backend_pid() and exists (select from pg_locks l
        where l.pid = a.pid and l.granted and l.locktype = 'relation'
          and l.database = (select oid from pg_database where datname = current_database())
          and l.relation in (select to_regclass(name)::oid
            from json_array_elements_text(${names}::text::json) as given (name)))
      order by a.pid`,
  );
}
