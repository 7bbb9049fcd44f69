import { durationMs } from "../../base/clock.ts";
import type { CopyRecord } from "../../catalog/records.ts";
import { streamsOf } from "../../postgres/counts/streams.ts";
import { warningsOf } from "../../postgres/program-messages.ts";
import type { ListedBackup } from "../../status/list-backups.ts";

/** A backup in the output of `--json`: sizes in bytes, times in RFC 3339 UTC. Keys are stable. */
export function backupJson({ backup, copies, running_on }: ListedBackup) {
  const { manifest: _manifest, facts, hooks: _hooks, stderr_tail, started_at, finished_at, ...rest } = backup;
  const duration_ms = durationMs(backup);
  return {
    ...rest,
    recipients: backup.recipients?.split(" ") ?? [],
    started_at,
    finished_at,
    duration_ms,
    /** The size of the dump divided by the size of the object. */
    ratio: ratio(backup.dump_bytes, backup.object_bytes),
    rate_bytes_per_second:
      duration_ms && backup.dump_bytes ? Math.round((backup.dump_bytes / duration_ms) * 1000) : null,
    running_on,
    /** Of a backup with `dump.jobs` above 1. */
    streams: streamsOf(facts),
    warnings: warningsOf(stderr_tail),
    copies: copies.map(copyJson),
  };
}

function copyJson(copy: CopyRecord) {
  const { storage, state, object_bytes, confirmed_at, verified_at, error } = copy;
  const { locked_until, lock_mode, locked_checked_at, lock_error } = copy;
  const lock = { locked_until, lock_mode, locked_checked_at, lock_error };
  return { storage, state, object_bytes, confirmed_at, verified_at, ...lock, error };
}

function ratio(dumpBytes: number | null, objectBytes: number | null): number | null {
  return dumpBytes && objectBytes ? Math.round((dumpBytes / objectBytes) * 100) / 100 : null;
}
