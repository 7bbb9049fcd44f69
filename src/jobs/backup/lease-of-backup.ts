import { GLOBALS_WAIT_MS, LEASE_WAIT_MS } from "../../base/limits.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import type { Held } from "../../catalog/lease.ts";
import { awaitLease } from "../../catalog/lease.ts";
import type { BackupKind } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";

interface BackupToMake {
  runId: string;
  server: string;
  database: string;
  kind: BackupKind;
}

/**
 * Waits for runs that hold the lease only briefly: those that remove or fill copies, and for globals every run, also
 * several at once, because globals take seconds and runs of different databases all back them up; but not long, because
 * the databases of the run come after them. Throws code `locked` if another backup of the database is running, or the
 * wait was too long.
 */
export function awaitBackupLease(
  { catalog, clock, host, log, pid, signal }: JobContext,
  { runId, server, database, kind }: BackupToMake,
): Promise<Held> {
  return awaitLease(
    catalog,
    { name: leaseName(server, database), runId, host, pid },
    {
      ...{ clock, signal },
      isShared: kind === "globals",
      waitMs: kind === "globals" ? GLOBALS_WAIT_MS : LEASE_WAIT_MS,
      isBrief: async ({ run_id }) => {
        if (kind === "globals") return true;
        const backups = await catalog.runs({ job: "backup", outcome: "RUNNING" });
        return !backups.some(({ id }) => id === run_id);
      },
      onWait: ({ run_id }) =>
        log.info("a backup is waiting for another run on its database", {
          ...{ server, database, holder_run_id: run_id },
        }),
    },
  );
}
