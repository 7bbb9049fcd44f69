import { beforeAll, expect, test } from "bun:test";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

const postgres = usePostgres();
const installation = useInstallation(postgres, {
  storages: (directory) => [localStorage("disk", directory)],
  globals: true,
});
const ids: string[] = [];
let database = "";
let globals = "";

async function backup(name = database): Promise<string> {
  const { json } = await installation().ok("backup", name, "--json");
  globals = json.globals[0].backup_id;
  return json.backups[0].backup_id;
}

beforeAll(async () => {
  database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await sql.unsafe(`create table same as select generate_series(1, 5) as i;
    create table grows as select generate_series(1, 100) as i;
    create table "to go" as select generate_series(1, 3) as i`);
  ids.push(await backup());
  await sql.unsafe(`insert into grows select generate_series(1, 20000); drop table "to go";
    create schema more; create table more.new (i int primary key); insert into more.new values (1), (2)`);
  ids.push(await backup());
}, 60_000);

test("tables that were added, removed and changed between two backups", async () => {
  const [before = "", after = ""] = ids;
  const { stdout, stderr } = await installation().ok("diff", before.slice(0, 8), after);
  expect(stderr).toBe("");
  const [sides = "", tables = "", sum] = stdout.trimEnd().split("\n\n");
  const cells = (text: string) => text.split("\n").map((line) => line.trim().split(/ {2,}/));
  expect(cells(sides)).toContainEqual(["backup", before.slice(0, 8), after.slice(0, 8)]);
  expect(cells(sides)).toContainEqual(["rows", "108", "20,107", "+19,999"]);
  expect(cells(sides)).toContainEqual(["indexes", "0", "1", "+1"]);
  expect(cells(tables)).toEqual([
    ["TABLE", "ROWS BEFORE", "ROWS AFTER", "CHANGE", "SIZE", "CHANGE"],
    ["+ more.new", "-", "2", "+2", "8.0 KiB", "+8.0 KiB"],
    [
      "~ public.grows",
      "100",
      "20,100",
      "+20,000",
      expect.stringMatching(/KiB$/),
      expect.stringMatching(/^\+.* KiB$/),
    ],
    ["- public.to go", "3", "-", "-3", "8.0 KiB", "-8.0 KiB"],
  ]);
  expect(sum).toBe("1 table added, 1 removed, 1 changed, 1 unchanged");
  const { json } = await installation().ok("diff", before, after, "--json");
  expect(misfits(json, documentedKeys("JSON of diff"))).toEqual([]);
  expect(json).toMatchObject({
    before: { id: before, tables: 3, rows: 108, is_complete: true },
    after: { id: after, tables: 3, rows: 20_107 },
    warnings: [],
    tables: { added: 1, removed: 1, changed: 1, unknown: 0, unchanged: 1 },
    differences: [
      { schema: "more", name: "new", change: "added", rows_before: null, rows_after: 2, rows_change: 2 },
      { name: "grows", change: "changed", rows_change: 20_000 },
      { name: "to go", change: "removed", rows_change: -3, bytes_after: null },
    ],
  });
  // Backwards, as asked.
  expect((await installation().ok("diff", after, before)).stdout).toContain("- more.new");
});

test("one id is compared with the backup before it; the exit code says whether they differ if asked", async () => {
  const [before = "", after = ""] = ids;
  const { json } = await installation().ok("diff", after, "--json");
  expect([json.before.id, json.after.id]).toEqual([before, after]);
  expect((await installation().run("diff", after, "--exit-code")).exitCode).toBe(3);
  expect(await installation().run("diff", after, after, "--exit-code")).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/\n\n3 tables unchanged\n$/),
  });
  expect(await installation().run("diff", before)).toMatchObject({
    ...{ exitCode: 2, stdout: "" },
    stderr: expect.stringContaining("diff: no good backup of main/"),
  });
});

test("what cannot be compared is said", async () => {
  const [before = ""] = ids;
  const other = await postgres.createDatabase();
  await installation().configure({ more: "[dump]\ncounts = false" });
  const uncounted = await backup(other);
  const { stdout, stderr } = await installation().ok("diff", before, uncounted);
  expect(stderr).toBe(
    `warning: the backups are of different databases: main/${database} and main/${other}\n` +
      `warning: backup ${uncounted.slice(0, 8)} has no counts: dump.counts is off; only the sizes of the backups are compared\n`,
  );
  expect(stdout).not.toContain("unchanged");
  const { json } = await installation().ok("diff", before, globals, "--json");
  expect(json).toMatchObject({ tables: null, differences: [], after: { kind: "globals", rows: null } });
  expect(json.warnings[1]).toContain("holds the globals of a server, which have no tables");
  expect((await installation().run("diff", before, uncounted, "--exit-code")).exitCode).toBe(3);
}, 60_000);

test.each([
  [[], "diff: an argument is missing\nhint: usage: pg321 diff ID [ID]\n"],
  [["zz"], '"zz" is not a backup\'s id\nhint: pg321 list shows the ids'],
  [["a", "b", "c"], 'diff: unexpected argument "c"'],
])("diff %p is refused", async (words, message) => {
  const { exitCode, stdout, stderr } = await installation().run("diff", ...words);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  expect(stderr).toStartWith(`error: ${message}`);
});
