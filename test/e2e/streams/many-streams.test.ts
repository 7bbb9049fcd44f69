import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { dumpStreams, plantStreams } from "../../lab/data/planted-streams.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A backup of many streams: each of them is restored by a session of its own. */

const STREAMS = 24;

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let backupId: string;

beforeAll(async () => {
  const source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  for (let i = 0; i < STREAMS; i++)
    await sql.unsafe(`create table t${i} as select i, md5(i::text) as text from generate_series(1, 5000) i`);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("a", directory)],
  });
  const archives = await dumpStreams(sql, postgres.address, source, STREAMS);
  backupId = await plantStreams(installation, ["a"], archives, { database: source, membersAtOnce: STREAMS });
});
afterAll(() => installation[Symbol.asyncDispose]());

test.each(["throwaway", "source"])("a restore test on %s has a session for each stream", async (server) => {
  await installation.configure({ more: `[restore_test]\nserver = "${server}"\nmax_bytes = "1GiB"` });
  const { json } = await installation.run("restore-test", backupId, "--json");
  expect(json.tests).toEqual([expect.objectContaining({ outcome: "PASSED", error: null })]);
});
