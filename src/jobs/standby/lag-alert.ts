import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import type { AlertContext } from "../../alerts/alert-context.ts";
import { durationText } from "../../base/text/amounts.ts";
import type { ServerConfig } from "../../config/config.ts";

/** Raises or resolves the alert about a standby that lay too far behind its primary when its databases were dumped. */
export async function alertLag(
  context: AlertContext,
  runId: string,
  { name, standby }: ServerConfig,
  lagMs: number,
): Promise<void> {
  const key = `standby lag ${name}`;
  const lag = durationText(lagMs);
  if (lagMs <= standby.max_lag_ms) return resolveAlert(context, key, `standby ${name} is ${lag} behind`);
  await raiseAlert(context, {
    ...{ level: "WARNING", job: "backup", run_id: runId, server: name, database: null, key },
    message: `standby ${name} was ${lag} behind its primary when it was backed up, more than standby.max_lag (${durationText(standby.max_lag_ms)})`,
    metadata: {
      lag_ms: lagMs,
      hint: "the backups lack what the standby had not replayed: check pg_stat_wal_receiver there and pg_stat_replication on the primary",
    },
  });
}
