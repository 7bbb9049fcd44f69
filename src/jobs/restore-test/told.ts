import { plural } from "../../base/text/amounts.ts";
import type { RestoreTestCheck, RestoreTestRecord } from "../../catalog/records.ts";
import type { RestoreFault } from "../load/faults.ts";
import { kindText } from "../load/faults.ts";
import { listOf } from "./checks.ts";

/*
 * What is shown of a restore test. Its error leaves this host, in alerts and on the status page, so it has names and
 * numbers, but no value of a row and no answer of a query; `restore-test` and `show` read those from the catalog.
 */

/** The error of a test with failed checks; `bad` are the errors of pg_restore. */
export function errorOf(checks: readonly RestoreTestCheck[], bad: readonly RestoreFault[]): string {
  return checks
    .filter(({ is_ok }) => !is_ok)
    .map((check) => {
      if (check.name === "pg_restore")
        return `pg_restore: ${plural(bad.length, "error")}: ${listOf(bad.map(kindText))}`;
      return check.name.startsWith("check ") ? `${check.name}: not the expected answer` : checkText(check);
    })
    .join("; ");
}

/** For a terminal of this host: the error of a test with all that its checks found; null if there is none. */
export function checkTexts({
  checks,
  error,
  outcome,
}: Pick<RestoreTestRecord, "checks" | "error" | "outcome">): string | null {
  const failed = checks.filter(({ is_ok }) => !is_ok);
  return outcome === "FAILED" && failed.length > 0 ? failed.map(checkText).join("; ") : error;
}

/** `public.orders: 1,000 rows at the backup, 999 restored`, or name, expectation and finding of another check. */
function checkText({ name, expected, found, detail }: RestoreTestCheck): string {
  return detail ?? `${name}: expected ${expected}, found ${found}`;
}
