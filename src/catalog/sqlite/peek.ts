import { Database } from "bun:sqlite";
import type { AlertRecord, BackupRecord } from "../records.ts";

export type PeekedBackup = Pick<BackupRecord, "id" | "server" | "database" | "status" | "started_at">;
type PeekedAlert = Pick<AlertRecord, "id" | "level" | "message">;

export interface PeekedCatalog {
  databases: { server: string; database: string }[];
  /** Newest first. */
  backups: PeekedBackup[];
  /** Those that nobody has acknowledged, newest first. */
  alerts: PeekedAlert[];
  hosts: string[];
}

/** What to read. */
export interface PeekWish {
  databases: boolean;
  alerts: boolean;
  hosts: boolean;
  /** Backups whose ids begin so; undefined for none. */
  backups: string | undefined;
  /** Only backups that can be restored. */
  isGood: boolean;
  /** Only backups with a hold on them. */
  isHeld: boolean;
}

/** More than a person reads; the search for each stays within an index. */
const LIMIT = 100;
const DATABASES = "SELECT server, database FROM databases ORDER BY server, database LIMIT 1000";
const ALERTS = `SELECT id, level, message FROM alerts WHERE acknowledged_at IS NULL AND level <> 'INFO'
  ORDER BY created_at DESC, id DESC LIMIT ${LIMIT}`;
const HOSTS = `SELECT host FROM hosts ORDER BY host LIMIT ${LIMIT}`;
const FIELDS = "SELECT id, server, database, status, started_at FROM backups";
const CHOSEN = `(NOT $isGood OR status IN ('VERIFIED', 'PARTIAL')) AND (NOT $isHeld OR held_at IS NOT NULL)`;
const NEWEST = `${FIELDS} WHERE $prefix = '' AND ${CHOSEN} ORDER BY started_at DESC, id DESC LIMIT ${LIMIT}`;
/** By the primary key; ids are hexadecimal. */
const BY_ID = `SELECT * FROM (${FIELDS} WHERE id >= $prefix AND id < $prefix || 'g' AND ${CHOSEN} LIMIT ${LIMIT})
  ORDER BY started_at DESC, id DESC`;

/**
 * Reads a few records of a catalog of any version without creating, migrating or locking it. Throws SQLite's errors,
 * also for a version that lacks the tables.
 */
export function peekCatalog(
  path: string,
  { databases, alerts, hosts, backups, isGood, isHeld }: PeekWish,
): PeekedCatalog {
  using database = new Database(path, { readonly: true, strict: true });
  const rows = <T>(sql: string, values: Record<string, string | boolean> = {}) =>
    database.query<T, [Record<string, string | boolean>]>(sql).all(values);
  return {
    databases: databases ? rows(DATABASES) : [],
    alerts: alerts ? rows(ALERTS) : [],
    hosts: hosts ? rows<{ host: string }>(HOSTS).map(({ host }) => host) : [],
    backups:
      backups === undefined
        ? []
        : rows<PeekedBackup>(backups === "" ? NEWEST : BY_ID, { prefix: backups, isGood, isHeld }),
  };
}
