import type { AlertContext } from "../../alerts/alert-context.ts";
import { alertCopies, type CopyOutcome, type CopyProblem, REPLACE_HINT } from "../../alerts/copy-alerts.ts";
import { alertSuccess } from "../../alerts/run-alerts.ts";
import { plural } from "../../base/text/amounts.ts";
import type { LongList } from "../long-list.ts";
import type { RepairReport, VerifyReport } from "./report.ts";

/** One alert for each database and storage with copies that are not good. */
export async function alertVerify(
  context: AlertContext,
  { run, verdicts }: Pick<VerifyReport, "run" | "verdicts">,
): Promise<void> {
  const outcomes = outcomesOf(verdicts, ({ verdict }) => ({ isGood: verdict === "good", kind: verdict }));
  await alertCopies(context, run, outcomes, problemOf);
  if (run.outcome === "OK")
    await alertSuccess(context, run, `verified ${plural(verdicts.length, "copy", "copies")}`);
}

async function* outcomesOf<T extends Omit<CopyOutcome, "isGood" | "kind">>(
  list: LongList<T>,
  outcomeOf: (one: T) => Pick<CopyOutcome, "isGood" | "kind">,
): AsyncGenerator<CopyOutcome[]> {
  for await (const page of list.pages()) yield page.map((one) => ({ ...one, ...outcomeOf(one) }));
}

/** What is wrong with copies, by their verdicts: a storage that does not answer says nothing about its copies. */
function problemOf(verdicts: ReadonlySet<string>, bad: number): CopyProblem {
  if (verdicts.size === 1 && verdicts.has("unreachable"))
    return {
      text: "could not be checked",
      hint: "check that the storage answers, then run: pg321 verify",
    };
  if (verdicts.size === 1 && verdicts.has("unopened"))
    return {
      text: "cannot be opened with the keys of this host",
      hint: "set encryption.identity_file to the identity that opens them; pg321 doctor shows whether it does",
    };
  const [first] = verdicts;
  const are = bad === 1 ? "is" : "are";
  const isOne = verdicts.size === 1 && first !== undefined;
  return { text: `${are} ${isOne ? first : "not good"}`, hint: REPLACE_HINT };
}

/** One alert for each database and storage whose copies could not be filled. */
export async function alertRepair(context: AlertContext, { run, results }: RepairReport): Promise<void> {
  const outcomes = outcomesOf(results, ({ outcome }) => ({ isGood: outcome === "filled", kind: outcome }));
  await alertCopies(context, run, outcomes, () => ({ text: "could not be filled", hint: REPLACE_HINT }));
  const done =
    results.length === 0 ? "nothing to repair" : `filled ${plural(results.length, "copy", "copies")}`;
  if (run.outcome === "OK") await alertSuccess(context, run, done);
}
