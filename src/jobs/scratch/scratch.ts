import { randomBytes } from "node:crypto";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import type { RunRecord } from "../../catalog/records.ts";
import type { ArchiveContents } from "../../postgres/archive/format.ts";
import { connectWithin, EndedStatement } from "../../postgres/bounded-connection.ts";
import type { Endpoint } from "../../postgres/connection.ts";
import type { ScratchIdentity } from "../../postgres/scratch/scratch-database.ts";
import {
  dropScratchDatabase,
  dropScratchRole,
  makeScratchDatabase,
  makeScratchRole,
  openScratchDatabase,
  plannedOid,
  scratchName,
} from "../../postgres/scratch/scratch-database.ts";
import type { JobContext } from "../context.ts";
import type { TestServer } from "./test-server.ts";
import { statementLimit } from "./test-server.ts";
import { tidyingTime } from "./tidying-time.ts";

/** An empty database for one test. Disposal drops it, if it is still the one that was made. */
export interface Scratch extends AsyncDisposable {
  /** As its owner, who is no superuser. */
  owner: Endpoint;
  /** As the role that made it. */
  admin: Endpoint;
  /** The role that was made to own it; null: the role of the test server owns it. */
  role: string | null;
  /** Why it has another locale than the database that was backed up; null: it has the same. */
  otherLocale: string | null;
}

/** The comment of everything that a restore test makes on a server. */
function scratchComment(installation: string, runId: string): string {
  return `pg321 restore test: installation ${installation}, run ${runId}`;
}

/**
 * Makes the database for a test. It is recorded in the catalog before it exists, so that a later run drops it if this
 * process is killed.
 */
export async function makeScratch(
  context: JobContext,
  run: RunRecord,
  server: TestServer,
  { contents, data }: { contents: ArchiveContents; data: { membersAtOnce: number } | undefined },
): Promise<Scratch> {
  const id = randomBytes(8).toString("hex");
  const identity: ScratchIdentity = {
    name: scratchName(contents.database, id),
    oid: plannedOid(server.major),
    comment: scratchComment(context.installation, run.id),
    role: server.isSuperuser ? `test_restore_${id}` : null,
  };
  const admin = server.endpoint(server.maintenanceDatabase);
  const password = randomBytes(24).toString("hex");
  await using made = new AsyncDisposableStack();
  await using connection = await connectWithin(admin, statementLimit(context));
  let isHalfMade = true;
  made.defer(() => drop(context, server, { ...identity, id }, isHalfMade));
  await recordIntent(context, run, server, identity, id);
  if (identity.role !== null)
    await makeScratchRole(connection, { role: identity.role, comment: identity.comment }, password);
  const sizes = { major: server.major, streams: data?.membersAtOnce ?? 1 };
  const { oid, otherLocale } = await makeScratchDatabase(connection, contents, sizes, identity);
  identity.oid = oid;
  isHalfMade = false;
  if (server.key !== null) await context.catalog.scratchDatabases.made(id, oid);
  await openScratchDatabase(connection, identity.name);
  const inScratch = server.endpoint(identity.name);
  const owner =
    identity.role === null
      ? inScratch
      : {
          ...inScratch,
          user: identity.role,
          password: new Secret(password),
          sslcert: undefined,
          sslkey: undefined,
        };
  await requireLogin(context, owner, identity.role);
  const all = made.move();
  return {
    ...{ owner, admin: inScratch, role: identity.role, otherLocale },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function requireLogin(context: JobContext, owner: Endpoint, role: string | null): Promise<void> {
  try {
    await using _ = await connectWithin(owner, statementLimit(context));
  } catch (error) {
    if (role === null || !(error instanceof Pg321Error) || error instanceof EndedStatement) throw error;
    throw new Pg321Error("database", error.message, {
      hint: "a restore test on a server with a superuser makes a role with a password: let pg_hba.conf accept roles named test_restore_* by scram-sha-256, or name a role in restore_test.server that has CREATEDB and is no superuser",
      cause: error,
    });
  }
}

/** A database in a cluster of our own needs no record: the whole cluster is removed. */
async function recordIntent(
  { catalog, clock }: JobContext,
  run: RunRecord,
  { key }: TestServer,
  identity: ScratchIdentity,
  id: string,
): Promise<void> {
  if (key === null) return;
  const created_at = clock.now().toISOString();
  await catalog.scratchDatabases.add({
    ...identity,
    id,
    run_id: run.id,
    server: key,
    is_made: false,
    created_at,
  });
}

/** Never throws: what could not be dropped is dropped by the next run. */
async function drop(
  { catalog, log }: Pick<JobContext, "catalog" | "log">,
  server: TestServer,
  identity: ScratchIdentity & { id: string },
  isHalfMade: boolean,
): Promise<void> {
  try {
    using time = tidyingTime();
    const place = server.endpoint(server.maintenanceDatabase);
    await using connection = await connectWithin(place, time);
    const dropped = await dropScratchDatabase(connection, identity, server.major, isHalfMade);
    // The next run looks again, and reports it.
    if (dropped.result === "foreign")
      return log.warning("a database of a restore test is left alone: it is not the one that was made", {
        reason: dropped.reason,
      });
    await dropScratchRole(connection, identity);
    if (server.key !== null) await catalog.scratchDatabases.forget(identity.id);
  } catch (error) {
    log.warning(
      "the database of a restore test could not be dropped; the next restore test or cleanup tries again",
      {
        database: identity.name,
        error: messageOf(error),
      },
    );
  }
}
