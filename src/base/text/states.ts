import { endedBy } from "../errors.ts";

/*
 * The words for states that people read in tables, on the page and in messages. Records, JSON, metrics and `--status`
 * have the states themselves.
 */

/** VERIFIED is "complete": it says that every copy is stored, not that one was read back. */
const BACKUP_WORDS: Readonly<Record<string, string>> = {
  RUNNING: "running",
  VERIFIED: "complete",
  PARTIAL: "partial",
  FAILED: "failed",
  INTERRUPTED: "interrupted",
};
const COPY_WORDS: Readonly<Record<string, string>> = {
  INTENDED: "not stored yet",
  CONFIRMED: "stored",
  FAILED: "failed",
  MISSING: "missing",
  DAMAGED: "damaged",
  DELETING: "being deleted",
  HIDDEN: "hidden",
  DELETED: "deleted",
};
/** Counts in the statistics of runs whose names are states. */
const COUNT_WORDS: Readonly<Record<string, string>> = { verified: "complete" };
/** The error in records of earlier versions. */
const ENDED_BEFORE = "ended by SIGINT";

/** Whether a person ended it with Ctrl-C: that is no failure, and nobody has to be told. */
export function isEndedByHand({ error }: { error: string | null }): boolean {
  return error === endedBy("SIGINT") || error === ENDED_BEFORE;
}

/** The status of a backup: `complete`, `failed`, `interrupted by hand`. */
export function backupWord({ status, error }: { status: string; error: string | null }): string {
  return isEndedByHand({ error }) ? endedBy("SIGINT") : (BACKUP_WORDS[status] ?? status.toLowerCase());
}

/** The outcome of a run; `FAILED` by a Ctrl-C is no failure. */
export function outcomeWord(run: { outcome: string; error: string | null; schedule: string | null }): string {
  return run.schedule === null && isEndedByHand(run) ? endedBy("SIGINT") : run.outcome;
}

/** The state of a copy: `stored`, `missing`. */
export function copyWord(state: string): string {
  return COPY_WORDS[state] ?? state.toLowerCase().replaceAll("_", " ");
}

/** The name of a count in the statistics of a run: `complete` for `verified`. */
export function countWord(name: string): string {
  return COUNT_WORDS[name] ?? name;
}

/** The status of the records that has this word (`complete`) or this name, in upper or lower case. */
export function backupStatusOf(written: string): string {
  const word = written.toLowerCase();
  const [status = written.toUpperCase()] =
    Object.entries(BACKUP_WORDS).find(([, name]) => name === word) ?? [];
  return status;
}

/** The state of a copy that has this word (`stored`, `being deleted`, `being-deleted`) or this name. */
export function copyStateOf(written: string): string {
  const word = written.toLowerCase().replaceAll("-", " ");
  const [state = written.toUpperCase()] = Object.entries(COPY_WORDS).find(([, name]) => name === word) ?? [];
  return state;
}
