import { deadline } from "../../base/abort.ts";
import { messageOf, outsideText, Pg321Error } from "../../base/errors.ts";
import type { BackupRecord, RestoreTestRecord, RunRecord } from "../../catalog/records.ts";
import { restoreTestFor } from "../../config/database/settings.ts";
import { EVERYTHING } from "../../postgres/archive/selection.ts";
import { extensionsOf } from "../../postgres/archive/streams.ts";
import { pgRestoreFor } from "../../postgres/binaries.ts";
import { connectWithin, EndedStatement, endedBy } from "../../postgres/bounded-connection.ts";
import { countDatabase } from "../../postgres/counts/count-database.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import type { LeftOutOfDump } from "../../postgres/counts/left-out.ts";
import type { DumpStreams } from "../../postgres/counts/streams.ts";
import { withoutLacking } from "../../postgres/restore/lacking-tables.ts";
import { nameInText } from "../../postgres/restore/left-out.ts";
import type { ScratchPlan } from "../../postgres/scratch/prepare.ts";
import { prepareScratch, showAllRows } from "../../postgres/scratch/prepare.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { factsOfBackup } from "../copies/backup-facts.ts";
import { copyVerdict } from "../copies/damage.ts";
import { shortId } from "../copies/object-key.ts";
import type { RestoreFault } from "../load/faults.ts";
import { kindText, RestoreFaults } from "../load/faults.ts";
import { prepareLoad } from "../load/prepare-load.ts";
import type { ReadArchive } from "../load/read-archive.ts";
import { readArchive } from "../load/read-archive.ts";
import { provenUnreadable } from "../load/unreadable.ts";
import type { Scratch } from "../scratch/scratch.ts";
import { makeScratch } from "../scratch/scratch.ts";
import type { TestServer } from "../scratch/test-server.ts";
import { openTestServer, statementLimit } from "../scratch/test-server.ts";
import { restoreCheck, serverError, sortFaults, sqlChecks } from "./checks.ts";
import { factChecks } from "./compare-facts.ts";
import { makeSchemas, testConfigFor, withoutSkipped } from "./database-rules.ts";
import { errorOf } from "./told.ts";
import { toleratedBy } from "./tolerated.ts";

/** The test of one copy, and how it ended for the copy. */
export interface CopyTest {
  record: RestoreTestRecord;
  /** Whether another copy may give another result: this one is damaged, missing or out of reach. */
  isOfCopy: boolean;
  error: unknown;
}

type Measured = Pick<RestoreTestRecord, "fetch_ms" | "restore_ms" | "check_ms" | "dump_bytes" | "checks">;

/**
 * Restores a backup from one storage into a scratch database, checks it and drops it again. Throws only if the run is
 * stopped.
 */
export async function testCopy(
  context: JobContext,
  run: RunRecord,
  backup: BackupRecord,
  storage: Storage,
): Promise<CopyTest> {
  const { clock, config } = context;
  const measured: Measured = {
    ...{ fetch_ms: null, restore_ms: null, check_ms: null, dump_bytes: null },
    checks: [],
  };
  let target = targetText(config.restore_test.server);
  const started_at = clock.now().toISOString();
  const end = (outcome: RestoreTestRecord["outcome"], error: string | null): RestoreTestRecord => ({
    id: crypto.randomUUID(),
    run_id: run.id,
    prover: null,
    backup_id: backup.id,
    server: backup.server,
    database: backup.database,
    backup_started_at: backup.started_at,
    storage: storage.name,
    target,
    outcome,
    started_at,
    finished_at: clock.now().toISOString(),
    ...measured,
    error,
  });
  const { timeout_ms: durationMs } = config.restore_test;
  using time = deadline({ clock, durationMs, signal: context.signal }, () => late(durationMs));
  const bounded = { ...context, signal: time.signal };
  let isReading = false;
  let bad: RestoreFault[] = [];
  const result = () =>
    measured.checks.every(({ is_ok }) => is_ok)
      ? end("PASSED", null)
      : end("FAILED", errorOf(measured.checks, bad));
  try {
    await using server = await openTestServer(bounded, backup);
    target = server.target;
    isReading = true;
    bad = await restoreAndCheck(bounded, run, backup, { server, storage, measured });
    return { record: result(), isOfCopy: false, error: null };
  } catch (error) {
    context.signal.throwIfAborted();
    const reason = time.signal.aborted && !(error instanceof EndedStatement) ? time.signal.reason : error;
    // Every check was made: only the tidying failed, which says nothing about the backup.
    if (measured.check_ms !== null) {
      context.log.warning("what a restore test made could not be removed", { error: messageOf(reason) });
      return { record: result(), isOfCopy: false, error: null };
    }
    const broken = isReading
      ? await provenUnreadable(bounded, backup, { storages: [storage], job: "restore-test" }, reason)
      : undefined;
    if (broken) {
      const shown = outsideText(broken);
      context.log.error("a backup cannot be restored", { backup_id: backup.id, error: shown });
      return { record: end("FAILED", shown), isOfCopy: false, error: broken };
    }
    // No other copy helps a server without space.
    const isOfCopy = isReading ? await isFaultOfCopy(context, reason, backup, storage) : undefined;
    const outcome = isOfCopy === "damaged" || isOfCopy === "missing" ? "FAILED" : "ERROR";
    context.log.error("a restore test did not reach its end", {
      ...{ storage: storage.name, backup_id: backup.id, error: outsideText(reason) },
      ...(reason instanceof Pg321Error && reason.hint !== undefined && { hint: reason.hint }),
    });
    return { record: end(outcome, outsideText(reason)), isOfCopy: isOfCopy !== undefined, error: reason };
  }
}

