import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { DAY_MS } from "../../../src/base/limits.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** Settings of `[[database]]` tables, from the config to the restored database. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let odd: string;

/** Names that look like patterns, partitions, owned sequences, and objects that need a table that is left out. */
const OBJECTS = `
  create schema "App"; create schema audit;
  create table customer (id serial primary key, name text);
  create table "l*g" (id serial primary key, customer int references customer);
  create table log_1 (note text);
  create table "App"."Log" (note text);
  create view names as select name from customer;
  create table event (id bigserial, day date) partition by range (day);
  create table event_1 partition of event for values from ('2026-01-01') to ('2026-02-01');
  create table audit.event_2 partition of event for values from ('2026-02-01') to ('2026-03-01');
  create table kept (id int primary key);
  insert into customer (name) select 'n' || i from generate_series(1, 20) i;
  insert into "l*g" (customer) select id from customer;
  insert into log_1 select 'x' from generate_series(1, 5);
  insert into "App"."Log" select 'x' from generate_series(1, 7);
  insert into event (day) select '2026-01-31'::date + i from generate_series(0, 1) i;
  insert into kept select generate_series(1, 3);
  select lo_from_bytea(0, 'large');`;

beforeAll(async () => {
  source = await postgres.createDatabase();
  odd = await postgres.createDatabase(`${source}[x]*`);
  await postgres.connect(source).unsafe(OBJECTS).simple();
  await postgres.connect(odd)`create table t as select 1 as i`;
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source, `=${odd}`],
    storages: (directory) => ["disk", "usb"].map((name) => localStorage(name, directory)),
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

const configure = (tables: string) => installation.configure({ more: tables });
const own = (lines: string) => `[[database]]\nserver = "main"\nname = ${JSON.stringify(source)}\n${lines}\n`;

async function backUp(database = source): Promise<string> {
  const { backups } = (await installation.ok("backup", `main/${database}`, "--json")).json;
  return backups[0].backup_id;
}

interface Alert {
  key: string;
  level: string;
  message: string;
  resolved_at: string | null;
}

interface Decision {
  backup_id: string;
  storage: string;
  action: "keep" | "expire";
}

/** The open problems. */
async function problems(): Promise<string[]> {
  const { alerts } = (await installation.ok("alerts", "--json")).json;
  return alerts.flatMap(({ level, message, resolved_at }: Alert) =>
    resolved_at === null && level !== "INFO" ? message : [],
  );
}

async function restored(id: string): Promise<string[]> {
  const target = await postgres.createDatabase();
  // Without the view whose table is not there.
  const ended = await installation.run("restore", id, "--target", `main/${target}`);
  expect(ended, ended.stderr).toMatchObject({ exitCode: 3 });
  const rows = await postgres.connect(target)<{ name: string }[]>`
    select n.nspname || '.' || relname || ' ' || (xpath('/row/c/text()', query_to_xml(
      format('select count(*) as c from %s', c.oid::regclass), false, true, '')))[1] as name
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'S') and nspname !~ '^pg_' and nspname <> 'information_schema' order by 1`;
  return rows.map(({ name }) => name);
}

test("tables are left out with their partitions and sequences, and everybody can tell", async () => {
  await configure(
    own(
      'exclude_tables = ["customer", "public.event", "=public.l*g"]\nexclude_table_data = ["log_*", "\\"App\\".*"]\njobs = 2',
    ),
  );
  const id = await backUp();
  const { facts } = (await installation.ok("show", id, "--json")).json;
  expect(facts.left_out).toMatchObject({
    tables: [
      { schema: "audit", name: "event_2" },
      { schema: "public", name: "customer" },
      { schema: "public", name: "event" },
      { schema: "public", name: "event_1" },
      { schema: "public", name: "l*g" },
    ],
    rows_of: [
      { schema: "App", name: "Log" },
      { schema: "public", name: "log_1" },
    ],
    ...{ schema_only: false, large_objects: false, extensions: false, unmatched: [] },
  });
  expect(facts.tables.map(({ name }: { name: string }) => name)).toEqual(["kept"]);
  const without =
    "without tables audit.event_2, public.customer, public.event and 2 others, without the rows of App.Log, public.log_1, so that it cannot restore view public.names";
  expect((await installation.ok("show", id)).stdout).toContain(`left out       ${without}`);
  expect((await installation.ok("status")).stdout).toContain("without tables audit.event_2");
  const [status] = (await installation.ok("status", "--json")).json.databases.filter(
    ({ database }: { database: string }) => database === source,
  );
  expect(status.newest_good.left_out).toBe(without);
  // The view on a table that is left out cannot come back: that is no fault of the backup.
  const tested = (await installation.ok("restore-test", `main/${source}`, "--json")).json;
  expect(tested.tests[0], JSON.stringify(tested.tests)).toMatchObject({ outcome: "PASSED" });
  const dry = await installation.run(
    "restore",
    id,
    "--target",
    `main/${await postgres.createDatabase()}`,
    "--dry-run",
  );
  expect(dry.exitCode).toBe(3);
  expect(dry.stdout).toContain("view public.names");
  expect(dry.stdout).toContain(`warning this backup is ${without}`);
  const refused = await installation.run(
    "restore",
    id,
    "--target",
    `main/${await postgres.createDatabase()}`,
    "--table",
    "customer",
  );
  expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('without table "customer"') });
  expect(await restored(id)).toEqual(["App.Log 0", "public.kept 3", "public.log_1 0"]);
  // The usual size before says nothing about the new one.
  expect(await problems()).toEqual([]);
});

