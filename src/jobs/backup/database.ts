import { deadline, unlessAborted } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { backupName } from "../../catalog/globals.ts";
import type { BackupKind, BackupRecord } from "../../catalog/records.ts";
import type { ServerConfig } from "../../config/config.ts";
import type { Snapshot } from "../../postgres/counts/snapshot.ts";
import { seal } from "../../sealed/seal.ts";
import type { Storage } from "../../storage/storage.ts";
import { blockPool, compress } from "../../stream/compression.ts";
import type { SinkOutcome } from "../../stream/fan-out.ts";
import { NoSinkLeftError } from "../../stream/fan-out.ts";
import { collectingGarbage } from "../../stream/garbage-collection.ts";
import type { Meter } from "../../stream/meter.ts";
import { metered, newMeter, observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { statusOf } from "../copies/backup-status.ts";
import { maxPartsOf, partBytesFor } from "../copies/part-size.ts";
import { headerNames } from "../copies/sealed-copies.ts";
import type { StoredBackup } from "../copies/steps.ts";
import { confirmCopy, failCopy, fillCopy } from "../copies/steps.ts";
import { intendCopies, storeEverywhere } from "../copies/store-copies.ts";
import { requireSigningKey } from "../keys.ts";
import { ProgressMeter } from "../progress.ts";
import { backupStorages, storageNamed } from "../storages.ts";
import type { DatabaseBackup } from "./begun-backup.ts";
import { BegunBackup } from "./begun-backup.ts";
import type { DumpSource } from "./dump-source.ts";
import { prepareDump } from "./dump-source.ts";
import { prepareGlobals } from "./globals.ts";
import { describeObject, isLeaseLost, recordObject, withFacts } from "./record.ts";

/**
 * Backs up one database: one dump to every storage. Resolves if the backup is VERIFIED or PARTIAL; throws after it is
 * recorded as FAILED. Throws code `locked`, before anything is recorded, if another backup of this database is running.
 * It waits for runs that hold the lease only briefly. The dump is made from the given
 * snapshot, or from its own. `begun`: the backup, if it has begun already.
 */
export async function backupDatabase(
  context: JobContext,
  runId: string,
  server: ServerConfig,
  database: string,
  { kind, snapshot, begun }: BackupDatabaseOptions = {},
): Promise<DatabaseBackup> {
  await using own = begun ?? (await BegunBackup.begin(context, runId, server, { database, kind }));
  return await own.make((leased, backup, signal, state) =>
    makeBackup(leased, server, backup, signal, state, snapshot),
  );
}

interface BackupDatabaseOptions {
  kind?: BackupKind | undefined;
  snapshot?: Snapshot | undefined;
  begun?: BegunBackup | undefined;
}

async function makeBackup(
  context: JobContext,
  server: ServerConfig,
  started: BackupRecord,
  signal: AbortSignal,
  state: { isWhole: boolean },
  snapshot: Snapshot | undefined,
): Promise<Omit<DatabaseBackup, "warnings">> {
  const { catalog, clock, config, keys } = context;
  if (config.encryption.mode === "age") requireSigningKey(keys, config.encryption);
  await using source = await unlessAborted(sourceOf(context, server, started, snapshot), signal);
  const { serverVersion: server_version, pgDumpVersion: pg_dump_version, recorded } = source;
  const versions = { server_version, pg_dump_version, ...recorded };
  await catalog.updateBackup(started.id, versions);
  await intendCopies(context, started);

  const title = `backup ${backupName(started)}`;
  const storages = backupStorages(context, started).map((storage) => storage.name);
  const shown = await expectedSize(context, started, source);
  const progress = new ProgressMeter(context.progress, title, source.databaseBytes, storages, shown);
  const meters = { dump: newMeter(), object: newMeter() };
  const partBytes = partBytesFor(source.databaseBytes, maxPartsOf(config.storage));
  const open = (stop: AbortSignal) => sealedDump(context, source, started, meters, progress, stop);
  const outcomes = await storeEverywhere(context, started, open, { partBytes, signal, progress }).finally(
    () => progress.end(),
  );

  const described = describeObject(context, { ...started, ...versions }, meters, source.stderrTail());
  state.isWhole = true;
  // Do not lose the copies if the catalog cannot be written now: with their manifests they are complete, and the next
  // run finds them. Before the wait for the counts, so that a crash meanwhile costs no copy either.
  let unrecorded = await failureOf(recordObject(context, described));
  // Without a manifest, neither in the catalog nor in a storage, the object will be removed.
  if (isLeaseLost(unrecorded)) throw unrecorded;
  const facts = await source.facts(signal);
  // Without the lease another run may be settling this backup: it confirms the copies.
  if (signal.aborted && isLeaseLost(signal.reason)) throw signal.reason;
  const backup = await withFacts(context, described, facts);
  if (backup.facts !== null) unrecorded = await failureOf(recordObject(context, backup));
  if (isLeaseLost(unrecorded)) throw unrecorded;
  using time = timeToConfirm(clock, signal);
  await confirmCopies(context, backup, outcomes, partBytes, time);
  if (unrecorded !== undefined) throw unrecorded;
  const copies = await catalog.copies(backup.id);
  const status = statusOf(copies);
  if (status === "INTERRUPTED") throw new NoSinkLeftError(outcomes);
  await catalog.updateBackup(backup.id, { status, finished_at: clock.now().toISOString() });
  return { backup: { ...backup, status }, copies, hints: hintsOf(outcomes) };
}

/** The last good dump tells more than the database on the disk, whose indexes no dump contains. */
async function expectedSize({ catalog }: JobContext, started: BackupRecord, source: DumpSource) {
  const range = { since: "", before: started.started_at, limit: 1, selection: source.selectionKey ?? "" };
  const [last] = await catalog.overview.dumpSizes(started, range);
  if (last) return { expectedBytes: last, expectedFrom: "last_backup" } as const;
  return source.databaseBytes > 0 ? ({ expectedFrom: "database_size" } as const) : {};
}

function sourceOf(
  context: JobContext,
  server: ServerConfig,
  started: BackupRecord,
  snapshot: Snapshot | undefined,
): Promise<DumpSource> {
  if (started.kind === "globals") return prepareGlobals(context, server);
  return prepareDump(context, server, started.database, snapshot);
}

/** Enough for manifests. The daemon and systemd wait longer than this before they kill. */
const CONFIRM_MS_MAX = 10_000;

interface ConfirmTime extends Disposable {
  signal: AbortSignal;
  /** Only the manifests may still be written. */
  isShort: boolean;
}

/** If the run was stopped while the rows of a complete object were counted, there is still a moment to confirm it. */
function timeToConfirm(clock: Clock, signal: AbortSignal): ConfirmTime {
  if (!signal.aborted) return { signal, isShort: false, [Symbol.dispose]: () => {} };
  const time = deadline({ clock, durationMs: CONFIRM_MS_MAX }, () => signal.reason);
  return { signal: time.signal, isShort: true, [Symbol.dispose]: () => time[Symbol.dispose]() };
}

/** The error of a promise that rejects; undefined if it resolves. */
function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function* readBy(
  progress: ProgressMeter,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* bytes;
  progress.readAll();
}

/** dump → blocks → compression → sealing → SHA-256, as one stream. */
async function* sealedDump(
  context: JobContext,
  source: DumpSource,
  backup: BackupRecord,
  meters: { dump: Meter; object: Meter },
  progress: ProgressMeter,
  stop: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { config, keys } = context;
  const blocks = blockPool();
  const { isContainer, bytes } = await source.open(blocks, stop);
  const dump = observed(readBy(progress, bytes), (count) => {
    meters.dump.bytes += count;
    progress.pass(count);
  });
  const compressed = compress(dump, config.compression, blocks);
  if (config.encryption.mode === "none") return yield* metered(collectingGarbage(compressed), meters.object);
  const sealed = seal(
    compressed,
    { ...headerNames(backup), compression: config.compression.algorithm },
    {
      recipients: config.encryption.recipients,
      signingKey: requireSigningKey(keys, config.encryption),
      version: isContainer ? 2 : 1,
    },
  );
  yield* metered(collectingGarbage(sealed), meters.object);
}

/**
 * Confirms the stored copies. Then removes the remains in the storages that were dropped, which may be slow to answer,
 * and fills those that were too slow for the dump from a finished copy, unless the time is short: then the next repair
 * does. If the catalog cannot be written, every copy still gets its manifest; the first error is thrown at the end.
 */
async function confirmCopies(
  context: JobContext,
  backup: StoredBackup,
  outcomes: readonly SinkOutcome<unknown>[],
  partBytes: number,
  { signal, isShort }: Pick<ConfirmTime, "signal" | "isShort">,
): Promise<void> {
  const confirmed: Storage[] = [];
  const dropped: { storage: Storage; outcome: Dropped }[] = [];
  const failures: unknown[] = [];
  const attempt = async (step: Promise<unknown>) => {
    const failure = await failureOf(step);
    signal.throwIfAborted();
    if (failure !== undefined) failures.push(failure);
  };
  for (const outcome of outcomes) {
    const storage = storageNamed(context, outcome.name);
    if (!storage) continue;
    if (outcome.state !== "stored") {
      dropped.push({ storage, outcome });
      continue;
    }
    await attempt(
      confirmCopy(context, backup, storage, signal).then((isConfirmed) => {
        if (isConfirmed) confirmed.push(storage);
      }),
    );
  }
  for (const { storage, outcome } of dropped) {
    context.log.warning("a storage was dropped from the backup", {
      storage: outcome.name,
      state: outcome.state,
      backup_id: backup.id,
      error: messageOf(outcome.error),
      hint: outcome.error instanceof Pg321Error ? outcome.error.hint : undefined,
    });
    await attempt(failCopy(context, backup, storage, outcome.error));
  }
  const slow = dropped.filter(({ outcome }) => outcome.state === "slow").map(({ storage }) => storage);
  const [from] = confirmed;
  if (from && !isShort)
    for (const to of slow) await attempt(fillSlow(context, backup, { from, to }, partBytes, signal));
  if (failures.length > 0) throw failures[0];
}

function hintsOf(outcomes: readonly SinkOutcome<unknown>[]): Map<string, string> {
  return new Map(
    outcomes.flatMap((outcome) => {
      const hint =
        outcome.state !== "stored" && outcome.error instanceof Pg321Error ? outcome.error.hint : undefined;
      return hint === undefined ? [] : [[outcome.name, hint] as const];
    }),
  );
}

type Dropped = Exclude<SinkOutcome<unknown>, { state: "stored" }>;

async function fillSlow(
  context: JobContext,
  backup: StoredBackup,
  { from, to }: { from: Storage; to: Storage },
  partBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const title = `fill ${to.name} with ${backupName(backup)} from ${from.name}`;
  const progress = new ProgressMeter(context.progress, title, backup.object_bytes ?? undefined);
  const onProgress = (bytes: number) => progress.pass(bytes);
  try {
    await fillCopy(context, backup, { from, to }, { partBytes, signal, onProgress });
  } finally {
    progress.end();
  }
}