function targetText(server: JobContext["config"]["restore_test"]["server"]): string {
  return typeof server === "string" ? server : `${server.host ?? "localhost"}:${server.port}`;
}

function late(durationMs: number): Pg321Error {
  return new Pg321Error("database", `the restore test took longer than ${durationMs / 1000} s`, {
    hint: "raise restore_test.timeout",
  });
}

/** What an error says about the copy; undefined if it is about something else. */
async function isFaultOfCopy(
  context: JobContext,
  error: unknown,
  backup: BackupRecord,
  storage: Storage,
): Promise<"damaged" | "missing" | "unreachable" | undefined> {
  if (!(error instanceof Pg321Error) || !["verification", "storage"].includes(error.code)) {
    if (error instanceof Pg321Error) return undefined;
    throw error;
  }
  const verdict = await copyVerdict(context, error, backup, storage, context.signal);
  return verdict === "unopened" ? undefined : verdict;
}

interface Test {
  server: TestServer;
  storage: Storage;
  measured: Measured;
}

/** Returns the errors of pg_restore that the config does not allow. */
async function restoreAndCheck(
  context: JobContext,
  run: RunRecord,
  backup: BackupRecord,
  { server, storage, measured }: Test,
): Promise<RestoreFault[]> {
  const { clock } = context;
  const fetchFromMs = clock.monotonicMs();
  let bad: RestoreFault[] = [];
  await readArchive(context, backup, { storages: [storage], job: "restore-test" }, async (archive) => {
    measured.fetch_ms = Math.round(clock.monotonicMs() - fetchFromMs);
    await using scratch = await makeScratch(context, run, server, archive);
    const recorded = await factsOfBackup(context, backup);
    const own = { backup, left: recorded?.left_out, streams: recorded?.streams };
    const faults = await restoreInto(context, run, archive, { server, scratch, measured, ...own });
    bad = faults.bad;
    measured.dump_bytes = archive.dumpBytes;
    const checkFromMs = clock.monotonicMs();
    const restored = await countScratch(context, scratch);
    measured.checks.push(...factChecks(recorded, restored, toleratedBy(faults.fine, faults.skipped)));
    await using connection = await connectWithin(scratch.owner, statementLimit(context));
    const { check } = testConfigFor(context.config, backup);
    measured.checks.push(...(await sqlChecks(connection, backup, check, context.signal)));
    measured.check_ms = Math.round(clock.monotonicMs() - checkFromMs);
  });
  return bad;
}

/** Counts every table, as a superuser if there is one: row security must hide nothing. */
async function countScratch(context: JobContext, scratch: Scratch): Promise<DumpFacts> {
  const { signal } = context;
  const endpoint = scratch.role === null ? scratch.owner : scratch.admin;
  await using connection = await connectWithin(endpoint, statementLimit(context));
  if (scratch.role === null) await showAllRows(connection);
  const counts = countDatabase(connection, { maxBytes: 0, signal });
  const facts = await counts.catch((error) => {
    throw signal.aborted ? endedBy(signal, endpoint, "count the restored rows") : error;
  });
  // Tables that time did not suffice for are no difference from the backup.
  if (signal.aborted) throw endedBy(signal, endpoint, "count the restored rows");
  return facts;
}

