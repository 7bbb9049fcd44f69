import type { BackupFilter, Catalog } from "../catalog.ts";
import type { Row, Table } from "./tables.ts";
import { toRow } from "./tables.ts";

export type InsertVerb = "INSERT" | "INSERT OR REPLACE";

/** The statement that stores a record, and its values. */
export function insertion<R extends object>(
  verb: InsertVerb,
  table: Table<R>,
  record: R,
): [sql: string, Row] {
  const row = toRow(table, record);
  const columns = Object.keys(row);
  return [`${verb} INTO ${table.name} (${columns}) VALUES (${columns.map((column) => `$${column}`)})`, row];
}

/**
 * Like `insertion`, but updates the record with the same key if there is one: triggers then see the old values,
 * which they do not if it is replaced.
 */
export function upsert<R extends object>(
  table: Table<R>,
  key: readonly (keyof R & string)[],
  record: R,
): [sql: string, Row] {
  const [sql, row] = insertion("INSERT", table, record);
  return [`${sql} ${replacing(key, Object.keys(row))}`, row];
}

/** Like `upsert`, for at least one record, at most some dozens. */
export function upsertAll<R extends object>(
  table: Table<R>,
  key: readonly (keyof R & string)[],
  records: readonly R[],
): [sql: string, Row] {
  const rows = records.map((record) => toRow(table, record));
  const columns = Object.keys(rows[0] ?? {});
  const tuples = rows.map((_, index) => `(${columns.map((column) => `$${column}_${index}`)})`);
  const named = rows.flatMap((row, index) => columns.map((column) => [`${column}_${index}`, row[column]]));
  const sql = `INSERT INTO ${table.name} (${columns}) VALUES ${tuples} ${replacing(key, columns)}`;
  return [sql, Object.fromEntries(named)];
}

function replacing(key: readonly string[], columns: readonly string[]): string {
  const set = columns.map((column) => `${column} = excluded.${column}`);
  return `ON CONFLICT (${key}) DO UPDATE SET ${set.join(", ")}`;
}

/** A condition for each value that is not undefined. */
export function equalTo(wanted: Record<string, string | undefined>): { where: string[]; values: Row } {
  const values: Row = {};
  for (const [column, value] of Object.entries(wanted)) if (value !== undefined) values[column] = value;
  return { where: Object.keys(values).map((column) => `${column} = $${column}`), values };
}

/**
 * Every server with backups, and every database of each, by steps from one to the next in the index. Comparing two columns at
 * once would read all backups of a server instead.
 */
export const PLACES = `WITH RECURSIVE
  servers (server) AS (
    SELECT min(server) FROM backups
    UNION ALL
    SELECT (SELECT min(server) FROM backups WHERE server > servers.server)
    FROM servers WHERE servers.server IS NOT NULL),
  names (server, database) AS (
    SELECT server, (SELECT min(database) FROM backups WHERE server = servers.server)
    FROM servers WHERE server IS NOT NULL
    UNION ALL
    SELECT server, (SELECT min(database) FROM backups WHERE server = names.server AND database > names.database)
    FROM names WHERE database IS NOT NULL)
  SELECT server, database FROM names WHERE database IS NOT NULL ORDER BY server, database`;

/** The end of a statement for the copies of some backups. */
export const COPIES_OF = "WHERE backup_id IN (SELECT value FROM json_each($ids)) ORDER BY backup_id, storage";

const COPY_STATES = "copies.state IN (SELECT value FROM json_each($states))";
const COPY = `EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id AND ${COPY_STATES})`;
const COPY_IN = `EXISTS (
  SELECT 1 FROM copies WHERE backup_id = backups.id AND storage = $storage AND ${COPY_STATES})`;

/** The conditions of a filter for backups. */
export function thoseOf(filter: BackupFilter) {
  const { server, database, kind, run_id, host, status, startedBy, startedAfter, startedFrom, after, copy } =
    filter;
  const { where, values } = equalTo({ server, database, kind, run_id, host });
  const add = (condition: string, name: string, value: string | undefined) => {
    if (value === undefined) return;
    where.push(condition);
    values[name] = value;
  };
  add("status IN (SELECT value FROM json_each($status))", "status", status && JSON.stringify(status));
  add("started_at <= $startedBy", "startedBy", startedBy);
  add("started_at > $startedAfter", "startedAfter", startedAfter);
  add("started_at >= $startedFrom", "startedFrom", startedFrom);
  if (after) {
    where.push("(started_at, id) < ($after_at, $after_id)");
    Object.assign(values, { after_at: after.started_at, after_id: after.id });
  }
  add(copy?.storage === undefined ? COPY : COPY_IN, "states", copy && JSON.stringify(copy.states));
  if (copy?.storage !== undefined) values["storage"] = copy.storage;
  return { where, values };
}

/** The ids that begin with `prefix`, in any case; undefined if no id begins like that. */
export function idsFrom(column: string, prefix: string): { where: string; values: Row } | undefined {
  const start = prefix.toLowerCase();
  if (!/^[0-9a-f-]*$/.test(start)) return undefined;
  // "g" sorts after every character of an id, so the primary key answers.
  return { where: `WHERE ${column} >= $start AND ${column} < $start || 'g'`, values: { start } };
}

export function whereAll(conditions: string[]): string {
  return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
}

/** The statement that changes the given fields of one record. */
export function changeOf<R extends object>(
  table: Table<R>,
  key: Row,
  change: Partial<NoInfer<R>>,
): [sql: string, values: Row] {
  const row = toRow(table, change);
  const equal = (names: Row) => Object.keys(names).map((column) => `${column} = $${column}`);
  // Without a change the row is still looked up, so that a missing one is an error.
  const [first] = Object.keys(key);
  const set = equal(row).join(", ") || `${first} = ${first}`;
  return [`UPDATE ${table.name} SET ${set} ${whereAll(equal(key))}`, { ...row, ...key }];
}

/** The conditions of a filter for alerts. */
export function alertsOf({ key, open, unacknowledged, host }: Parameters<Catalog["alerts"]>[0]) {
  const { where, values } = ofHost({ key, host });
  if (open === true) where.push("resolved_at IS NULL");
  if (unacknowledged === true) where.push("acknowledged_at IS NULL AND level <> 'INFO'");
  return { where, values };
}

/** Conditions as those of `equalTo`; records of no host belong to every host. */
export function ofHost({
  host,
  ...wanted
}: { host?: string | undefined } & Record<string, string | undefined>) {
  const { where, values } = equalTo(wanted);
  if (host === undefined) return { where, values };
  return { where: [...where, "(host IS NULL OR host = $host)"], values: { ...values, host } };
}

/** A statement about runs, only about those of one host if it is given. */
export function runsOf(sql: string, host: string | undefined): string {
  return host === undefined ? sql : sql.replaceAll("WHERE ", "WHERE host = $host AND ");
}

/** A statement about notices, only about those that one host sends if it is given. */
export function noticesOf(sql: string, host: string | undefined): string {
  return host === undefined ? sql : sql.replaceAll("WHERE ", "WHERE (host IS NULL OR host = $host) AND ");
}

/** Of the runs that have ended, by job and outcome. */
export const RUN_TOTALS: string = `SELECT job, outcome, CAST(sum(runs) AS bigint) AS runs FROM run_totals
  WHERE outcome <> 'RUNNING' GROUP BY job, outcome ORDER BY job, outcome`;

/** The value of `runsOf` and `noticesOf`. */
export function given(host: string | undefined): { host?: string } {
  return host === undefined ? {} : { host };
}
