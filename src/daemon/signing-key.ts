import { raiseAlert, resolveAlert } from "../alerts/alert.ts";
import type { JobContext } from "../jobs/context.ts";
import { noSigningKey } from "../jobs/keys.ts";
import { schedulesOf } from "../jobs/schedules.ts";

/** The key of the alert about a missing signing key. */
const SIGNING_KEY = "signing key";

/**
 * Logs that the scheduled backups of this host will fail because it has no signing key, and raises an alert: the first of
 * them may be due much later. Resolves the alert if the key is there, or nothing needs it. Never throws.
 */
export async function alertSigningKey(context: JobContext): Promise<void> {
  const { config, keys, log } = context;
  const isScheduled = schedulesOf(config).some(({ job }) => job === "backup");
  const isNeeded = config.encryption.mode === "age" && config.server.length > 0 && isScheduled;
  if (keys.signingKey !== undefined)
    return resolveAlert(context, SIGNING_KEY, "the daemon has loaded the signing key");
  if (!isNeeded)
    return resolveAlert(context, SIGNING_KEY, "no scheduled backup needs a signing key any more");
  const { message, hint } = noSigningKey(config.encryption);
  log.error("every scheduled backup will fail", { error: message, hint });
  await raiseAlert(context, {
    ...{ level: "CRITICAL", job: "backup", key: SIGNING_KEY },
    ...{ run_id: null, server: null, database: null },
    message: `every scheduled backup will fail: ${message}`,
    metadata: { hint },
  });
}
