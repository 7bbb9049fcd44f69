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
  /** What the copy is, or what became of it. */
  kind: string;
  error: string | null;
  /** The storage's own advice about the error. */
  hint?: string | null;
}

/** What a run found in one storage of one database: there may be very many copies. */
interface PlaceOutcome {
  server: string;
  database: string;
  storage: string;
  good: number;
  bad: number;
  /** Those of the bad ones. */
  kinds: Set<string>;
  /** Of the first bad one. */
  error: string | null;
  hint: string | null;
  /** The first bad ones. */
  backup_ids: string[];
  /** Backups that have no good copy left in any storage. */
  lost: number;
}

/** The most backups that an alert names. */
const NAMED_MAX = 20;

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

/**
 * One alert for each database and storage with bad copies; resolves those of the others. Gets the outcomes page by page,
 * once the statuses of the backups are settled. `describe` gets the kinds of the bad ones, and their number.
 */
export async function alertCopies(
  context: AlertContext,
  run: RunRecord,
  outcomes: AsyncIterable<readonly CopyOutcome[]>,
  describe: (kinds: ReadonlySet<string>, bad: number) => CopyProblem,
): Promise<void> {
  const damaged = await placesWithDamage(context);
  const places = await placesOf(context, outcomes);
  const isTotal = [...places.values()].every(({ good }) => good === 0);
  const covered = await alertWholeStorages(context, run, [...places.values()], {
    describe,
    damaged,
    isTotal,
  });
  for (const [key, place] of places) {
    if (covered.has(key)) continue;
    const { server, database, storage, good, bad, kinds, lost } = place;
    if (bad === 0) {
      // A copy that this run did not read may still be damaged.
      if (damaged.has(key)) continue;
      const resolution = `the copies of ${server}/${database} in ${storage} are good again`;
      for (const job of ["verify", "repair"]) await resolveAlert(context, `${job} ${key}`, resolution);
      continue;
    }
    const { text, hint } = describe(kinds, bad);
    await raiseAlert(context, {
      level: isTotal || lost > 0 ? "CRITICAL" : "WARNING",
      job: alertJob(run.job),
      run_id: run.id,
      server,
      database,
      key: `${run.job} ${key}`,
      message: `${shareText(bad, good + bad)} of ${server}/${database} in ${storage} ${text}${lossText(lost)}: ${place.error}`,
      metadata: {
        storage,
        backup_ids: place.backup_ids,
        lost,
        statistics: run.statistics,
        hint: lost > 0 ? newBackupHint(place) : hint,
      },
    });
  }
}

/** By `placeKey`, in the order in which they first come. */
async function placesOf(
  context: AlertContext,
  outcomes: AsyncIterable<readonly CopyOutcome[]>,
): Promise<Map<string, PlaceOutcome>> {
  const places = new Map<string, PlaceOutcome>();
  for await (const page of outcomes) {
    const lost = await lostAmong(
      context,
      page.filter(({ isGood }) => !isGood),
    );
    for (const { server, database, storage, backup_id, ...one } of page) {
      const key = placeKey({ server, database, storage });
      const none = { good: 0, bad: 0, kinds: new Set<string>(), error: one.error, hint: null, lost: 0 };
      const place = places.get(key) ?? { server, database, storage, ...none, backup_ids: [] };
      places.set(key, place);
      if (one.isGood) {
        place.good++;
        continue;
      }
      if (place.bad++ === 0) place.error = one.error;
      place.hint ??= one.hint ?? null;
      place.kinds.add(one.kind);
      if (place.backup_ids.length < NAMED_MAX) place.backup_ids.push(backup_id);
      if (lost.has(backup_id)) place.lost++;
    }
  }
  return places;
}

function lossText(lost: number): string {
  return lost > 0 ? `; ${plural(lost, "backup has", "backups have")} no good copy left` : "";
}

interface CopyReport {
  describe: (kinds: ReadonlySet<string>, bad: number) => CopyProblem;
  /** Places with damage, as `placeKey`. */
  damaged: ReadonlySet<string>;
  /** Whether no copy at all was good. */
  isTotal: boolean;
}

/**
 * One alert for a storage in which no copy of several databases was good: the storage is the cause. Returns the places
 * that it covers.
 */
async function alertWholeStorages(
  context: AlertContext,
  run: RunRecord,
  outcomes: readonly PlaceOutcome[],
  { describe, damaged, isTotal }: CopyReport,
): Promise<Set<string>> {
  const covered = new Set<string>();
  for (const job of ["verify", "repair"] as const) {
    const places = outcomes.flatMap((place) => [
      // A repair also ends what a verification found, but does not raise it.
      ...(place.bad > 0 && job === run.job ? [{ ...place, isGood: false }] : []),
      // A copy that this run did not read may still be damaged.
      ...(place.good > 0 && !damaged.has(placeKey(place)) ? [{ ...place, isGood: true }] : []),
    ]);
    const raised = await alertStorages(context, run, places, {
      job,
      isShared: (storage) => outcomes.every((one) => one.storage !== storage || one.good === 0),
      mayContinue: (name) => hasBackups(context, name),
      describe: async (bad, storage) => {
        const lost = sumOf(bad, (one) => one.lost);
        const copies = sumOf(bad, (one) => one.bad);
        const { text } = describe(new Set(bad.flatMap(({ kinds }) => [...kinds])), copies);
        const hint = bad.find((place) => place.hint)?.hint;
        const of = `${plural(copies, "copy", "copies")} of ${plural(bad.length, "database")}`;
        return {
          level: isTotal || lost > 0 ? "CRITICAL" : "WARNING",
          message: `${of} in ${storage} ${text}${lossText(lost)}: ${bad[0]?.error}`,
          hint: `${hint ?? `check storage ${storage}`}; then run: pg321 ${run.job}`,
          metadata: { lost, statistics: run.statistics },
        };
      },
      resolution: (storage) => `the copies in ${storage} are good again`,
    });
    for (const place of raised) covered.add(placeKey(place));
  }
  return covered;
}

function sumOf<T>(items: readonly T[], numberOf: (item: T) => number): number {
  return items.reduce((sum, item) => sum + numberOf(item), 0);
}

async function hasBackups({ catalog }: AlertContext, name: string): Promise<boolean> {
  const slash = name.indexOf("/");
  const place = { server: name.slice(0, slash), database: name.slice(slash + 1) };
  return (await catalog.backups({ ...place, limit: 1 })).length > 0;
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

/** The backups of these copies, a page at most, that have no good copy left in any storage. */
async function lostAmong({ catalog }: AlertContext, copies: readonly CopyOutcome[]): Promise<Set<string>> {
  const ids = new Set(copies.map(({ backup_id }) => backup_id));
  const backups = await Promise.all([...ids].map((id) => catalog.backup(id)));
  return new Set(backups.flatMap((backup) => (backup?.status === "FAILED" ? backup.id : [])));
}
