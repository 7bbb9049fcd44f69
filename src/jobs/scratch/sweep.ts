import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import { messageOf } from "../../base/errors.ts";
import { runLeaseName } from "../../catalog/database-lease.ts";
import { isHeld } from "../../catalog/lease.ts";
import type { ScratchDatabaseRecord } from "../../catalog/scratch-databases.ts";
import { quoteIdentifier } from "../../postgres/archive/sql-text.ts";
import { connectWithin } from "../../postgres/bounded-connection.ts";
import { clusterParent } from "../../postgres/cluster/throwaway.ts";
import { inspectServer } from "../../postgres/inspect.ts";
import { dropScratchDatabase, dropScratchRole } from "../../postgres/scratch/scratch-database.ts";
import type { JobContext } from "../context.ts";
import { ownershipOf } from "../ownership.ts";
import { underWay } from "../record-run.ts";
import { removeLeftDirectories } from "../temp-dir.ts";
import type { TestPlace } from "./test-server.ts";
import { testPlaces } from "./test-server.ts";
import { tidyingTime } from "./tidying-time.ts";

/**
 * Removes what killed restore tests, and those that could not tidy up, left: throwaway clusters on this host, and scratch
 * databases on servers. Each database is dropped only if name, OID and comment
 * are the recorded ones and its run is over; otherwise it is left alone for good, and reported. A server that does not
 * answer is tried again next time. Throws only if the job is stopped. Returns the number dropped.
 */
export async function sweepScratch(context: JobContext): Promise<number> {
  const { catalog, log, signal } = context;
  let dropped = 0;
  await sweepClusters(context);
  const isOwn = await ownDatabases(context);
  for (const record of await catalog.scratchDatabases.all()) {
    signal.throwIfAborted();
    try {
      if (!isOwn(record) || (await isInUse(context, record))) continue;
      const place = testPlaces(context).find(({ key }) => key === record.server);
      if (place) dropped += await sweepOne(context, place, record);
      else await reportUnknownServer(context, record);
    } catch (error) {
      signal.throwIfAborted();
      log.warning("the database that a restore test left could not be dropped; pg321 tries again later", {
        ...{ database: record.name, server: record.server, error: messageOf(error) },
      });
    }
  }
  return dropped;
}

/** The newest runs that are searched for those which left a database. */
const RUNS_MAX = 1_000;

/** Beside other hosts with this catalog only those of this host's tests: nobody else knows whether their servers are reachable. */
async function ownDatabases(context: JobContext): Promise<(record: ScratchDatabaseRecord) => boolean> {
  const { catalog, host } = context;
  if ((await ownershipOf(context)).others.length === 0) return () => true;
  const own = await catalog.runs({ job: "restore-test", host, limit: RUNS_MAX });
  return ({ run_id }) => own.some(({ id }) => id === run_id);
}

/** Only those that were left: the cluster of a test that another process makes now stays. */
async function sweepClusters({ config, log }: JobContext): Promise<void> {
  const parent = await clusterParent(config.temp_dir).catch(() => config.temp_dir);
  const onError = (directory: string, error: string) =>
    log.warning("what a restore test left on this host could not be removed; pg321 tries again later", {
      directory,
      error,
    });
  await removeLeftDirectories(parent, onError).catch((error) => onError(parent, messageOf(error)));
}

async function isInUse({ catalog, clock }: JobContext, { run_id }: ScratchDatabaseRecord): Promise<boolean> {
  if (underWay.has(run_id)) return true;
  const now = (await catalog.leaseTime(clock)).toISOString();
  const leases = await catalog.leases();
  return leases.some((lease) => lease.name === runLeaseName(run_id) && isHeld(lease, now));
}

async function sweepOne(
  context: JobContext,
  place: TestPlace,
  record: ScratchDatabaseRecord,
): Promise<number> {
  const { catalog, log } = context;
  using time = tidyingTime(context.signal);
  await using connection = await connectWithin(place.endpoint(place.maintenanceDatabase), time);
  const { major } = await inspectServer(connection);
  const end = await dropScratchDatabase(connection, record, major, !record.is_made);
  if (end.result === "foreign") {
    await reportForeign(context, place, record, end.reason);
    // If the database belongs to it, it must stay.
    await dropScratchRole(connection, record).catch((error) =>
      log.warning("the role of a restore test is left alone", {
        role: record.role ?? "",
        error: messageOf(error),
      }),
    );
  } else await dropScratchRole(connection, record);
  await catalog.scratchDatabases.forget(record.id);
  await resolveAlert(context, unknownServerKey(record), `the database "${record.name}" is gone or not ours`);
  if (end.result !== "dropped") return 0;
  log.info("dropped the database that a restore test left", { database: record.name, server: record.server });
  return 1;
}

function unknownServerKey({ id }: ScratchDatabaseRecord): string {
  return `restore_test unreachable ${id}`;
}

/** The config no longer names the server: nobody would notice that a copy of the data stays there. */
async function reportUnknownServer(context: JobContext, record: ScratchDatabaseRecord): Promise<void> {
  const { name, server, run_id } = record;
  await raiseAlert(context, {
    ...{ level: "WARNING", job: "restore-test", run_id, server: null, database: null },
    key: unknownServerKey(record),
    message: `a restore test left the database "${name}" on a server that the config no longer names (${server})`,
    metadata: {
      hint: `drop it there: DROP DATABASE ${quoteIdentifier(name)}; or name the server in the config again, then pg321 cleanup drops it`,
    },
  });
}

async function reportForeign(
  context: JobContext,
  { target }: TestPlace,
  { id, name, run_id }: ScratchDatabaseRecord,
  reason: string,
): Promise<void> {
  context.log.warning("a database that looks like one of a restore test is left alone", { reason });
  await raiseAlert(context, {
    ...{ level: "WARNING", job: "restore-test", run_id, server: null, database: null },
    key: `restore_test left ${id}`,
    message: `a restore test left something behind on ${target}, which pg321 does not drop: ${reason}`,
    metadata: {
      hint: `look at it, and drop it yourself if nobody needs it: DROP DATABASE ${quoteIdentifier(name)}`,
    },
    isEvent: true,
  });
}
