import { isAhead } from "../base/newest-good.ts";
import { durationText } from "../base/text/amounts.ts";
import type { Judged } from "./counted.ts";
import { momentText } from "./counted.ts";
import type { RuleFacts } from "./facts.ts";

/** 0 errors: the last restore test passed, and is young enough to still prove something. */
export function zeroErrorsMark({ test, demands, now }: RuleFacts): Judged {
  const next_step = "restore the newest backup into a scratch database: docs/rule.md";
  if (test === null) return { state: "not_set_up", sentence: "no restore test has been made yet", next_step };
  const { outcome, finished_at, error, prover } = test;
  const by = prover === null ? "" : ` on another host (${prover})`;
  const of = `the restore test of ${momentText(finished_at)}${by}`;
  if (outcome !== "PASSED")
    return { state: "lost", sentence: `${of} failed${error === null ? "" : `: ${error}`}`, next_step };
  const finished = new Date(finished_at);
  if (isAhead(finished, now))
    return { state: "lost", sentence: `${of} is dated ahead of the clock: its age is unknown`, next_step };
  const maxAgeMs = demands.restore_test_max_age_ms;
  const lost_at = new Date(finished.getTime() + maxAgeMs);
  if (now <= lost_at) return { state: "held", sentence: `${of} found no error` };
  const sentence = `${of} is older than ${durationText(maxAgeMs)} (rule.restore_test_max_age)`;
  return { state: "lost", sentence, next_step, lost_at };
}
