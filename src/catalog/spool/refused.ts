import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { DAY_MS } from "../../base/limits.ts";
import { whileBusy } from "../sqlite/busy.ts";
import { catalogError } from "../sqlite/errors.ts";
import type { Call } from "./calls.ts";

/** How long a refused change is reported that nobody acknowledges: somebody has looked at it by then. */
const REPORTED_MS = 7 * DAY_MS;

/** What a short id leaves out of an id. */
const UUID_END = /(?<=^[0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** In the file of a spool. */
export const REFUSED_TABLES = `
  CREATE TABLE IF NOT EXISTS refused (
    number INTEGER PRIMARY KEY,
    call TEXT NOT NULL,
    error TEXT NOT NULL,
    at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS acknowledged (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL
  ) STRICT;`;

/** A change of this host that the catalog refused. It stays in the spool. */
export interface RefusedRecord {
  number: number;
  call: Call;
  error: string;
  refused_at: string;
  acknowledged_at: string | null;
  /** Whether `status` and `doctor` report it: nobody has acknowledged it, and it is of the last week. */
  is_reported: boolean;
}

/** All of them, newest first. Neither creates nor changes the file. Throws code `storage` if it cannot be read. */
export async function refusedRecords(path: string, clock: Clock): Promise<RefusedRecord[]> {
  if (!existsSync(path)) return [];
  try {
    using database = new Database(path, { readonly: true });
    return refusedIn(database, clock);
  } catch (error) {
    throw catalogError(path, "read the refused records", error);
  }
}

/** Call it only if the file exists. */
export async function acknowledgeRefused(
  path: string,
  numbers: readonly number[],
  clock: Clock,
): Promise<void> {
  const at = clock.now().toISOString();
  await whileBusy(path, "acknowledge refused records", clock, () => {
    using database = new Database(path, { readwrite: true, create: false });
    database.transaction(() => {
      database.run(REFUSED_TABLES);
      for (const number of numbers)
        database.run("INSERT INTO acknowledged VALUES (?, ?) ON CONFLICT DO NOTHING", [number, at]);
    })();
  });
}

/** The errors of those that are reported, newest first. */
export function reportedErrors(database: Database, clock: Clock): string[] {
  const sql = `SELECT error FROM refused
    WHERE at > ? AND number NOT IN (SELECT number FROM acknowledged) ORDER BY number DESC`;
  const rows = database.query<{ error: string }, [string]>(sql).all(reportedSince(clock));
  return rows.map(({ error }) => error);
}

function reportedSince(clock: Clock): string {
  return new Date(clock.now().getTime() - REPORTED_MS).toISOString();
}

interface RefusedRow extends Pick<RefusedRecord, "number" | "error" | "refused_at" | "acknowledged_at"> {
  call: string;
}

function refusedIn(database: Database, clock: Clock): RefusedRecord[] {
  const since = reportedSince(clock);
  // An older program has written the file, and this one has not opened it yet.
  const hasTable = database.query("SELECT 1 FROM sqlite_schema WHERE name = 'acknowledged'").get() !== null;
  const acknowledged = hasTable ? "(SELECT at FROM acknowledged WHERE number = refused.number)" : "NULL";
  const sql = `SELECT number, call, error, at AS refused_at, ${acknowledged} AS acknowledged_at
    FROM refused ORDER BY number DESC`;
  return database
    .query<RefusedRow, []>(sql)
    .all()
    .map((row) => ({
      ...row,
      call: JSON.parse(row.call) as Call,
      is_reported: row.acknowledged_at === null && row.refused_at > since,
    }));
}

/** What was to be recorded, in a few words: `updateBackup f5871c43`. */
export function refusedName({ part, method, args }: Call): string {
  const [first] = args;
  const { id, backup_id, name } = Object(first) as Record<string, unknown>;
  const about = [first, id, backup_id, name].find((one) => typeof one === "string");
  const what = part === "" ? method : `${part}.${method}`;
  return about === undefined ? what : `${what} ${String(about).replace(UUID_END, "")}`;
}
