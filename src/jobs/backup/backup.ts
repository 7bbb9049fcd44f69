import { Pg321Error } from "../../base/errors.ts";
import type { BackupStatus, RunOutcome, RunRecord } from "../../catalog/records.ts";
import type { Config } from "../../config/config.ts";
import { EXAMPLE_RECIPIENT } from "../../config/load.ts";
import type { JobContext } from "../context.ts";
import { reconcile } from "../copies/reconcile.ts";
import { recognizeStorages } from "../identity/storage-identity.ts";
import { recordRun } from "../record-run.ts";
import { alertBackup } from "./alerts.ts";
import type { BackupReport, BackupResult, BackupStatistics } from "./report.ts";
import { BackupRounds } from "./rounds.ts";
import type { Selects } from "./targets.ts";

/** Overrides may leave a schedule without a database. Without a schedule no run comes to this. */
const IDLE = "the schedule has no database to back up";

/** Calls `round`, and calls it again if it resolves to true and there is to be another try. */
export type Repeat = (round: () => Promise<boolean>) => Promise<void>;

export interface BackupOptions {
  /** Which databases it is about; all that are configured where not given. */
  selects?: Selects;
  /** Decides how often and when databases that failed are tried again, within the same run; never by default. */
  repeat?: Repeat;
  /** Not the whole job, for a dead man's switch. */
  isPart?: boolean;
}

/**
 * Backs up every configured database, or those that are named (`app` or `server/app`). One that fails does
 * not stop the others. Throws only when nothing could begin: an unknown name, a recipient whose key is lost.
 */
export async function runBackup(
  context: JobContext,
  names: readonly string[],
  options: BackupOptions = {},
): Promise<BackupReport> {
  refuseLostKey(context.config);
  let results: BackupResult[] = [];
  let listed: string[] = [];
  const { selects = () => true, repeat = async (round) => void (await round()) } = options;
  const work = async (run: RunRecord) => {
    const recognized = await recognizeStorages(context, "backup");
    await reconcile(recognized, selects);
    const rounds = new BackupRounds(recognized, run.id, { names, selects });
    await repeat(() => rounds.next());
    ({ results, listed } = rounds);
    const statistics = count(results);
    return {
      outcome: outcomeOf(statistics),
      statistics,
      error: results.find((result) => result.error)?.error ?? (results.length === 0 ? IDLE : null),
    };
  };
  const isPart = options.isPart === true || names.length > 0;
  const { run } = await recordRun(context, "backup", work, { isPart });
  await alertBackup(context, { run, results, listed });
  return { run, results, listed };
}

/** A backup that nobody can ever open looks like one and is worse than none. Throws code `usage`. */
export function refuseLostKey({ encryption, file }: Pick<Config, "encryption" | "file">): void {
  const { mode, recipients } = encryption;
  if (mode === "none" || recipients.some((recipient) => recipient !== EXAMPLE_RECIPIENT)) return;
  throw new Pg321Error(
    "usage",
    `${file}: encryption.recipients holds only the example's, whose secret key nobody has`,
    { hint: "make your own with pg321 key generate, and put its recipient there" },
  );
}

function count(results: readonly BackupResult[]): BackupStatistics {
  const having = (status: BackupStatus) => results.filter((result) => result.status === status).length;
  return {
    databases: results.length,
    verified: having("VERIFIED"),
    partial: having("PARTIAL"),
    failed: having("FAILED"),
  };
}

function outcomeOf({ databases, verified, failed }: BackupStatistics): RunOutcome {
  if (databases === 0) return "IDLE";
  if (verified === databases) return "OK";
  return failed === databases ? "FAILED" : "PARTIAL";
}
