import { shellQuoted } from "../base/text/shell.ts";
import type { StorageConfig } from "../config/config.ts";
import type { Mark, RuleFacts, RuleName } from "./facts.ts";
import { archivesOf } from "./setup.ts";

/** The judgement on one mark, without the parts that are the same for all. */
export type Judged = Pick<Mark, "state" | "sentence"> & Partial<Pick<Mark, "next_step" | "lost_at">>;

/** The judgement on a database without any good backup: a mark that never was held is not lost. */
export function withoutBackup(facts: RuleFacts, rule: RuleName): Judged {
  if (facts.had.includes(rule))
    return { state: "lost", sentence: "there is no good backup left", next_step: backupStep(facts) };
  const next_step = "make the first backup, with: pg321 backup";
  return { state: "not_set_up", sentence: "there is no good backup yet", next_step };
}

/** The storages of the config that have a confirmed copy of the newest good backup, in the order of the config. */
export function countedIn({ storages, backup }: Pick<RuleFacts, "storages" | "backup">): StorageConfig[] {
  const confirmed = (backup?.copies ?? []).filter(({ state }) => state === "CONFIRMED");
  return storages.filter(({ name }) => confirmed.some(({ storage }) => storage === name));
}

/**
 * The judgement on a mark that copies are missing for. If the backup is older than a storage that lacks it, the mark has
 * not been possible yet, so it is not lost.
 */
export function withoutCopies(
  { had, backup, storages }: RuleFacts,
  rule: RuleName,
  judged: Pick<Mark, "sentence" | "next_step">,
): Judged {
  const archives = archivesOf(storages);
  const isNew = storages.some(
    ({ name }) => !archives.includes(name) && !backup?.copies.some(({ storage }) => storage === name),
  );
  return { ...judged, state: isNew && !had.includes(rule) ? "not_set_up" : "lost" };
}

export function backupStep({ name }: Pick<RuleFacts, "name">): string {
  return `make a new backup, with: pg321 backup ${shellQuoted(name)}`;
}

/** `2026-11-23 03:00 UTC` */
export function momentText(at: string): string {
  return `${at.slice(0, 16).replace("T", " ")} UTC`;
}