test("included tables bring their sequences and partitions, without anything else", async () => {
  await configure(own('include_tables = ["event", "\\"App\\".\\"Log\\"", "missing_*"]\njobs = 2'));
  const id = await backUp();
  const { facts } = (await installation.ok("show", id, "--json")).json;
  expect(facts.left_out).toMatchObject({ large_objects: true, extensions: true, unmatched: ["missing_*"] });
  expect(facts.tables.map(({ name, rows }: { name: string; rows: number }) => `${name} ${rows}`)).toEqual([
    "Log 7",
    "event_2 1",
    "event_1 1",
  ]);
  expect(await problems()).toEqual([
    `"missing_*" in the [[database]] tables for main/${source} matches no table or schema`,
  ]);
  const tested = (await installation.ok("restore-test", `main/${source}`, "--json")).json;
  expect(tested.tests[0], JSON.stringify(tested.tests)).toMatchObject({ outcome: "PASSED" });

  await configure(own('include_schemas = ["audit", "public"]\nexclude_schemas = ["a*"]\nschema_only = true'));
  const next = await backUp();
  const { facts: second } = (await installation.ok("show", next, "--json")).json;
  expect(second).toMatchObject({ tables: [], sequences: [], left_out: { schema_only: true, unmatched: [] } });
  expect((await installation.ok("restore-test", `main/${source}`, "--json")).json.tests[0].outcome).toBe(
    "PASSED",
  );
  // Every pattern matches again.
  expect(await problems()).toEqual([]);

  await configure(own('include_schemas = ["nothing"]'));
  const failed = await installation.run("backup", `main/${source}`);
  expect(failed).toMatchObject({ exitCode: 10, stderr: expect.stringContaining("leave nothing to dump") });
});

test("storages, compression, options and retention of one database leave the others alone", async () => {
  await configure(
    `${own('storages = ["usb"]\ncompression = { algorithm = "gzip" }\npg_dump_options = ["--no-blobs"]\nkeep = { days = 1 }')}[[database]]\nname = ${JSON.stringify(`=${odd}`)}\nstorages = ["disk"]\n[[database]]\nname = "*"\ncompression = { algorithm = "none" }\n`,
  );
  const { backups } = (await installation.ok("backup", "--json")).json;
  const of = (name: string) => backups.find(({ database }: { database: string }) => database === name);
  expect(of(source).copies).toMatchObject([{ storage: "usb", state: "CONFIRMED" }]);
  expect(of(odd).copies).toMatchObject([{ storage: "disk", state: "CONFIRMED" }]);
  expect((await installation.ok("show", of(source).backup_id, "--json")).json).toMatchObject({
    compression: "gzip",
    facts: { left_out: { large_objects: true, options: ["--no-blobs"] } },
  });
  expect((await installation.ok("show", of(odd).backup_id, "--json")).json.compression).toBe("none");
  // Nothing is filled where it does not belong, and nothing is missing.
  expect((await installation.ok("repair", "--json")).json.copies).toEqual([]);
  const { databases } = (await installation.ok("status", "--json")).json;
  for (const one of databases) expect(one.state).toBe("good");

  const checked = await installation.ok("check", "--json");
  const [first] = checked.json.databases.filter(({ database }: { database: string }) => database === source);
  const config = await Bun.file(installation.configFile).text();
  const line = config.split("\n").indexOf('storages = ["usb"]') + 1;
  expect(first.settings).toContainEqual({ key: "storages", value: '["usb"]', rule: `config.toml:${line}` });
  expect(first.settings).toContainEqual({ key: "schedule", value: '"0 2 * * *"', rule: "[schedule]" });
  expect((await installation.ok("check")).stdout).toContain(`storages = ["usb"] # config.toml:${line}`);

  // Five days later there is a newer backup of each.
  await withCatalog(installation, async (catalog) => {
    const started_at = new Date(Date.now() - 5 * DAY_MS).toISOString();
    for (const { backup_id } of backups) await catalog.updateBackup(backup_id, { started_at });
  });
  await installation.ok("backup");
  const { decisions } = (await installation.ok("cleanup", "--dry-run", "--json")).json;
  const actions = (id: string) =>
    decisions
      .filter(({ backup_id }: Decision) => backup_id === id)
      .map(({ storage, action }: Decision) => `${storage} ${action}`);
  expect(actions(of(source).backup_id)).toEqual(["usb expire"]);
  expect(actions(of(odd).backup_id)).toEqual(["disk keep"]);
});

test("a table that matches no database warns in check, and is an alert until it matches", async () => {
  await configure(`[[database]]\nname = "${source}_later_*"\nschema_only = true\n`);
  expect((await installation.ok("check")).stderr).toContain(
    `"${source}_later_*" in name of the [[database]] table in line`,
  );
  await installation.ok("backup");
  expect(await problems()).toEqual([
    expect.stringContaining(`"${source}_later_*" in name of the [[database]]`),
  ]);
  const later = await postgres.createDatabase(`${source}_later_1`);
  await installation.configure({ databases: [source, `=${odd}`, `${source}_l*`] });
  await installation.ok("backup", `main/${later}`);
  expect(await problems()).toEqual([]);
});
