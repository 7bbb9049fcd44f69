import { plural } from "../base/text/amounts.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { RunRecord } from "../catalog/records.ts";
import { alertJob, type Job } from "../config/config.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";
import { alertStorages } from "./storage-alerts.ts";

/**
 * Raises the alert about a copy that a job found damaged or missing while it read it for another purpose. It is
 * the same problem, and has the same key, as when a verification finds it.
 */
export async function alertDamage(
  context: AlertContext,
  job: Job,
  copy: Pick<CopyOutcome, "server" | "database" | "storage"> & { id: string; error: string },
): Promise<void> {
  const { id, server, database, storage, error } = copy;
  const isLost = (await context.catalog.backup(id))?.status === "FAILED";
  await raiseAlert(context, {
    level: isLost ? "CRITICAL" : "WARNING",
    job,
    run_id: null,
    server,
    database,
    key: `verify ${placeKey(copy)}`,
    message:
      `a copy of ${server}/${database} in ${storage} is damaged or missing` +
      `${isLost ? "; the backup has no good copy left" : ""}: ${error}`,
    metadata: {
      storage,
      backup_ids: [id],
      lost: isLost ? 1 : 0,
      hint: isLost ? newBackupHint(copy) : REPLACE_HINT,
    },
  });
}

export interface CopyOutcome {
  backup_id: string;
  server: string;
  database: string;
  storage: string;
  isGood: boolean;
  error: string | null;
  /** The storage's own advice about the error. */
  hint?: string | null;
}

/** What is wrong with some copies of one storage. */
export interface CopyProblem {
  /** Completes "2 of 3 copies of main/app in r2 …". */
  text: string;
  /** The next step while another good copy exists. */
  hint: string;
}

/** The next step for copies that were found damaged or missing, or could not be filled. */
export const REPLACE_HINT =
  "correct the reason if the storage is at fault, then replace the copies from good ones, with: pg321 repair";

/** One alert for each database and storage with bad copies; resolves those of the others. */
export async function alertCopies<O extends CopyOutcome>(
  context: AlertContext,
  run: RunRecord,
  outcomes: readonly O[],
  describe: (bad: readonly O[]) => CopyProblem,
): Promise<void> {
  const damaged = await placesWithDamage(context);
  const isTotal = outcomes.every(({ isGood }) => !isGood);
  const covered = await alertWholeStorages(context, run, outcomes, { describe, damaged, isTotal });
  for (const [place, copies] of Map.groupBy(outcomes, placeKey)) {
    if (copies.some((copy) => covered.has(copy))) continue;
    const resolution = placeText(copies);
    const bad = copies.filter(({ isGood }) => !isGood);
    const [first] = bad;
    if (!first) {
      // A copy that this run did not read may still be damaged.
      if (damaged.has(place)) continue;
      for (const job of ["verify", "repair"]) await resolveAlert(context, `${job} ${place}`, resolution);
      continue;
    }
    const { server, database, storage } = first;
    const lost = await lostAmong(context, bad);
    const { text, hint } = describe(bad);
    const loss = lost > 0 ? `; ${plural(lost, "backup has", "backups have")} no good copy left` : "";
    await raiseAlert(context, {
      level: isTotal || lost > 0 ? "CRITICAL" : "WARNING",
      job: alertJob(run.job),
      run_id: run.id,
      server,
      database,
      key: `${run.job} ${place}`,
      message: `${shareText(bad.length, copies.length)} of ${server}/${database} in ${storage} ${text}${loss}: ${first.error}`,
      metadata: {
        storage,
        backup_ids: bad.slice(0, 20).map(({ backup_id }) => backup_id),
        lost,
        statistics: run.statistics,
        hint: lost > 0 ? newBackupHint(first) : hint,
      },
    });
  }
}

interface CopyReport<O> {
  describe: (bad: readonly O[]) => CopyProblem;
  /** Places with damage, as `placeKey`. */
  damaged: ReadonlySet<string>;
  /** Whether no copy at all was good. */
  isTotal: boolean;
}

