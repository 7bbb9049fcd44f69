import type { BackupRecord } from "../catalog/records.ts";
import { leftOutOf } from "../postgres/counts/left-out.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";

/** Raises an alert if patterns of the config matched no table or schema of a database, and resolves it when all do. */
export async function alertUnmatched(context: AlertContext, backup: BackupRecord): Promise<void> {
  const { server, database, run_id } = backup;
  if (backup.kind !== "dump") return;
  const name = `${server}/${database}`;
  const key = `unmatched ${name}`;
  const unmatched = leftOutOf(backup.facts)?.unmatched ?? [];
  if (unmatched.length === 0)
    return resolveAlert(context, key, `every pattern of the config matches a table or schema of ${name}`);
  const patterns = unmatched.map((written) => `"${written}"`).join(", ");
  await raiseAlert(context, {
    ...{ level: "WARNING", job: "backup", run_id, server, database, key },
    message: `${patterns} in the [[database]] tables for ${name} ${unmatched.length === 1 ? "matches" : "match"} no table or schema`,
    metadata: {
      unmatched,
      hint: "correct the patterns in the config: names are case-sensitive; pg321 check shows which line holds",
    },
    isWithoutReminders: true,
  });
}
