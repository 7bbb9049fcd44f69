import { isAhead } from "../base/newest-good.ts";
import { durationText } from "../base/text/amounts.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { RestoreTestCheck } from "../catalog/records.ts";
import type { Judged } from "./counted.ts";
import { momentText } from "./counted.ts";
import type { RuleFacts } from "./facts.ts";

/** Characters of a signer's key that are shown; they tell hosts apart. */
const SIGNER_CHARACTERS = 12;

/** 0 errors: the last restore test passed, and is young enough to still prove something. */
export function zeroErrorsMark({ test, testError, demands, name, now }: RuleFacts): Judged {
  const database = shellQuoted(name);
  const testStep = `restore the newest backup into a scratch database, with: pg321 restore-test ${database}`;
  const attempt = testError === null ? "" : `the last restore test could not be carried out: ${testError}`;
  if (test === null && testError !== null)
    return {
      state: "not_set_up",
      sentence: attempt,
      next_step: "remove the cause, then test again, with: pg321 restore-test",
    };
  if (test === null)
    return {
      state: "not_set_up",
      sentence: "no restore test has come to a result yet",
      // Without the name: the databases that have none yet share one paragraph.
      next_step: "restore the newest backups into scratch databases, with: pg321 restore-test",
    };
  const { outcome, finished_at, error, prover, checks } = test;
  const by = prover === null ? "" : ` on another host (signer ${prover.slice(0, SIGNER_CHARACTERS)}…)`;
  const of = `the restore test of ${momentText(finished_at)}${by}`;
  if (outcome !== "PASSED")
    return {
      state: "lost",
      sentence: `${of} failed${error === null ? "" : `: ${error}`}`,
      next_step: `make a new backup and test it, with: pg321 backup ${database} && pg321 restore-test ${database}`,
    };
  const finished = new Date(finished_at);
  if (isAhead(finished, now))
    return {
      state: "lost",
      sentence: `${of} is dated ahead of the clock: its age is unknown`,
      next_step: testStep,
    };
  const maxAgeMs = demands.restore_test_max_age_ms;
  const lost_at = new Date(finished.getTime() + maxAgeMs);
  if (now <= lost_at) return { state: "held", sentence: `${of} found no error${uncounted(checks)}` };
  const tooOld = `${of} is older than ${durationText(maxAgeMs)} (rule.restore_test_max_age)`;
  const sentence = testError === null ? tooOld : `${tooOld}; ${attempt}`;
  return { state: "lost", sentence, next_step: testStep, lost_at };
}

/** A restore without counts from the time of the backup shows that it can be restored, not that all rows are there. */
function uncounted(checks: readonly RestoreTestCheck[]): string {
  const rows = checks.find(({ name }) => name === "rows");
  return rows !== undefined && rows.expected === null
    ? ", but had no counts from the time of the backup to compare with"
    : "";
}
