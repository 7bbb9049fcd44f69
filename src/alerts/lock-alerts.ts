import type { Job } from "../config/config.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";

/** How the keys of these alerts begin: `lock storage r2`. */
export const LOCK_KEY = "lock storage ";

/**
 * Raises the one alert about a storage whose copies are not locked although the config asks for it, or resolves it if
 * `error` is null. Never throws.
 */
export async function alertLock(
  context: AlertContext,
  job: Job,
  { name }: { name: string },
  error: string | null,
  backupIds: readonly string[] = [],
): Promise<void> {
  const key = `${LOCK_KEY}${name}`;
  if (error === null)
    return resolveAlert(context, key, `storage "${name}" confirms the locks of copies again`);
  context.log.warning("a copy is not locked", { storage: name, error });
  await raiseAlert(context, {
    level: "WARNING",
    job,
    run_id: null,
    server: null,
    database: null,
    key,
    message: `copies in storage "${name}" are not immutable: ${error}`,
    metadata: {
      storage: name,
      backup_ids: backupIds,
      hint: "the backups themselves are stored; check the bucket and the key with: pg321 doctor --probe-lock",
    },
  });
}
