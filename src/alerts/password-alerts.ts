import { backupName, GLOBALS_DATABASE } from "../catalog/globals.ts";
import type { BackupRecord } from "../catalog/records.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";

/** Earlier globals that are searched for passwords; an alert is open long before there are so many without. */
const EARLIER = 100;

/** The key of the alert about the backup of a server's globals. */
export function globalsKey(server: string): string {
  return `backup ${backupName({ server, database: GLOBALS_DATABASE })}`;
}

/** The key of the alert about globals that have lost the passwords of roles. */
export function passwordsKey(server: string): string {
  return `passwords ${server}`;
}

/**
 * Raises an alert if globals have no passwords although earlier ones have: retention removes the earlier ones in time.
 * Resolves it when passwords are back. A server whose globals never had any raises none.
 */
export async function alertPasswords(context: AlertContext, backup: BackupRecord): Promise<void> {
  const { kind, server, run_id, id } = backup;
  if (kind !== "globals") return;
  const key = passwordsKey(server);
  if (hasPasswords(backup))
    return resolveAlert(context, key, `the globals of ${server} have the passwords of roles again`);
  const earlier = await context.catalog.backups({
    ...{ server, database: GLOBALS_DATABASE, status: ["VERIFIED", "PARTIAL"] },
    ...{ startedBy: backup.started_at, limit: EARLIER },
  });
  const last = earlier.find((one) => one.id !== id && hasPasswords(one));
  const isOpen = (await context.catalog.alerts({ open: true })).some((alert) => alert.key === key);
  if (!last && !isOpen) return;
  await raiseAlert(context, {
    ...{ level: "WARNING", job: "backup", run_id, server, database: null, key },
    message: `the globals of ${server} are backed up without the passwords of roles, which earlier ones have`,
    metadata: {
      backup_id: id,
      last_with_passwords: last ? { id: last.id, started_at: last.started_at } : null,
      hint: `${hintFor(last)}; if passwords are no longer wanted: pg321 alerts ack`,
    },
  });
}

/** The role may have lost the right, or another role may connect now. */
function hintFor(last: BackupRecord | undefined): string {
  const grant =
    "let the role of the [[server]] read pg_authid again: pg321 doctor, and the log of the backup, have the GRANT";
  return last ? `${grant}. To keep the last passwords: pg321 hold ${last.id.slice(0, 8)}` : grant;
}

function hasPasswords({ facts }: BackupRecord): boolean {
  return facts?.["passwords"] === true;
}
