import { shellQuoted } from "../base/text/shell.ts";
import type { RestoreTestCheck, RestoreTestRecord } from "../catalog/records.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";

/**
 * Raises or resolves the alerts about one backup, by the result of the last copy that was tried; the catalog has
 * the results already. `runId` is null if another host made the test.
 */
export async function alertTests(
  context: AlertContext,
  runId: string | null,
  tried: readonly RestoreTestRecord[],
): Promise<void> {
  const last = tried.at(-1);
  if (!last) return;
  const { server, database, backup_id, storage, outcome, target, error, checks } = last;
  const name = `${server}/${database}`;
  const about = { job: "restore-test", run_id: runId, server, database } as const;
  const metadata = {
    backup_id,
    storage,
    target,
    checks: checks.filter(({ is_ok }) => !is_ok).map(withoutRowData),
  };
  if (outcome === "ERROR") {
    await raiseAlert(context, {
      ...about,
      level: "WARNING",
      key: `restore_test error ${name}`,
      message: `the restore test of ${name} could not be carried out: ${error}`,
      metadata: {
        ...metadata,
        hint: `correct the reason, then run: pg321 restore-test ${shellQuoted(name)}`,
      },
    });
    return;
  }
  await resolveAlert(context, `restore_test error ${name}`, `the restore of ${name} is tested again`);
  if (outcome === "PASSED") {
    // A newer backup that failed must be tested again, or give way to a newer one that passes.
    if (await hasNewerFailed(context, last)) return;
    await resolveAlert(
      context,
      `restore_test ${name}`,
      `a restore test of ${name} from ${storage} has passed`,
    );
    return;
  }
  await raiseAlert(context, {
    ...about,
    level: "CRITICAL",
    key: `restore_test ${name}`,
    message: `the restore test of ${name} from ${storage} failed: ${error}`,
    metadata: {
      ...metadata,
      hint: `make a new backup and test it: pg321 backup ${shellQuoted(name)} && pg321 restore-test ${shellQuoted(name)}`,
    },
  });
}

async function hasNewerFailed({ catalog }: AlertContext, passed: RestoreTestRecord): Promise<boolean> {
  const tested = await catalog.restoreTests.standings();
  return tested.some(
    ({ server, database, latest }) =>
      server === passed.server && database === passed.database && latest?.outcome === "FAILED",
  );
}

/** An alert leaves this host: errors of pg_restore may quote rows, and the answers of queries are data. */
function withoutRowData(check: RestoreTestCheck): RestoreTestCheck {
  if (check.name === "pg_restore") return { ...check, detail: null };
  return check.name.startsWith("check ") ? { ...check, found: null, detail: null } : check;
}