/** Returns the errors of pg_restore, sorted by whether the config allows them. */
async function restoreInto(
  context: JobContext,
  run: RunRecord,
  archive: ReadArchive,
  test: Omit<Test, "storage"> & {
    scratch: Scratch;
    backup: BackupRecord;
    left: LeftOutOfDump | undefined;
    streams: DumpStreams | undefined;
  },
): Promise<ReturnType<typeof sortFaults> & { skipped: ScratchPlan["left_out"] }> {
  const { clock, config } = context;
  const { contents } = archive;
  const { server, scratch, measured, backup, left } = test;
  const binary = await pgRestoreFor(server.major, contents.format, server.binDir);
  const { contents: wanted, skipped: byConfig } = withoutSkipped(config, backup, contents);
  const { contents: makeable, skipped: lacking } = await withoutDependents(wanted, left);
  const skipped = [...byConfig, ...lacking];
  const plan = await prepare(context, server, scratch, makeable, left);
  const faults = new RestoreFaults(context, contents, kindText);
  const restoreFromMs = clock.monotonicMs();
  const tempDir = config.temp_dir;
  const options = {
    ...{ target: scratch.owner, binary, tempDir, isPlain: true, exitOnError: false },
    applicationName: `pg321 restore-test ${shortId(run.id)}`,
    only: plan.entries.map(({ id }) => id),
    onError: faults.add,
  };
  const { skip_extensions: skipExtensions } = restoreTestFor(config, backup.server, backup.database);
  const selected = { entries: plan.entries, selection: EVERYTHING, skipExtensions, clean: false };
  await using load = await prepareLoad(context, archive, {
    ...selected,
    extensionOf: extensionsOf(test.streams?.extension_data),
    jobs: undefined,
    expectedBytes: 0,
    faults,
  });
  await load.run(options);
  measured.restore_ms = Math.round(clock.monotonicMs() - restoreFromMs);
  const ofServer = faults.all.find((fault) => serverError(fault) !== undefined);
  if (ofServer)
    throw new Pg321Error("database", `the test server failed during the restore: ${serverError(ofServer)}`, {
      hint: "see the log of the test server, and its free space",
    });
  const reason = "restore_test.skip_extensions";
  const allSkipped = [...skipped, ...load.leftOut.map((entry) => ({ entry, reason }))];
  const leftOut = [...allSkipped, ...plan.left_out].map(
    ({ entry, reason }) => `${nameInText(entry)} (${reason})`,
  );
  const sorted = sortFaults(faults.all, testConfigFor(config, backup).allowed_errors, left);
  measured.checks.push(restoreCheck(sorted, leftOut));
  return { ...sorted, skipped: allSkipped };
}

/** Leaves out what is known not to be restorable, because it needs a table that the config left out of the dump. */
async function withoutDependents(
  contents: ReadArchive["contents"],
  left: LeftOutOfDump | undefined,
): Promise<{ contents: ReadArchive["contents"]; skipped: ScratchPlan["left_out"] }> {
  const whole = { contents, left_out: [] };
  const { contents: makeable } = await withoutLacking(undefined, whole, left?.dependents, EVERYTHING);
  const kept = new Set(makeable.entries);
  const reason = "it needs a table that the config leaves out of the dump";
  const skipped = contents.entries.flatMap((entry) => (kept.has(entry) ? [] : [{ entry, reason }]));
  return { contents: makeable, skipped };
}

async function prepare(
  context: JobContext,
  server: TestServer,
  scratch: Scratch,
  contents: ReadArchive["contents"],
  left: LeftOutOfDump | undefined,
): ReturnType<typeof prepareScratch> {
  await using connection = await connectWithin(scratch.admin, statementLimit(context));
  const { isSuperuser, key } = server;
  await makeSchemas(connection, contents, { owner: scratch.role, left });
  return await prepareScratch(connection, contents, {
    owner: scratch.role,
    isSuperuser,
    makesRoles: key === null,
    left,
  });
}
