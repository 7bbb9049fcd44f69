import type {
  AlertRecord,
  BackupRecord,
  CopyRecord,
  DeliveryRecord,
  RunRecord,
  TombstoneRecord,
} from "../../../src/catalog/records.ts";

export function backupRecord(change: Partial<BackupRecord> = {}): BackupRecord {
  return {
    id: crypto.randomUUID(),
    installation: "0a0a0a0a-0000-4000-8000-000000000000",
    server: "main",
    database: "app",
    kind: "dump",
    status: "RUNNING",
    run_id: crypto.randomUUID(),
    object_key: "main/app/backup_app_20260101_000000_abc.dump.zst.enc",
    started_at: "2026-01-01T00:00:00.000Z",
    finished_at: null,
    dump_bytes: null,
    object_bytes: null,
    object_sha256: null,
    compression: "zstd-3",
    encryption: "age",
    server_version: null,
    pg_dump_version: null,
    previous_id: null,
    manifest: null,
    error: null,
    stderr_tail: null,
    held_at: null,
    hold_until: null,
    hold_reason: null,
    recipients: null,
    unreadable: null,
    hooks: null,
    host: null,
    facts: null,
    ...change,
  };
}

export function copyRecord(backup: BackupRecord, change: Partial<CopyRecord> = {}): CopyRecord {
  return {
    backup_id: backup.id,
    storage: "local",
    object_key: backup.object_key,
    state: "INTENDED",
    upload_id: null,
    object_bytes: null,
    confirmed_at: null,
    verified_at: null,
    error: null,
    locked_until: null,
    lock_mode: null,
    locked_checked_at: null,
    lock_error: null,
    lock_place: null,
    ...change,
  };
}

export function tombstoneOf(backup: BackupRecord, change: Partial<TombstoneRecord> = {}): TombstoneRecord {
  return {
    backup_id: backup.id,
    server: backup.server,
    database: backup.database,
    kind: backup.kind,
    started_at: backup.started_at,
    dump_bytes: backup.dump_bytes,
    object_bytes: backup.object_bytes,
    was_good: true,
    removed_at: "2026-05-01T00:00:00.000Z",
    removed_by: "retention",
    ...change,
  };
}

/** A process that cannot be seen from here. */
export const ELSEWHERE = {
  host: "elsewhere",
  pid: 42,
  pid_start: 1234,
  host_id: "0123456789abcdef0123456789abcdef",
  boot_id: "00000000-0000-4000-8000-000000000000",
  pid_namespace: "4026531999",
} as const;

export function runRecord(change: Partial<RunRecord>): RunRecord {
  return {
    id: crypto.randomUUID(),
    job: "backup",
    outcome: "RUNNING",
    ...ELSEWHERE,
    started_at: "2026-01-01T00:00:00.000Z",
    finished_at: null,
    statistics: null,
    error: null,
    schedule: null,
    scheduled_for: null,
    ...change,
  };
}

export function alertRecord(change: Partial<AlertRecord>): AlertRecord {
  return {
    id: crypto.randomUUID(),
    key: "backup main/app",
    level: "WARNING",
    job: "backup",
    run_id: null,
    server: "main",
    database: "app",
    message: "something to know",
    metadata: {},
    count: 1,
    created_at: "2026-01-01T00:00:00.000Z",
    last_at: "2026-01-01T00:00:00.000Z",
    reminders: 0,
    remind_at: null,
    resolved_at: null,
    acknowledged_at: null,
    ...change,
  };
}

export function deliveryRecord(change: Partial<DeliveryRecord>): DeliveryRecord {
  return {
    id: crypto.randomUUID(),
    alert_id: null,
    notifier: "ops",
    notice: { message: "something to know" },
    state: "PENDING",
    attempts: 0,
    created_at: "2026-01-01T00:00:00.000Z",
    next_try_at: "2026-01-01T00:00:00.000Z",
    finished_at: null,
    error: null,
    ...change,
  };
}
