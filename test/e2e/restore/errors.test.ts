import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A restore that ignores errors reports each of them: in its output, log, record and alert. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let backup: string;
const COUNT = 60;

beforeAll(async () => {
  const source = await postgres.createDatabase();
  const tables = Array.from({ length: COUNT }, (_, i) => `create table "t ${i}" (i int)`).join(";");
  await postgres
    .connect(source)
    .unsafe(
      `${tables}; create table unique_one (i int, t text); insert into unique_one values (1, 'joe@example.com'), (2, 'y');
       insert into "t 0" values (1), (2), (3);
       create extension postgres_fdw; create server far foreign data wrapper postgres_fdw;
       create user mapping for public server far options (user 'u', password 'hunter2')`,
    )
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backup = await installation.backUp();
});
afterAll(() => installation[Symbol.asyncDispose]());

async function target(): Promise<string> {
  const name = await postgres.createDatabase();
  const tables = Array.from({ length: COUNT }, (_, i) => `create table "t ${i}" (i int)`).join(";");
  await postgres
    .connect(name)
    .unsafe(
      `${tables}; create table unique_one (i int check (i > 1), t text);
       create extension postgres_fdw; create server far foreign data wrapper postgres_fdw;
       create user mapping for public server far`,
    )
    .simple();
  return name;
}

describe.each([[], ["--jobs", "2"]])("with %p %p", (...options) => {
  const words = options.filter((word) => word !== undefined);

  test("every error is reported: JSON, log, record, alert", async () => {
    const all = [
      "restore",
      backup,
      "-t",
      `main/${await target()}`,
      "--into-existing",
      "--keep-going",
      ...words,
    ];
    const { exitCode, json, stderr, stdout } = await installation.run(...all, "--json");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3 });
    // One for each table, its server and user mapping, and one for a COPY.
    expect(json.errors).toHaveLength(COUNT + 4);
    expect(json.errors_ignored).toBe(COUNT + 4);
    const messages = json.errors.map(({ message }: { message: string }) => message);
    for (let i = 0; i < COUNT; i++) expect(messages).toContain(`relation "t ${i}" already exists`);
    const copy = json.errors.find(({ message }: { message: string }) => message.startsWith("COPY failed"));
    expect(copy).toMatchObject({
      message: expect.stringContaining('violates check constraint "unique_one_i_check"'),
      detail: "Failing row contains (1, joe@example.com).",
      context: expect.stringContaining("COPY unique_one, line 1"),
    });
    // Rows that were not restored are not counted.
    if (words.length === 0) {
      expect(copy.entry).toBe("TABLE DATA public.unique_one");
      expect(json.rows).toBe(3);
    }
    expect(stderr.match(/pg_restore ignored an error/g)).toHaveLength(COUNT + 4);
    expect(stderr).toContain('relation "t 59" already exists');
    expect(stdout + stderr).not.toContain("hunter2");

    const { alerts } = (await installation.ok("alerts", "--json")).json;
    const [alert] = alerts.filter(({ run_id }: { run_id: string }) => run_id === json.run_id);
    expect(alert.message).toMatch(/64 errors of pg_restore ignored: .*already exists.*…/);
    expect(alert.metadata.errors).toHaveLength(50);
    expect(alert.metadata.errors_ignored).toBe(COUNT + 4);
    // The output of the command has the row that was refused; an alert leaves the host.
    expect(copy.detail).toContain("joe@example.com");
    expect(JSON.stringify(alert)).not.toContain("joe@");
    const told = alert.metadata.errors.find(({ entry }: { entry: string }) => entry === copy.entry);
    if (told) expect(told.message).toMatch(/violates check constraint/);
    using catalog = new Database(join(installation.directory, "state/catalog.db"), { readonly: true });
    const { statistics } = catalog.query("select statistics from runs where id = ?").get(json.run_id) as {
      statistics: string;
    };
    expect(JSON.parse(statistics).errors).toEqual(json.errors);
  });
});

test("the text output names each error", async () => {
  const { exitCode, stdout } = await installation.run(
    ...["restore", backup, "-t", `main/${await target()}`, "--into-existing", "--keep-going"],
  );
  expect(exitCode).toBe(3);
  expect(stdout).toContain('error TABLE public.t 7: relation "t 7" already exists');
  expect(stdout).toContain("error TABLE DATA public.unique_one: COPY failed");
  expect(stdout).toContain(`pg_restore continued after ${COUNT + 4} errors`);
});

test("the record and the alert of a failed restore have no words of a function, which may be values of rows", async () => {
  const source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(
      `create function is_good(mail text) returns boolean language plpgsql as $$ begin
         if current_setting('application_name') like 'pg321 restore%' then raise 'bad customer %', mail; end if;
         return true;
       end $$;
       create table customer (mail text check (is_good(mail))); insert into customer values ('joe@example.com')`,
    )
    .simple();
  await using other = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const [{ backup_id }] = (await other.ok("backup", "--json")).json.backups;
  const empty = await postgres.createDatabase();
  const { exitCode, stderr } = await other.run(
    "restore",
    backup_id,
    "-t",
    `main/${empty}`,
    "--into-existing",
  );
  expect(exitCode).toBe(10);
  expect(stderr).toContain("bad customer joe@example.com");
  const { alerts } = (await other.ok("alerts", "--json")).json;
  const [alert] = alerts.filter(({ job }: { job: string }) => job === "restore");
  expect(alert.message).toMatch(/restore into database ".*" failed: .*: an error in a function$/);
  using catalog = new Database(join(other.directory, "state/catalog.db"), { readonly: true });
  const { error } = catalog.query("select error from runs where job = 'restore'").get() as { error: string };
  expect(`restore failed: ${error}`).toBe(alert.message);
});
