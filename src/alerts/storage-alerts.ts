import type { AlertRecord, RunRecord } from "../catalog/records.ts";
import type { AlertLevel, Job } from "../config/config.ts";
import { amendAlert, raiseAlert, resolveAlert, supersedeAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";
import { databasesOf } from "./databases-of.ts";

/** The result of a run for one database in one storage. */
export interface StoragePlace {
  server: string;
  database: string;
  storage: string;
  isGood: boolean;
  /** Whether the database has no copy anywhere because of this; the alert about a missing marker does not say so. */
  isTotal?: boolean;
}

/** How one kind of run reports a storage in which it failed for several databases. */
export interface StorageReport<P extends StoragePlace> {
  job: Job;
  /** Whether all of these failures, in one storage, have one cause even if no alert about the storage is open yet. */
  isShared: (storage: string) => boolean;
  /** Whether the problem of a database (`main/app`) that this run did not see may continue. */
  mayContinue: (name: string, storage: string) => Promise<boolean>;
  /** Level, message and next step for these failures. */
  describe: (bad: readonly P[], storage: string) => Promise<Description>;
  resolution: (storage: string) => string;
}

export interface Description {
  level: AlertLevel;
  message: string;
  hint: string;
  metadata?: Record<string, unknown>;
}

/**
 * Raises one alert for each storage in which a run failed for several databases, instead of one for each of them: a full
 * disk is one problem. It stays open until each of these databases is good there again. Returns the failures that it, or
 * the alert about a storage without its marker, covers.
 */
export async function alertStorages<P extends StoragePlace>(
  context: AlertContext,
  run: RunRecord,
  places: readonly P[],
  report: StorageReport<P>,
): Promise<Set<P>> {
  const open = await context.catalog.alerts({ open: true });
  const prefix = `${report.job} storage `;
  const covered = new Set<P>();
  const byStorage = Map.groupBy(places, ({ storage }) => storage);
  const known = open.flatMap(({ key }) => (key.startsWith(prefix) ? [key.slice(prefix.length)] : []));
  for (const storage of new Set([...byStorage.keys(), ...known])) {
    const all = byStorage.get(storage) ?? [];
    // A storage without its marker has an alert of its own.
    const isRefused = open.some(({ key }) => key === `storage ${storage}`);
    const [refused, bad] = partition(
      all.filter(({ isGood }) => !isGood),
      ({ isTotal = false }) => isRefused && !isTotal,
    );
    for (const place of refused) covered.add(place);
    const alert = open.find(({ key }) => key === `${prefix}${storage}`);
    for (const place of await alertStorage(context, run, { storage, all, bad, alert }, report))
      covered.add(place);
  }
  const uncovered = places.filter((place) => !place.isGood && !covered.has(place));
  await endOthers(context, open, report.job, covered, uncovered);
  return covered;
}

interface InStorage<P> {
  storage: string;
  all: readonly P[];
  bad: readonly P[];
  /** The open alert about this storage. */
  alert: AlertRecord | undefined;
}

/** Returns the failures that the alert covers. */
async function alertStorage<P extends StoragePlace>(
  context: AlertContext,
  run: RunRecord,
  { storage, all, bad, alert }: InStorage<P>,
  report: StorageReport<P>,
): Promise<readonly P[]> {
  const key = `${report.job} storage ${storage}`;
  const before = alert ? databasesOf(alert) : [];
  const isShared = new Set(bad.map(nameOf)).size > 1 && report.isShared(storage);
  const covered = isShared ? bad : bad.filter((place) => before.includes(nameOf(place)));
  if (alert === undefined && !isShared) return [];
  const seen = new Set(all.map(nameOf));
  const databases = new Set(covered.map(nameOf));
  const isConfigured = context.config.storage.some(({ name }) => name === storage);
  for (const name of before)
    if (isConfigured && !seen.has(name) && (await report.mayContinue(name, storage))) databases.add(name);
  const names = [...databases].sort();
  if (covered.length > 0) {
    const { level, message, hint, metadata } = await report.describe(covered, storage);
    const about = { job: report.job, run_id: run.id, server: null, database: null };
    const facts = { storage, databases: names, ...metadata, hint };
    await raiseAlert(context, { ...about, level, key, message, metadata: facts });
  } else if (names.length > 0) {
    await amendAlert(context, key, (one) => ({
      ...one,
      metadata: { ...one.metadata, databases: names },
    }));
  } else {
    const resolution = isConfigured
      ? report.resolution(storage)
      : `storage ${storage} is no longer in the config`;
    await resolveAlert(context, key, resolution);
  }
  return covered;
}

/**
 * Ends the alerts about single databases that alerts about storages replace now. One that is also about a failure in
 * another storage stays open: it would be raised again at once, as a new problem.
 */
async function endOthers(
  context: AlertContext,
  open: readonly AlertRecord[],
  job: Job,
  covered: ReadonlySet<StoragePlace>,
  uncovered: readonly StoragePlace[],
): Promise<void> {
  const keyOf = (place: StoragePlace) =>
    `${job} ${nameOf(place)}${job === "backup" ? "" : ` ${place.storage}`}`;
  const kept = new Set(uncovered.map(keyOf));
  for (const key of new Set([...covered].map(keyOf)))
    if (!kept.has(key) && open.some((one) => one.key === key)) await supersedeAlert(context, key);
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

function nameOf({ server, database }: StoragePlace): string {
  return `${server}/${database}`;
}
