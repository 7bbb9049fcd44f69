import { alertTests } from "../../alerts/restore-test-alerts.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { PART_BYTES_MIN, RESULT_BYTES_MAX } from "../../base/limits.ts";
import { VERSION } from "../../base/version.ts";
import type { BackupRecord, RestoreTestRecord } from "../../catalog/records.ts";
import { sealDetails } from "../../sealed/details.ts";
import { decodeRestoreResult, encodeRestoreResult } from "../../sealed/restore-result.ts";
import type { Storage } from "../../storage/storage.ts";
import { partsOf } from "../../stream/part.ts";
import type { JobContext } from "../context.ts";
import { requireInPlace } from "../in-place.ts";
import { requireSigningKey } from "../keys.ts";
import { ownershipOf } from "../ownership.ts";
import { storageNamed } from "../storages.ts";
import { resultKey, resultPrefix } from "./object-key.ts";
import { watchedPut } from "./watched-put.ts";

/** Of one backup in one storage, the new results read at most; more would be somebody else's litter. */
const RESULTS_MAX = 1000;

/**
 * Leaves the result of a restore test beside the copy that was restored, signed by this host's key, so that the host
 * that made the backup can count it without an identity. The checks' names and numbers are sealed to the recipients.
 */
export async function leaveResult(
  context: JobContext,
  backup: BackupRecord,
  record: RestoreTestRecord,
): Promise<void> {
  const { clock, config, installation, keys, signal } = context;
  const { outcome, object_key: key, object_sha256 } = { ...record, ...backup };
  const storage = record.storage === null ? undefined : storageNamed(context, record.storage);
  if (outcome === "ERROR" || storage === undefined || object_sha256 === null) return;
  // The test may have taken hours: a disk may have been unmounted meanwhile.
  await requireInPlace(context, storage, signal);
  const { recipients } = config.encryption;
  const text = encodeRestoreResult(
    {
      ...record,
      ...{ test_id: record.id, installation, object_sha256, outcome },
      ...{ checks: record.checks.length, failed_checks: record.checks.filter(({ is_ok }) => !is_ok).length },
      pg321_version: VERSION,
      ...(recipients.length > 0 && { details: await detailsOf(record, recipients) }),
    },
    requireSigningKey(keys, config.encryption),
  );
  const stallTimeoutMs = storage.settings.stall_timeout_ms;
  const body = partsOf(new TextEncoder().encode(text));
  const options = { signal, clock, stallTimeoutMs, partBytes: PART_BYTES_MIN };
  await watchedPut(storage, resultKey(key, record.id), body, options);
}

/** Without the checks that would make the result too large; their number stands in the clear. */
function detailsOf({ checks, error }: RestoreTestRecord, recipients: readonly string[]): Promise<string> {
  const whole = { checks, error };
  const isSmall = JSON.stringify(whole).length < RESULT_BYTES_MAX / 2;
  return sealDetails(isSmall ? whole : { checks: [], error: error?.slice(0, 1000) ?? null }, recipients);
}

/**
 * Reads the results that trusted hosts left beside each database's newest good backup into the catalog. Returns those
 * that are new, and raises or resolves the alerts about their databases. A result that is forged, damaged, of another backup or of a signer who is not in
 * `rule.trusted_provers` is logged and ignored; a storage that does not answer is logged and asked again next time.
 */
export async function collectResults(
  context: JobContext,
  trustedProvers: readonly string[] = context.config.rule.trusted_provers,
): Promise<RestoreTestRecord[]> {
  if (trustedProvers.length === 0) return [];
  const { catalog, clock, log, signal } = context;
  const found: RestoreTestRecord[] = [];
  const { owns } = await ownershipOf(context);
  for (const { good } of await catalog.overview.latestBackups(clock.now())) {
    if (good === null || !owns(good)) continue;
    const known = new Set((await catalog.restoreTests.list({ backup_id: good.id })).map(({ id }) => id));
    for (const copy of await catalog.copies(good.id)) {
      const storage = copy.state === "CONFIRMED" ? storageNamed(context, copy.storage) : undefined;
      if (storage === undefined) continue;
      try {
        for await (const record of resultsIn(context, storage, good, known, trustedProvers)) {
          await catalog.restoreTests.add(record);
          known.add(record.id);
          found.push(record);
          const { server, database, outcome } = record;
          log.info("another host tested a restore", { server, database, outcome });
        }
      } catch (error) {
        signal.throwIfAborted();
        log.warning("the results of restore tests could not be read", {
          storage: storage.name,
          error: messageOf(error),
        });
      }
    }
  }
  const inOrder = found.toSorted((a, b) => a.finished_at.localeCompare(b.finished_at));
  for (const tests of Map.groupBy(inOrder, (test) => JSON.stringify([test.server, test.database])).values())
    await alertTests(context, null, tests);
  return found;
}

async function* resultsIn(
  { log, signal, installation }: JobContext,
  storage: Storage,
  backup: BackupRecord,
  known: ReadonlySet<string>,
  trustedProvers: readonly string[],
): AsyncGenerator<RestoreTestRecord> {
  let left = RESULTS_MAX;
  for await (const { key } of storage.list(resultPrefix(backup.object_key), signal)) {
    const id = key.slice(resultPrefix(backup.object_key).length, -".json".length);
    if (known.has(id)) continue;
    if (left-- === 0) {
      const fields = { storage: storage.name, object: backup.object_key, read: RESULTS_MAX };
      log.warning("too many results of restore tests beside one object; the rest is not read", fields);
      return;
    }
    const range = { start: 0, length: RESULT_BYTES_MAX + 1 };
    const bytes = Buffer.concat(await Array.fromAsync(storage.get(key, range, signal)));
    try {
      const result = decodeRestoreResult(bytes, trustedProvers);
      const isAbout =
        result.test_id === id &&
        result.installation === installation &&
        result.backup_id === backup.id &&
        result.object_sha256 === backup.object_sha256 &&
        (result.outcome === "FAILED" || (result.checks > 0 && result.failed_checks === 0));
      if (!isAbout)
        throw new Pg321Error(
          "verification",
          "restore result: it is about another backup, or contradicts itself",
        );
      yield {
        id,
        ...{ run_id: null, prover: result.signer, storage: storage.name, target: "another host" },
        ...{ backup_id: backup.id, server: backup.server, database: backup.database },
        ...{ backup_started_at: backup.started_at, outcome: result.outcome },
        ...{ started_at: result.started_at, finished_at: result.finished_at },
        ...{ fetch_ms: result.fetch_ms, restore_ms: result.restore_ms, check_ms: result.check_ms },
        dump_bytes: result.dump_bytes,
        checks: [],
        error: result.outcome === "PASSED" ? null : failureText(result),
      };
    } catch (error) {
      // Anyone who can write to the storage may have put it there; it proves nothing, and harms nothing.
      const fields = { storage: storage.name, object: key, error: messageOf(error) };
      log.warning("the result of a restore test does not count", fields);
    }
  }
}

function failureText({ failed_checks, checks }: { failed_checks: number; checks: number }): string {
  return `${failed_checks} of ${checks} checks failed on the host that restored it; its log and status have the reasons`;
}