/** One alert for a storage in which no copy of several databases was good: the storage is the cause. */
async function alertWholeStorages<O extends CopyOutcome>(
  context: AlertContext,
  run: RunRecord,
  outcomes: readonly O[],
  { describe, damaged, isTotal }: CopyReport<O>,
): Promise<Set<O>> {
  let covered = new Set<O>();
  for (const job of ["verify", "repair"] as const) {
    // A repair also ends what a verification found, but does not raise it.
    const places = outcomes.filter(
      // A copy that this run did not read may still be damaged.
      (one) => (one.isGood ? !damaged.has(placeKey(one)) : job === run.job),
    );
    const raised = await alertStorages(context, run, places, {
      job,
      isShared: (storage) => outcomes.every((one) => one.storage !== storage || !one.isGood),
      mayContinue: (name) => hasBackups(context, name),
      describe: async (bad, storage) => {
        const lost = await lostAmong(context, bad);
        const loss = lost > 0 ? `; ${plural(lost, "backup has", "backups have")} no good copy left` : "";
        const { text } = describe(bad);
        const hint = bad.find((copy) => copy.hint)?.hint;
        const names = new Set(bad.map(({ server, database }) => `${server}/${database}`));
        const of = `${plural(bad.length, "copy", "copies")} of ${plural(names.size, "database")}`;
        return {
          level: isTotal || lost > 0 ? "CRITICAL" : "WARNING",
          message: `${of} in ${storage} ${text}${loss}: ${bad[0]?.error}`,
          hint: `${hint ?? `check storage ${storage}`}; then run: pg321 ${run.job}`,
          metadata: { lost, statistics: run.statistics },
        };
      },
      resolution: (storage) => `the copies in ${storage} are good again`,
    });
    covered = covered.union(raised);
  }
  return covered;
}

async function hasBackups({ catalog }: AlertContext, name: string): Promise<boolean> {
  const slash = name.indexOf("/");
  const place = { server: name.slice(0, slash), database: name.slice(slash + 1) };
  return (await catalog.backups({ ...place, limit: 1 })).length > 0;
}

/** `the copies of main/app in usb are good again` */
function placeText([first]: readonly CopyOutcome[]): string {
  return `the copies of ${first?.server}/${first?.database} in ${first?.storage} are good again`;
}

/** `the copy`, `1 of 2 copies`, `all 3 copies`. */
export function shareText(some: number, all: number): string {
  if (all === 1) return "the copy";
  return some === all
    ? `all ${plural(all, "copy", "copies")}`
    : `${some} of ${plural(all, "copy", "copies")}`;
}

/** The next step for a backup without a good copy. */
function newBackupHint({ server, database }: Pick<CopyOutcome, "server" | "database">): string {
  return `make a new backup now, with: pg321 backup ${shellQuoted(`${server}/${database}`)}`;
}

function placeKey({
  server,
  database,
  storage,
}: Pick<CopyOutcome, "server" | "database" | "storage">): string {
  return `${server}/${database} ${storage}`;
}

/** Each database and storage (as `placeKey`) with a copy that is recorded as damaged or missing. */
async function placesWithDamage({ catalog }: AlertContext): Promise<Set<string>> {
  const places = new Set<string>();
  for await (const copies of catalog.placedCopies(["DAMAGED", "MISSING"]))
    for (const copy of copies) places.add(placeKey(copy));
  return places;
}

/** The number of backups among these copies that have no good copy left in any storage. */
async function lostAmong({ catalog }: AlertContext, copies: readonly CopyOutcome[]): Promise<number> {
  const backups = await Promise.all(
    [...new Set(copies.map((copy) => copy.backup_id))].map((id) => catalog.backup(id)),
  );
  return backups.filter((backup) => backup?.status === "FAILED").length;
}
