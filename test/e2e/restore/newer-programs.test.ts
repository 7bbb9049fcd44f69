import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

/**
 * A host whose only client programs are newer than its server. Debian 12 has none of these: programs of the server's own
 * version stand in for them; they report a newer version and begin each restore as those do. Real programs of PostgreSQL
 * 17 and later are used if `PG321_TEST_BIN_DIRS` lists their directories, separated by colons.
 */

setDefaultTimeout(180_000);
const postgres = usePostgres();
let older: LabPostgres;
const installation = useInstallation(postgres);

beforeAll(async () => {
  older = await startPostgres({ fetched: 14 });
});
afterAll(async () => {
  await older?.[Symbol.asyncDispose]();
});

/** pg_dump and pg_restore that report version 17; pg_restore first sends what version 17 sends first. */
function standIns(): string {
  const real = postgres.address.bin_dir;
  const directory = join(installation().directory, "seventeen");
  mkdirSync(directory, { recursive: true });
  const program = (name: string, before: string) =>
    writeFileSync(
      join(directory, name),
      `#!/bin/sh\nif [ "$1" = --version ]; then echo '${name} (PostgreSQL) 17.0'; exit; fi\n${before}exec ${real}/${name} "$@"\n`,
      { mode: 0o755 },
    );
  program("pg_dump", "");
  program("pg_restore", `${real}/psql -qX -v ON_ERROR_STOP=1 -c 'SET transaction_timeout = 0;' || exit 1\n`);
  return directory;
}

test("a restore skips the one setting that an older server does not know", async () => {
  await installation().configure({ server: `bin_dir = ${JSON.stringify(standIns())}` });
  const source = await postgres.createDatabase();
  await fillSampleDatabase(postgres.connect(source));
  const [backup] = (await installation().ok("backup", source, "--json")).json.backups;
  for (const words of [["--jobs", "2"], ["--keep-going"]]) {
    const target = postgres.newName("target");
    await installation().ok("restore", backup.backup_id, "--target", `main/${target}`, "--create", ...words);
    expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  }
  expect(await installation().temporaryFiles()).toEqual([]);
});

const REAL = (process.env["PG321_TEST_BIN_DIRS"] ?? "").split(":").filter((path) => path !== "");
// Without such programs no test is declared, so none is skipped.
for (const binDir of REAL)
  test(`programs in ${binDir} restore into this server and into an older one`, async () => {
    await installation().configure({ server: `bin_dir = ${JSON.stringify(binDir)}` });
    const source = await postgres.createDatabase();
    await fillSampleDatabase(postgres.connect(source));
    const [backup] = (await installation().ok("backup", source, "--json")).json.backups;
    const target = postgres.newName("target");
    for (const words of [["--jobs", "2", "--create"], ["--clean"]]) {
      await installation().ok("restore", backup.backup_id, "--target", `main/${target}`, ...words);
      expect((await compareByName(postgres, source, target)).differences).toEqual([]);
    }
    const plain = await postgres.createDatabase();
    await postgres
      .connect(plain)
      .unsafe("create table t (i int primary key); insert into t select generate_series(1, 10)")
      .simple();
    const [other] = (await installation().ok("backup", plain, "--json")).json.backups;
    const { user, password, port } = older.address;
    const name = `target_${crypto.randomUUID().slice(0, 8)}`;
    await installation().ok(
      ...[
        "restore",
        other.backup_id,
        "--create",
        "--target",
        `postgres://${user}:${password}@127.0.0.1:${port}/${name}`,
      ],
    );
    const sql = connectTo(older.address, name);
    expect([...(await sql`select count(*)::int as n from t`)]).toEqual([{ n: 10 }]);
    await sql.end();
  });
