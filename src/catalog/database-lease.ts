import type { Clock } from "../base/clock.ts";
import type { Catalog } from "./catalog.ts";
import { isHeld } from "./lease.ts";
import type { BackupRecord } from "./records.ts";

/** Name of the lease that a job holds while it changes the backups of a database. */
export function leaseName(server: string, database: string): string {
  return `${server}/${database}`;
}

/** Name of the lease that a run holds from beginning to end, so that other processes see that it is alive. */
export function runLeaseName(id: string): string {
  return `run ${id}`;
}

/** Whether a lease is that of a run; the name of a database's lease contains a slash. */
export function isRunLease(name: string): boolean {
  return /^run [^/]*$/.test(name);
}

/** Whether a living run works on the backups of this database. */
export async function isLeased(
  context: { catalog: Catalog; clock: Clock },
  backup: Pick<BackupRecord, "server" | "database">,
): Promise<boolean> {
  const now = (await context.catalog.leaseTime(context.clock)).toISOString();
  const leases = await context.catalog.leases();
  const name = leaseName(backup.server, backup.database);
  return leases.some((lease) => lease.name === name && isHeld(lease, now));
}

/**
 * A backup whose record said RUNNING: INTERRUPTED if no run works on it any more, otherwise as its record is now. A backup
 * has its lease before its record and until after its end, so the record is read again after the leases: the backup may have
 * ended meanwhile.
 */
export async function settledBackup(
  context: { catalog: Catalog; clock: Clock },
  backup: BackupRecord,
): Promise<BackupRecord> {
  if (await isLeased(context, backup)) return backup;
  const now = (await context.catalog.backup(backup.id)) ?? backup;
  return now.status === "RUNNING" ? { ...now, status: "INTERRUPTED" } : now;
}
