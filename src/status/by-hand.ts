import { endedBy } from "../base/errors.ts";
import type { RunStatus } from "./report.ts";

/** Whether a person ended it with Ctrl-C: that is no failure, and nobody has to be told. */
export function isEndedByHand({ error }: { error: string | null }): boolean {
  return error === endedBy("SIGINT");
}

/** The outcome of a run in words; `FAILED` by a Ctrl-C is no failure. */
export function outcomeWord(run: Pick<RunStatus, "outcome" | "error" | "schedule">): string {
  return run.schedule === null && isEndedByHand(run) ? "interrupted by hand" : run.outcome;
}
