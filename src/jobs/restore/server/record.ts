import { raiseAlert } from "../../../alerts/alert.ts";
import { outsideText } from "../../../base/errors.ts";
import { plural } from "../../../base/text/amounts.ts";
import type { RunOutcome, RunRecord } from "../../../catalog/records.ts";
import { placeText } from "../../../postgres/connection.ts";
import type { JobContext } from "../../context.ts";
import { globalsNotMade } from "../globals-not-made.ts";
import type { RestoredDatabase, ServerRestoreReport, ServerRestoreRequest } from "./report.ts";

/** What the record of the run says; of a run that was cut off, as far as it had come. */
export interface ServerRestoreStatistics extends Record<string, unknown> {
  server: string;
  /** The moment that was asked for; null: the newest backups. */
  at: string | null;
  resume: boolean;
  target_place: string;
  /** Databases by outcome; `unfinished`: not yet, or not any more. */
  restored: number;
  partial: number;
  skipped: number;
  failed: number;
  unfinished: number;
  /** Databases of that moment without a good backup. */
  missing: number;
  /** Numbers only: statements about roles may hold what does not belong into mail. Null: none were restored. */
  globals: { backup_id: string; roles: number; not_made: number } | null;
  databases: Pick<RestoredDatabase, "database" | "backup_id" | "outcome">[];
}

export function serverStatistics(
  { server, at, resume, target }: ServerRestoreRequest,
  { globals, databases, left_out, chosen }: ServerRestoreReport & { chosen: number },
): ServerRestoreStatistics {
  const having = (outcome: RestoredDatabase["outcome"]) =>
    databases.filter((one) => one.outcome === outcome).length;
  return {
    ...{ server, at: at?.toISOString() ?? null, resume, target_place: placeText(target) },
    ...{ restored: having("restored"), partial: having("partial"), skipped: having("skipped") },
    ...{ failed: having("failed"), unfinished: chosen - databases.length },
    missing: missingIn(left_out),
    globals: globals && {
      backup_id: globals.backup_id,
      roles: globals.roles.length,
      not_made: globalsNotMade(globals),
    },
    databases: databases.map(({ database, backup_id, outcome }) => ({ database, backup_id, outcome })),
  };
}

function missingIn(left_out: ServerRestoreReport["left_out"]): number {
  return left_out.filter(({ kind }) => kind === "no_backup").length;
}

/** OK if every database is there, with all roles and memberships; FAILED if none was restored. */
export function serverOutcome({
  databases,
  globals,
  left_out,
}: Pick<ServerRestoreReport, "databases" | "globals" | "left_out">): RunOutcome &
  ("OK" | "PARTIAL" | "FAILED") {
  const having = (wanted: RestoredDatabase["outcome"]) =>
    databases.filter(({ outcome }) => outcome === wanted).length;
  const failed = having("failed");
  const incomplete = failed + having("partial") + missingIn(left_out) + globalsNotMade(globals);
  if (incomplete === 0) return "OK";
  return failed > 0 && failed === databases.length ? "FAILED" : "PARTIAL";
}

/** The event that a whole server was restored; each database has one of its own. */
export async function alertServerRestore(
  context: JobContext,
  run: RunRecord,
  { server, restored, partial, skipped, failed, missing, globals }: ServerRestoreStatistics,
): Promise<void> {
  const parts = [
    `${plural(restored + partial, "database")} restored`,
    ...(partial > 0 ? [`${partial} of them only in part`] : []),
    ...(skipped > 0 ? [`${skipped} there before`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(missing > 0 ? [`${missing} without a good backup`] : []),
    ...(globals === null ? ["no backup of the globals"] : []),
    ...(globals !== null && globals.not_made > 0
      ? [`${plural(globals.not_made, "statement")} about roles and memberships not carried out`]
      : []),
  ];
  await raiseAlert(context, {
    level: run.outcome === "OK" ? "INFO" : run.outcome === "FAILED" ? "CRITICAL" : "WARNING",
    job: "restore",
    run_id: run.id,
    server,
    database: null,
    key: "restore",
    message: `restore of the whole server ${server} ended as ${run.outcome}: ${parts.join(", ")}`,
    metadata: { ...run.statistics },
    isEvent: true,
  });
}

/** The error of a run, for its record: without values of rows. */
export function errorOfServer({ cause }: Pick<ServerRestoreReport, "cause">): string | null {
  return cause === undefined ? null : outsideText(cause);
}
