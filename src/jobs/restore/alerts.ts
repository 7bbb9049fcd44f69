import { raiseAlert } from "../../alerts/alert.ts";
import type { AlertContext } from "../../alerts/alert-context.ts";
import { plural } from "../../base/text/amounts.ts";
import type { RunRecord } from "../../catalog/records.ts";
import { textOfName } from "../../postgres/restore/left-out.ts";
import { faultText } from "../load/faults.ts";
import { withoutValues } from "../load/without-values.ts";
import { globalsNotMade } from "./globals-not-made.ts";
import type { RestoreReport } from "./report.ts";
import type { GlobalsReport } from "./with-globals.ts";

/** The most errors in the message, and in the metadata of a notice: mail, chats and webhooks have size limits. */
const ERRORS_IN_MESSAGE = 3;

const ERRORS_IN_METADATA = 50;

export async function alertRestore(context: AlertContext, report: RestoreReport): Promise<void> {
  const { run, backup, errors_ignored, left_out, missing_dependents, unfilled, empty_tables } = report;
  const errors = report.errors.map(withoutValues);
  const { server, database } = backup;
  const named = errors.slice(0, ERRORS_IN_MESSAGE).map(faultText).join("; ");
  const more = errors.length > ERRORS_IN_MESSAGE ? "; …" : "";
  const ignored =
    errors_ignored > 0 ? `; ${plural(errors_ignored, "error")} of pg_restore ignored: ${named}${more}` : "";
  const empty = unfilled.slice(0, ERRORS_IN_MESSAGE).join(", ");
  const rowless =
    unfilled.length > 0 ? `; without rows: ${empty}${unfilled.length > ERRORS_IN_MESSAGE ? ", …" : ""}` : "";
  const few = left_out.slice(0, ERRORS_IN_MESSAGE).map(({ entry }) => textOfName(entry));
  const others = left_out.length > ERRORS_IN_MESSAGE ? ", …" : "";
  const lost = left_out.length > 0 ? `; left out: ${few.join(", ")}${others}` : "";
  const emptied =
    empty_tables.length > 0 ? `; ${plural(empty_tables.length, "table")} without the recorded rows` : "";
  const notMade = globalsNotMade(report.globals);
  const roles =
    notMade > 0 ? `; ${plural(notMade, "statement")} about roles and memberships not carried out` : "";
  await raiseAlert(context, {
    level: run.outcome === "OK" ? "INFO" : "WARNING",
    job: "restore",
    run_id: run.id,
    server,
    database,
    key: "restore",
    message: `${run.outcome === "FAILED" ? "restored no table of" : "restored"} backup ${backup.id} of ${server}/${database}${ignored}${rowless}${emptied}${lost}${roles}`,
    // The run's record has all errors, with values of rows.
    metadata: {
      ...withoutStatements(run.statistics),
      errors: errors.slice(0, ERRORS_IN_METADATA),
      left_out: left_out.slice(0, ERRORS_IN_METADATA),
      unfilled: unfilled.slice(0, ERRORS_IN_METADATA),
      missing_dependents: missing_dependents.slice(0, ERRORS_IN_METADATA),
    },
    isEvent: true,
  });
}

/** Statistics without the statements about roles, which may hold secrets and are not for mail and webhooks. */
export function withoutStatements(statistics: RunRecord["statistics"]): Record<string, unknown> {
  const globals = statistics?.["globals"];
  if (typeof globals !== "object" || globals === null) return { ...statistics };
  const { statements: _, skipped, ...rest } = globals as Partial<GlobalsReport>;
  return { ...statistics, globals: { ...rest, skipped: skipped?.map(({ error }) => ({ error })) ?? [] } };
}
