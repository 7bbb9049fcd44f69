import { Pg321Error } from "../../base/errors.ts";
import { isGlobalsPlace } from "../../catalog/globals.ts";
import type { BackupStatus, RunOutcome, RunRecord } from "../../catalog/records.ts";
import type { Config } from "../../config/config.ts";
import { EXAMPLE_RECIPIENT } from "../../config/load.ts";
import type { JobContext } from "../context.ts";
import { reconcile } from "../copies/reconcile.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { requireOwner } from "../owner.ts";
import { recordRun } from "../record-run.ts";
import { registerHost } from "../register-host.ts";
import { resumeLeft } from "../standby/paused-replay.ts";
import { alertBackup } from "./alerts.ts";
import type { BackupReport, BackupResult, BackupStatistics } from "./report.ts";
import { BackupRounds } from "./rounds.ts";
import type { Selects } from "./targets.ts";

/** Possible only in a scheduled run: overrides may leave its schedule without a database. */
const IDLE = "the schedule has no database to back up";

/** Calls `round`, and calls it again if it resolved to true and another attempt is wanted. */
export type Repeat = (round: () => Promise<boolean>) => Promise<void>;

export interface BackupOptions {
  /** The databases to back up; by default all configured ones. */
  selects?: Selects;
  /** Decides how often and when failed databases are tried again within the same run; never by default. */
  repeat?: Repeat;
  /** Not the whole job, so not reported to dead man's switches. */
  isPart?: boolean;
  /** Why no database is selected. */
  idle?: string | undefined;
}

/**
 * Backs up every configured database, or only the named ones (`app` or `server/app`). A failure of one does not stop
 * the others. Throws only if no backup could start: an unknown name, or the example's recipient.
 */
export async function runBackup(
  context: JobContext,
  names: readonly string[],
  options: BackupOptions = {},
): Promise<BackupReport> {
  requireOwner("backup", context.config);
  await registerHost(context);
  refuseLostKey(context.config);
  let results: BackupResult[] = [];
  let globals: BackupResult[] = [];
  let listed: string[] = [];
  const { selects = () => true, repeat = async (round) => void (await round()) } = options;
  const work = async (run: RunRecord) => {
    await resumeLeft({ ...context, alerts: context });
    const recognized = await recognizeStorages(context, "backup");
    await reconcile(recognized, selects);
    const rounds = new BackupRounds(recognized, run.id, { names, selects });
    await repeat(() => rounds.next());
    ({ listed } = rounds);
    [results, globals] = parted(rounds.results);
    const statistics = count(results);
    return {
      outcome: outcomeOf(statistics, globals),
      statistics,
      error:
        [...results, ...globals].find((result) => result.error)?.error ??
        (results.length === 0 ? (options.idle ?? IDLE) : null),
    };
  };
  const isPart = options.isPart === true || names.length > 0;
  const { run } = await recordRun(context, "backup", work, { isPart });
  await alertBackup(context, { run, results, globals, listed });
  return { run, results, globals, listed };
}

/**
 * Refuses the recipient of the example config: nobody could ever open such a backup, which is worse than none. Throws
 * code `usage`.
 */
export function refuseLostKey({ encryption, file }: Pick<Config, "encryption" | "file">): void {
  const { mode, recipients } = encryption;
  if (mode === "none" || recipients.some((recipient) => recipient !== EXAMPLE_RECIPIENT)) return;
  throw new Pg321Error(
    "usage",
    `${file}: encryption.recipients has only the recipient of the example config, whose secret key nobody has`,
    { hint: "make your own keys with pg321 key generate, and put the printed recipient there" },
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

/** The results of databases, and those of globals. */
function parted(all: readonly BackupResult[]): [BackupResult[], BackupResult[]] {
  return [all.filter((one) => !isGlobalsPlace(one)), all.filter(isGlobalsPlace)];
}

function outcomeOf(
  { databases, verified, failed }: BackupStatistics,
  globals: readonly BackupResult[],
): RunOutcome {
  if (databases === 0) return "IDLE";
  if (verified === databases) return globals.every(({ status }) => status === "VERIFIED") ? "OK" : "PARTIAL";
  return failed === databases ? "FAILED" : "PARTIAL";
}
