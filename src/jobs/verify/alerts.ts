import type { AlertContext } from "../../alerts/alert-context.ts";
import { alertCopies } from "../../alerts/copy-alerts.ts";
import { alertSuccess } from "../../alerts/run-alerts.ts";
import { plural } from "../../base/text/amounts.ts";
import type { RepairReport, VerifyReport } from "./report.ts";

/** One alert for each database and storage with copies that are not good. */
export async function alertVerify(context: AlertContext, { run, verdicts }: VerifyReport): Promise<void> {
  const outcomes = verdicts.map((verdict) => ({ ...verdict, isGood: verdict.verdict === "good" }));
  await alertCopies(context, run, outcomes, (bad) => (bad === 1 ? "is not good" : "are not good"));
  if (run.outcome === "OK")
    await alertSuccess(context, run, `verified ${plural(verdicts.length, "copy", "copies")}`);
}

/** One alert for each database and storage whose copies could not be filled. */
export async function alertRepair(context: AlertContext, { run, results }: RepairReport): Promise<void> {
  const outcomes = results.map((result) => ({ ...result, isGood: result.outcome === "filled" }));
  await alertCopies(context, run, outcomes, () => "could not be filled");
  if (run.outcome === "OK")
    await alertSuccess(context, run, `filled ${plural(results.length, "copy", "copies")}`);
}
