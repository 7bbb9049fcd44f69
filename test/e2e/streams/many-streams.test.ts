import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { dumpStreams, plantStreams } from "../../lab/data/planted-streams.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A backup of many streams: each of them is restored by a session of its own. */

const STREAMS = 24;

/**
 * A check of every table, which waits until the gate is open. It is open in the source and closed in a restored schema,
 * until every stream copies rows, each in its own session. The restore of the sequence comes after the rows.
 */
const ALL_THERE = `create sequence gate; select nextval('gate');
  create function all_there() returns bool language plpgsql as $$
  begin
    while not (select is_called from public.gate) loop
      perform nextval('public.gate') where ${STREAMS} <=
        (select count(*) from pg_stat_activity where datname = current_database() and query like 'COPY public.t%');
      perform pg_sleep(0.01), pg_stat_clear_snapshot();
    end loop;
    return true;
  end $$`;

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let backupId: string;

beforeAll(async () => {
  const source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  await sql.unsafe(ALL_THERE).simple();
  for (let i = 0; i < STREAMS; i++)
    await sql
      .unsafe(
        `create table t${i} (i int check (i > 1 or all_there()), text text);
         insert into t${i} select i, md5(i::text) from generate_series(1, 5000) i`,
      )
      .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("a", directory)],
  });
  const archives = await dumpStreams(sql, postgres.address, source, STREAMS);
  backupId = await plantStreams(installation, ["a"], archives, { database: source, membersAtOnce: STREAMS });
});
afterAll(() => installation[Symbol.asyncDispose]());

test.each(["throwaway", "source"])(
  "a restore test on %s has a session for each stream at the same time",
  async (server) => {
    await installation.configure({ more: `[restore_test]\nserver = "${server}"\nmax_bytes = "1GiB"` });
    const { json } = await installation.run("restore-test", backupId, "--json");
    expect(json.tests).toEqual([expect.objectContaining({ outcome: "PASSED", error: null })]);
  },
);
