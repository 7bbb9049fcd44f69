import { expect, setDefaultTimeout, test } from "bun:test";
import { Pg321Error } from "../../src/base/errors.ts";
import { emptyTables } from "../../src/jobs/restore/outcome.ts";
import type { ArchiveContents } from "../../src/postgres/archive/format.ts";
import { connectWithin, EndedStatement } from "../../src/postgres/bounded-connection.ts";
import { endpointOfUrl } from "../../src/postgres/connection.ts";
import { prepareScratch } from "../../src/postgres/scratch/prepare.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
const LATE = () =>
  new Pg321Error("database", "the restore test took longer than 60 s", {
    hint: "raise restore_test.timeout",
  });

/** A database, a session that holds a lock in it, and the sessions of pg321 there. */
async function lockedDatabase(lock: string) {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  const holder = await sql.reserve();
  await holder.unsafe(`begin; ${lock}`).simple();
  const watcher = postgres.connect();
  const sessions = () => watcher<{ wait_event_type: string | null }[]>`
    select wait_event_type from pg_stat_activity
      where datname = ${database} and application_name like 'pg321%' and backend_type = 'client backend'`;
  const until = async (isTime: (found: Awaited<ReturnType<typeof sessions>>) => boolean) => {
    while (!isTime(await sessions())) await Bun.sleep(2);
  };
  return {
    endpoint: endpointOfUrl(postgres.url(database)),
    waits: () => until((found) => found.some(({ wait_event_type }) => wait_event_type === "Lock")),
    noSession: () => until((found) => found.length === 0),
    release: async () => {
      await holder.unsafe("rollback");
      holder.release();
    },
  };
}

test("a statement that hangs is ended at the server, and the error names it and its limit", async () => {
  const place = await lockedDatabase("lock table pg_extension in share mode");
  const over = new AbortController();
  const contents = {
    entries: [
      {
        ...{ id: 1, description: "EXTENSION", tag: "hstore" },
        definition: "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;",
      },
    ],
  } as unknown as ArchiveContents;
  const run = async () => {
    await using connection = await connectWithin(place.endpoint, { signal: over.signal, timeoutMs: 60_000 });
    await prepareScratch(connection, contents, {
      owner: null,
      isSuperuser: true,
      makesRoles: false,
      left: undefined,
    });
  };
  const result = run().catch((error) => error);
  await place.waits();
  over.abort(LATE());
  const error = await result;
  expect(error).toBeInstanceOf(EndedStatement);
  expect(error).toMatchObject({
    code: "database",
    message: 'target: cannot create extension "hstore": the restore test took longer than 60 s',
    hint: "raise restore_test.timeout",
  });
  await place.noSession();
  await place.release();
});

test("the server ends a statement by itself if this process no longer does", async () => {
  const endpoint = endpointOfUrl(postgres.url(await postgres.createDatabase()));
  const { signal } = new AbortController();
  await using connection = await connectWithin(endpoint, { signal, timeoutMs: 50 });
  await expect(connection.run("wait", (sql) => sql`select pg_sleep(600)`)).rejects.toThrow(
    "canceling statement due to statement timeout",
  );
});

test("a stop by a person stays what it is, and later statements do not begin", async () => {
  const stop = new AbortController();
  const endpoint = endpointOfUrl(postgres.url(await postgres.createDatabase()));
  await using connection = await connectWithin(endpoint, { signal: stop.signal, timeoutMs: 60_000 });
  const reason = new DOMException("stopped", "AbortError");
  const running = connection.run("wait", (sql) => sql`select pg_sleep(600)`).catch((error) => error);
  stop.abort(reason);
  expect(await running).toBe(reason);
  expect(await connection.run("go on", (sql) => sql`select 1`).catch((error) => error)).toBe(reason);
  expect(await connectWithin(endpoint, { signal: stop.signal, timeoutMs: 1 }).catch((error) => error)).toBe(
    reason,
  );
});

test.each(["the limit of waits for locks", "a signal"])(
  "the look for empty tables after a restore ends by %s",
  async (by) => {
    const place = await lockedDatabase("lock table pg_extension in access exclusive mode");
    const stop = new AbortController();
    const warnings: string[] = [];
    const context = {
      log: { warning: (text: string) => warnings.push(text) },
      config: { dump: { lock_wait_timeout_ms: by === "a signal" ? 600_000 : 1_000 } },
      signal: stop.signal,
    } as unknown as Parameters<typeof emptyTables>[0];
    const entries = [
      { id: 1, description: "TABLE DATA", namespace: "pg_catalog", tag: "pg_extension", dependencies: [] },
    ] as unknown as ArchiveContents["entries"];
    const request = { facts: undefined, target: place.endpoint };
    const contents = { entries } as unknown as ArchiveContents;
    const found = emptyTables(context, request, contents, entries, { rowsOf: () => 1 });
    if (by === "a signal") {
      await place.waits();
      stop.abort(new Error("interrupted by hand"));
    }
    expect(await found).toEqual([]);
    expect(warnings).toEqual(["restored tables could not be checked for rows"]);
    await place.noSession();
    await place.release();
  },
);
