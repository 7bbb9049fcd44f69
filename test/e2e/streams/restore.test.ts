import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { dumpStreams, plantStreams } from "../../lab/data/planted-streams.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let archives: [string, Buffer][];
let backupId: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  await fillSampleDatabase(sql, 0.2);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
  });
  // The storages get their markers.
  await installation.ok("backup");
  archives = await dumpStreams(sql, postgres.address, source, 4);
  backupId = await plantStreams(installation, ["a", "b"], archives, { database: source });
});
afterAll(() => installation[Symbol.asyncDispose]());

function newName(): string {
  const name = `${source}_${crypto.randomUUID().slice(0, 8)}`;
  postgres.dropAtEnd(name);
  return name;
}

async function expectEqual(name: string): Promise<void> {
  const { differences, summary } = await compareByName(postgres, source, name);
  expect(differences).toEqual([]);
  expect(summary.rows).toBeGreaterThan(1_000);
}

test("a backup of several streams becomes the same database", async () => {
  const name = newName();
  const { json } = await installation.ok(
    "restore",
    backupId,
    "--target",
    `main/${name}`,
    "--create",
    "--json",
  );
  expect(json).toMatchObject({ outcome: "OK", errors: [] });
  await expectEqual(name);
});
