import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { binDir } from "../../lab/bin-dir.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A dump that pg_dump wrote incompletely: its copies are as they were written, and no restore of any of them works. */

setDefaultTimeout(120_000);

const postgres = usePostgres();
let installation: Installation;
let source: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 1);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
  });
  await installation.ok("backup");
});
afterAll(() => installation[Symbol.asyncDispose]());

/** A backup of what `head` leaves of a dump. */
async function brokenBackup(head: string): Promise<string> {
  const cutting = await binDir(installation.directory, {
    pg_dump: `set -o pipefail\n"REAL" "$@" | { head -c ${head}; cat > /dev/null; }`,
  });
  await installation.configure({ server: `bin_dir = "${cutting}"` });
  const { json } = await installation.ok("backup", "--json");
  await installation.configure({ server: "" });
  return json.backups[0].backup_id;
}

async function stateOf(id: string) {
  const { json } = await installation.ok("show", id, "--json");
  const { alerts } = (await installation.ok("alerts", "--json")).json;
  const open = alerts.filter(({ resolved_at }: { resolved_at: string | null }) => resolved_at === null);
  return {
    status: json.status,
    copies: json.copies.map(
      ({ storage, state }: { storage: string; state: string }) => `${storage} ${state}`,
    ),
    error: json.error,
    critical: open
      .filter(
        ({ level, key }: { level: string; key: string }) => level === "CRITICAL" && key.startsWith("verify "),
      )
      .map(({ key }: { key: string }) => key)
      .sort(),
  };
}

const into = () => {
  const target = postgres.newName("broken");
  return ["--target", `main/${target}`, "--create"];
};
const ROWS_CUT = "-3000";
const CONTENTS_CUT = "900";

describe.each<[string, string, (id: string) => string[], RegExp]>([
  ["a restore", ROWS_CUT, (id) => ["restore", id, ...into()], /cannot read the dump/],
  [
    "a restore with several jobs",
    ROWS_CUT,
    (id) => ["restore", id, ...into(), "--jobs", "2"],
    /dump itself is broken/,
  ],
  [
    "a restore of a dump without its contents",
    CONTENTS_CUT,
    (id) => ["restore", id, ...into()],
    /custom format/,
  ],
  ["a restore test", ROWS_CUT, (id) => ["restore-test", id], /cannot read the dump/],
])("%s", (_, head, words, said) => {
  test("finds that the dump is broken in every copy, records it at once, and alerts", async () => {
    const id = await brokenBackup(head);
    const { exitCode, stderr, stdout } = await installation.run(...words(id));
    expect({ exitCode, text: stderr + stdout }).toEqual({ exitCode: 14, text: expect.stringMatching(said) });
    expect(stderr + stdout).toContain("the dump itself is broken, in every copy");
    expect(await stateOf(id)).toMatchObject({
      ...{ status: "FAILED", copies: ["a DAMAGED", "b DAMAGED"] },
      critical: [`verify main/${source} a`, `verify main/${source} b`],
    });
    expect((await installation.ok("repair", "--dry-run", "--json")).json.copies).toEqual([]);
  });
});

test("the same error of pg_restore says nothing about a backup that a second reading finds good", async () => {
  const { json } = await installation.ok("backup", "--json");
  const id = json.backups[0].backup_id;
  const dead = await binDir(installation.directory, {
    pg_restore:
      'case "$*" in *--file=/dev/null*) exec "REAL" "$@";; esac; cat > /dev/null; echo "pg_restore: error: could not read from input file: end of file" >&2; exit 1',
  });
  await installation.configure({ server: `bin_dir = "${dead}"` });
  const { exitCode } = await installation.run("restore", id, ...into());
  await installation.configure({ server: "" });
  expect(exitCode).toBe(10);
  expect(await stateOf(id)).toMatchObject({ status: "VERIFIED", copies: ["a CONFIRMED", "b CONFIRMED"] });
});
