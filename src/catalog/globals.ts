import type { BackupKind } from "./records.ts";

/**
 * The `database` field of every globals backup. PostgreSQL's names have at most 63 bytes, so no database has this one,
 * and everything that is grouped by server and database (leases, the newest good backup, retention) keeps globals apart.
 * Only `kind` decides what a backup holds.
 */
export const GLOBALS_DATABASE = "globals (roles, memberships, role settings and tablespaces of the server)";

interface Place {
  server: string;
  database: string;
}

/** For messages and tables: `main/app`; `main (globals)` for the globals of a server. */
export function backupName({ server, database }: Place): string {
  return database === GLOBALS_DATABASE ? `${server} (globals)` : `${server}/${database}`;
}

/** The server in `main (globals)`, as `backupName` writes it; undefined for any other name. */
export function serverOfGlobals(name: string): string | undefined {
  return /^(.+) \(globals\)$/.exec(name)?.[1];
}

/** Completes "the dump of main/app" and "the globals of main". */
export function contentName({ server, database, kind }: Place & { kind: BackupKind }): string {
  return kind === "globals" ? `the globals of ${server}` : `the dump of ${server}/${database}`;
}

/** Whether a group of backups (`server` and `database`) holds globals. */
export function isGlobalsPlace({ database }: { database: string | null }): boolean {
  return database === GLOBALS_DATABASE;
}
