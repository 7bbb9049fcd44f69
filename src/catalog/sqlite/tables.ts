import type { HostRecord } from "../hosts.ts";
import type {
  AlertRecord,
  BackupRecord,
  CopyRecord,
  DeliveryRecord,
  LeaseHolder,
  LockProbeRecord,
  RestoreTestRecord,
  RunRecord,
  TombstoneRecord,
} from "../records.ts";
import type { ListingPosition } from "../storages/listings.ts";

export type Binding = string | number | null;
export type Row = Record<string, Binding>;

/**
 * How a kind of record is stored: one column for each field. `json` names the column with JSON text, or all of them, `flag`
 * the one with a boolean kept as 0 or 1.
 */
export interface Table<R> {
  readonly name: string;
  /** An object instead of a list, so that the compiler keeps it equal to the record. */
  readonly columns: { readonly [K in keyof Required<R>]: true };
  readonly json?: (keyof R & string) | readonly (keyof R & string)[];
  readonly flag?: keyof R & string;
}

export const BACKUPS: Table<BackupRecord> = {
  name: "backups",
  json: "facts",
  columns: {
    id: true,
    installation: true,
    server: true,
    database: true,
    kind: true,
    status: true,
    run_id: true,
    object_key: true,
    started_at: true,
    finished_at: true,
    dump_bytes: true,
    object_bytes: true,
    object_sha256: true,
    compression: true,
    encryption: true,
    server_version: true,
    pg_dump_version: true,
    previous_id: true,
    manifest: true,
    error: true,
    stderr_tail: true,
    held_at: true,
    hold_until: true,
    hold_reason: true,
    recipients: true,
    unreadable: true,
    hooks: true,
    host: true,
    facts: true,
  },
};

export const COPIES: Table<CopyRecord> = {
  name: "copies",
  columns: {
    backup_id: true,
    storage: true,
    object_key: true,
    state: true,
    upload_id: true,
    object_bytes: true,
    confirmed_at: true,
    verified_at: true,
    error: true,
    locked_until: true,
    lock_mode: true,
    locked_checked_at: true,
    lock_error: true,
    lock_place: true,
  },
};

export const TOMBSTONES: Table<TombstoneRecord> = {
  name: "tombstones",
  flag: "was_good",
  columns: {
    backup_id: true,
    server: true,
    database: true,
    kind: true,
    started_at: true,
    dump_bytes: true,
    object_bytes: true,
    was_good: true,
    removed_at: true,
    removed_by: true,
  },
};

export const RUNS: Table<RunRecord> = {
  name: "runs",
  json: "statistics",
  columns: {
    id: true,
    job: true,
    outcome: true,
    host: true,
    pid: true,
    pid_start: true,
    host_id: true,
    boot_id: true,
    pid_namespace: true,
    started_at: true,
    finished_at: true,
    statistics: true,
    error: true,
    schedule: true,
    scheduled_for: true,
  },
};

export const ALERTS: Table<AlertRecord> = {
  name: "alerts",
  json: "metadata",
  columns: {
    id: true,
    level: true,
    job: true,
    run_id: true,
    server: true,
    database: true,
    message: true,
    metadata: true,
    created_at: true,
    acknowledged_at: true,
    key: true,
    count: true,
    last_at: true,
    reminders: true,
    remind_at: true,
    resolved_at: true,
  },
};

export const DELIVERIES: Table<DeliveryRecord> = {
  name: "deliveries",
  json: "notice",
  columns: {
    id: true,
    alert_id: true,
    notifier: true,
    notice: true,
    state: true,
    attempts: true,
    created_at: true,
    next_try_at: true,
    finished_at: true,
    error: true,
  },
};

export const RESTORE_TESTS: Table<RestoreTestRecord> = {
  name: "restore_tests",
  json: "checks",
  columns: {
    id: true,
    run_id: true,
    prover: true,
    backup_id: true,
    server: true,
    database: true,
    backup_started_at: true,
    storage: true,
    target: true,
    outcome: true,
    started_at: true,
    finished_at: true,
    fetch_ms: true,
    restore_ms: true,
    check_ms: true,
    dump_bytes: true,
    checks: true,
    error: true,
  },
};

export const LOCK_PROBES: Table<LockProbeRecord> = {
  name: "lock_probes",
  flag: "refused",
  columns: {
    id: true,
    storage: true,
    object_key: true,
    by: true,
    probed_at: true,
    finished_at: true,
    refused: true,
    message: true,
    locked_until: true,
    removed_at: true,
    place: true,
  },
};

export const LEASES: Table<LeaseHolder> = {
  name: "leases",
  columns: {
    name: true,
    run_id: true,
    host: true,
    pid: true,
    pid_start: true,
    host_id: true,
    boot_id: true,
    pid_namespace: true,
    acquired_at: true,
    expires_at: true,
  },
};

export const HOSTS: Table<HostRecord> = {
  name: "hosts",
  json: ["storages", "servers", "next_runs", "problems"],
  columns: {
    host: true,
    version: true,
    pid: true,
    started_at: true,
    heartbeat_at: true,
    stopped_at: true,
    storages: true,
    servers: true,
    next_runs: true,
    problems: true,
  },
};
/** The columns of a table that its records have; the table may have more. */
export function columnsOf<R extends object>(table: Table<R>): string {
  return Object.keys(table.columns).join(", ");
}

export const LISTINGS: Table<ListingPosition> = {
  name: "listings",
  columns: {
    storage: true,
    purpose: true,
    storage_id: true,
    began_at: true,
    after_key: true,
    listed: true,
    orphans: true,
    orphan_bytes: true,
  },
};

/** The columns of a whole or partial record, ready to bind. */
export function toRow<R extends object>(table: Table<R>, record: Partial<R>): Row {
  const row: Row = {};
  for (const column in table.columns) {
    const value = record[column];
    if (value === undefined) continue;
    if (column === table.flag) row[column] = Number(value);
    else row[column] = isJson(table, column) && value !== null ? JSON.stringify(value) : (value as Binding);
  }
  return row;
}

export function fromRow<R extends object>(table: Table<R>, row: Row): R {
  const record: Record<string, unknown> = { ...row };
  for (const column of jsonColumns(table)) {
    const text = row[column];
    if (typeof text === "string") record[column] = JSON.parse(text);
  }
  if (table.flag !== undefined) record[table.flag] = row[table.flag] === 1;
  return record as R;
}

function jsonColumns<R>({ json }: Table<R>): readonly string[] {
  if (json === undefined) return [];
  return typeof json === "string" ? [json] : json;
}

function isJson<R>(table: Table<R>, column: string): boolean {
  return jsonColumns(table).includes(column);
}
