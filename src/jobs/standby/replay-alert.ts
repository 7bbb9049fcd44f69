import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import type { AlertContext } from "../../alerts/alert-context.ts";

const keyOf = (server: string) => `replay ${server}`;

/** Without a context nobody can record it: the log has it. */
export async function alertStillPaused(
  context: AlertContext | undefined,
  server: string,
  reason: string,
): Promise<void> {
  if (!context) return;
  await raiseAlert(context, {
    ...{ level: "CRITICAL", job: "backup", run_id: null, server, database: null, key: keyOf(server) },
    message: `the replay of standby ${server} may still be paused: ${reason}`,
    metadata: { hint: "pg321 resume-replay, or in psql on the standby: SELECT pg_wal_replay_resume()" },
  });
}

export async function alertResumed(context: AlertContext | undefined, server: string): Promise<void> {
  if (context) await resolveAlert(context, keyOf(server), `the replay of ${server} goes on`);
}
