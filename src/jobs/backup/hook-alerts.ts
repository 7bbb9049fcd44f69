import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import type { AlertContext } from "../../alerts/alert-context.ts";
import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import { hookRunsOf } from "./hook-runs.ts";

/** Raises an alert if hooks around a good backup failed, and resolves it when none does. */
export async function alertHooks(context: AlertContext, backup: BackupRecord): Promise<void> {
  const { server, database, run_id, id } = backup;
  if (backup.kind !== "dump") return;
  const name = backupName(backup);
  const key = `hook ${name}`;
  const { pre_backup = [], post_backup = [] } = hookRunsOf(backup) ?? {};
  const errors = [...pre_backup, ...post_backup].flatMap(({ summary }) => summary ?? []);
  if (errors.length === 0)
    return resolveAlert(context, key, `every hook of the backup of ${name} succeeds again`);
  await raiseAlert(context, {
    ...{ level: "WARNING", job: "backup", run_id, server, database, key },
    message: `the backup of ${name} was made, but ${errors.join("; ")}`,
    metadata: { backup_id: id, hint: `correct the hook; its output: pg321 show ${id.slice(0, 8)}` },
  });
}
