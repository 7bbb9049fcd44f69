import type { AlertContext } from "../../alerts/alert-context.ts";
import { alertStorages, type StoragePlace } from "../../alerts/storage-alerts.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { copyWord } from "../../base/text/states.ts";
import type { RunRecord } from "../../catalog/records.ts";
import { NoSinkLeftError } from "../../stream/fan-out.ts";
import type { BackupResult } from "./report.ts";

interface BackupPlace extends StoragePlace {
  result: BackupResult;
  error: string;
  hint: string | undefined;
}

/**
 * Raises one alert for each storage in which the backups of several databases failed. Returns the results that these
 * alerts cover: those without another problem.
 */
export async function alertBackupStorages(
  context: AlertContext,
  run: RunRecord,
  results: readonly BackupResult[],
): Promise<Set<BackupResult>> {
  const places = results.flatMap(placesOf);
  const present = new Set(
    (await presentDatabases(context)).map(({ server, database }) => `${server}/${database}`),
  );
  const covered = await alertStorages(context, run, places, {
    job: "backup",
    isShared: () => true,
    mayContinue: async (name) => present.has(name),
    describe: async (bad, storage) => {
      const failed = bad.filter(({ result }) => result.status === "FAILED").length;
      const none = failed > 0 ? `; ${plural(failed, "database")} got no backup` : "";
      const count = plural(new Set(bad.map(({ result }) => result)).size, "database");
      const hint = bad.find((one) => one.hint !== undefined)?.hint ?? "correct the reason";
      return {
        level: failed > 0 ? "CRITICAL" : "WARNING",
        message: `${count} could not be backed up to ${storage}${none}: ${bad[0]?.error}`,
        hint: `${hint}; then run: pg321 ${failed > 0 ? "backup" : "repair"}`,
        metadata: { statistics: run.statistics },
      };
    },
    resolution: (storage) => `every database is backed up to ${storage} again`,
  });
  const isCovered = (result: BackupResult) => {
    const bad = places.filter((place) => place.result === result && !place.isGood);
    return bad.length > 0 && bad.every((place) => covered.has(place));
  };
  return new Set(results.filter(isCovered));
}

/** The storages that a backup was written to, or should have been; none if something else failed. */
function placesOf(result: BackupResult): BackupPlace[] {
  const { server, database, copies, cause } = result;
  if (database === null) return [];
  const place = { server, database, result };
  const noneLeft =
    cause instanceof Pg321Error && cause.cause instanceof NoSinkLeftError ? cause.cause : undefined;
  if (noneLeft)
    return noneLeft.outcomes.map((outcome) => ({
      ...place,
      storage: outcome.name,
      isGood: false,
      isTotal: true,
      error: outcome.state === "stored" ? "" : messageOf(outcome.error),
      hint:
        outcome.state !== "stored" && outcome.error instanceof Pg321Error ? outcome.error.hint : undefined,
    }));
  return copies.map(({ storage, state, error, hint }) => ({
    ...place,
    storage,
    isGood: state === "CONFIRMED",
    error: error ?? copyWord(state),
    hint: hint ?? undefined,
  }));
}

/** The storages that did not get a copy of it. */
export function storagesWithout(result: BackupResult): string[] {
  return placesOf(result).flatMap(({ storage, isGood }) => (isGood ? [] : [storage]));
}

/** The selected databases that their servers have, as last listed. */
export async function presentDatabases({ catalog }: AlertContext) {
  return (await catalog.overview.databases()).filter(({ gone_at }) => gone_at === null);
}
