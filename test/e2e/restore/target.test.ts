import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "postgres";
import { quoteIdentifier } from "../../../src/postgres/archive/sql-text.ts";
import { compareDatabases } from "../../lab/data/compare-databases.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { compareByName, databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

/** What is checked in the target before anything is changed, and what is created there. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const id = crypto.randomUUID().slice(0, 8);

const installation = useInstallation(postgres);

let connection: Sql | undefined;
const onServer = (): Sql => (connection ??= postgres.connect());
/** One statement after another, each in its own transaction. */
async function admin(...statements: string[]): Promise<void> {
  for (const statement of statements) await onServer().unsafe(statement).simple();
}

test("everything that the target lacks is reported before anything is changed", async () => {
  const source = `lacking_${id}`;
  const [owner, reader, space] = [`Owner ${id}`, `Reader ${id}`, `space_${id}`].map(quoteIdentifier);
  await postgres.createDatabase(source);
  await admin(`create role ${owner}; create role ${reader}`);
  const sql = postgres.connect(source);
  await sql.unsafe("set allow_in_place_tablespaces to on").simple();
  await sql.unsafe(`create tablespace ${space} location ''`);
  await sql
    .unsafe(`create table t (i int) tablespace ${space}; alter table t owner to ${owner}; grant select on t to ${reader};
      set allow_system_table_mods to on;
      insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        values (99999, 'no_such_extension', 10, 2200, true, '1.0')`)
    .simple();
  const backup = await installation().backUp(source);
  await sql.end();
  await admin(`drop database ${source}`);
  await admin(`drop tablespace ${space}`);
  await admin(`drop role ${owner}; drop role ${reader}`);

  for (const words of [["--create"], ["--create", "--jobs", "2"], ["--create", "--keep-going"]]) {
    const target = postgres.newName();
    const { exitCode, stderr } = await installation().run(
      "restore",
      backup,
      "--target",
      `main/${target}`,
      ...words,
    );
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
    expect(stderr).toContain(
      `it lacks role "Owner ${id}", role "Reader ${id}", extension "no_such_extension", tablespace "space_${id}"; nothing was changed`,
    );
    expect(stderr).toContain(`hint: extension "no_such_extension": install its package`);
    expect(stderr).toContain(`\nCREATE ROLE "Owner ${id}"; CREATE ROLE "Reader ${id}";\n`);
    expect(await databaseNames(postgres)).not.toContain(target);
  }

  const target = await postgres.createDatabase();
  const dry = await installation().run(
    "restore",
    backup,
    "--target",
    `main/${target}`,
    "--dry-run",
    "--json",
  );
  expect(dry.exitCode).toBe(10);
  expect(dry.json).toMatchObject({
    dry_run: true,
    target_contents: [],
    obstacle: expect.stringContaining("it lacks"),
  });
  expect(dry.json.lacks.map(({ kind }: { kind: string }) => kind)).toEqual([
    "role",
    "role",
    "extension",
    "tablespace",
  ]);
});

test("missing roles are printed as SQL to paste, or created without login by --create-roles", async () => {
  const [owner, reader] = [`Lost owner ${id}`, `lost_reader_${id}`];
  const source = await postgres.createDatabase();
  await admin(`create role "${owner}"; create role ${reader}`);
  await postgres
    .connect(source)
    .unsafe(
      `create table t as select 1 as i; alter table t owner to "${owner}"; grant select on t to ${reader}`,
    )
    .simple();
  const backup = await installation().backUp(source);
  await postgres
    .connect(source)
    .unsafe(`drop table t; drop owned by ${reader}; drop role "${owner}"`)
    .simple();
  // A role that exists stays as it is.
  await admin(`alter role ${reader} login connection limit 3`);
  const restore = (target: string, ...words: string[]) =>
    installation().run("restore", backup, "--target", `main/${target}`, "--create", ...words);
  const [pasted, created] = [postgres.newName(), postgres.newName()];

  const dry = await restore(pasted, "--dry-run");
  expect(dry.exitCode).toBe(10);
  const sql = dry.stdout.split("\n").filter((line) => line.endsWith(";"));
  expect(sql).toEqual([`CREATE ROLE "${owner}";`]);
  await admin(sql.join("\n"));
  expect((await restore(pasted)).exitCode).toBe(0);
  await admin(`drop database ${pasted}`);
  await admin(`drop role "${owner}"`);

  const would = await restore(created, "--create-roles", "--dry-run", "--json");
  expect(would.json).toMatchObject({ roles_created: [owner], obstacle: null });
  expect(await onServer()`select from pg_roles where rolname = ${owner}`).toHaveLength(0);
  const done = await restore(created, "--create-roles");
  expect({ exitCode: done.exitCode, stderr: done.stderr }).toMatchObject({ exitCode: 0 });
  expect(done.stdout).toContain(`created role ${owner}, without login`);
  expect(
    await onServer()`select rolname, rolcanlogin, rolconnlimit from pg_roles where rolname in (${owner}, ${reader}) order by 1`,
  ).toEqual([
    { rolname: owner, rolcanlogin: false, rolconnlimit: -1 },
    { rolname: reader, rolcanlogin: true, rolconnlimit: 3 },
  ] as never);
  await admin(`drop database ${created}`);
  await admin(`drop role "${owner}"; drop role ${reader}`);
});

test("a role that cannot give objects to their owners is reported", async () => {
  const [source, target] = [await postgres.createDatabase(), await postgres.createDatabase()];
  await admin(`create role "boss ${id}"; create role limited_${id} login password 'p:\\w'`);
  await admin(`alter database ${target} owner to limited_${id}`);
  await postgres
    .connect(source)
    .unsafe(`create table t (i int); alter table t owner to "boss ${id}"`)
    .simple();
  const backup = await installation().backUp(source);
  const passwordFile = join(installation().directory, "password");
  writeFileSync(passwordFile, "p:\\w\n", { mode: 0o600 });
  const url = `postgres://limited_${id}@127.0.0.1:${postgres.address.port}/${target}`;
  const restore = (...words: string[]) =>
    installation().run("restore", backup, "--target", url, "--password-file", passwordFile, ...words);
  try {
    const refused = await restore();
    expect(refused.exitCode).toBe(10);
    expect(refused.stderr).toContain(
      `role "limited_${id}" is not a member of "boss ${id}"; nothing was changed`,
    );
    expect(refused.stderr).toContain(`GRANT "boss ${id}" TO "limited_${id}";`);
    // A member of a superuser, even through another role, could become one: no statement is printed for that.
    await admin(`create role chief_${id} superuser; grant chief_${id} to "boss ${id}"`);
    const plain = await restore();
    const dry = await restore("--dry-run", "--json");
    expect({ exitCode: plain.exitCode, dry: dry.exitCode }).toEqual({ exitCode: 10, dry: 10 });
    expect(plain.stderr).toContain(`role "limited_${id}" is not a member of "boss ${id}"`);
    expect(plain.stderr).toContain("--as postgres");
    expect(plain.stderr + dry.stderr + dry.stdout).not.toContain("GRANT");
    expect(dry.json.lacks).toMatchObject([{ kind: "membership", name: `boss ${id}`, sql: null }]);
    await admin(`revoke chief_${id} from "boss ${id}"; drop role chief_${id}`);
    await admin(`grant "boss ${id}" to limited_${id}`);
    await postgres.connect(target).unsafe(`grant create on schema public to limited_${id}, "boss ${id}"`);
    const restored = await restore();
    expect({ exitCode: restored.exitCode, stderr: restored.stderr }).toMatchObject({ exitCode: 0 });
    expect(await postgres.connect(target)`select from t`).toHaveLength(0);
  } finally {
    for (const name of [source, target]) await admin(`drop database ${name} with (force)`);
    await admin(`drop role "boss ${id}"; drop role limited_${id}`);
  }
});

describe("a target that is not empty", () => {
  let source: string;
  let backup: string;
  beforeAll(async () => {
    source = await postgres.createDatabase();
    await fillSampleDatabase(postgres.connect(source), 0.01);
    backup = await installation().backUp(source);
  });

  test("is refused, and keeps its contents", async () => {
    const target = await postgres.createDatabase();
    await postgres.connect(target)`create table mine as select 1 as i`;
    for (const words of [[], ["--jobs", "2"], ["--keep-going"], ["--table", "customer"]]) {
      const { exitCode, stderr } = await installation().run(
        "restore",
        backup,
        "--target",
        `main/${target}`,
        ...words,
      );
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
      expect(stderr).toContain(`database "${target}" is not empty (1 relation); nothing was changed`);
      expect(stderr).toMatch(/hint: .*--create.*--clean.*--into-existing/);
    }
    const tables = await postgres.connect(
      target,
    )`select relname from pg_class where relnamespace = 'public'::regnamespace`;
    expect(tables.map((row) => row["relname"])).toEqual(["mine"]);
  });

  test("gets the backup added to its contents with --into-existing", async () => {
    const target = await postgres.createDatabase();
    await postgres.connect(target)`create table mine as select 1 as i`;
    await installation().ok("restore", backup, "--target", `main/${target}`, "--into-existing");
    const { differences } = await compareByName(postgres, source, target);
    expect(differences.filter((line) => !/\bmine\b/.test(line))).toEqual([]);
    expect(differences).not.toEqual([]);
  });

  test("is replaced by the backup's contents with --clean, whatever happened to it", async () => {
    const target = postgres.newName();
    await installation().ok("restore", backup, "--target", `main/${target}`, "--create");
    const sql = postgres.connect(target);
    await sql
      .unsafe(`delete from shop.order_item; drop view shop.open_order; alter table shop.customer add column more int;
        select lo_unlink(700001); drop table log.event_2025h1; insert into shop.session values (gen_random_uuid(), '{}')`)
      .simple();
    await installation().ok("restore", backup, "--target", `main/${target}`, "--clean");
    expect((await compareDatabases(postgres.connect(source), sql)).differences).toEqual([]);
  });

  test("is not replaced by --create, and a dry run says so too", async () => {
    const target = await postgres.createDatabase();
    for (const words of [[], ["--jobs", "2"], ["--dry-run"]]) {
      const { exitCode, stdout, stderr } = await installation().run(
        ...["restore", backup, "--target", `main/${target}`, "--create"],
        ...words,
      );
      expect({ exitCode, printed: stdout + stderr }).toMatchObject({ exitCode: 10 });
      expect(stdout + stderr).toContain(`server "main": database "${target}" already exists`);
    }
  });

  test("a restore into an existing empty database needs no option", async () => {
    const target = await postgres.createDatabase();
    await installation().ok("restore", backup, "--target", postgres.url(target));
    expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  });
});

test("--create creates the database with its encoding, owner, settings, comment, rights and limit", async () => {
  const source = `Properties "of" ${id}`;
  const target = `other's ${source}`;
  const [name, owner, reader] = [source, `owner ${id}`, `reader ${id}`].map(quoteIdentifier);
  for (const one of [source, target]) postgres.dropAtEnd(one);
  await admin(`create role ${owner}; create role ${reader}`);
  await admin(
    `create database ${name} template template0 encoding 'LATIN1' locale 'C' owner ${owner} connection limit 7`,
  );
  await admin(`alter database ${name} set search_path to "a b", public; alter database ${name} set work_mem to '5MB';
    alter role ${reader} in database ${name} set statement_timeout to '3s';
    comment on database ${name} is 'it''s; mine'; grant connect on database ${name} to ${reader};
    revoke temporary on database ${name} from public; alter database ${name} set default_transaction_read_only to off`);
  await postgres
    .connect(source)
    .unsafe("create table public.t as select 'größe' as t; comment on table public.t is 'ü'")
    .simple();

  const backup = await installation().backUp(source);
  await installation().ok("restore", backup, "--target", `main/${target}`, "--create");
  expect(await propertiesOf(target)).toEqual(await propertiesOf(source));
  expect(await propertiesOf(target)).toMatchObject({
    encoding: "LATIN1",
    owner: `owner ${id}`,
    datconnlimit: 7,
    comment: "it's; mine",
  });
  expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  for (const one of [source, target]) await admin(`drop database ${quoteIdentifier(one)} with (force)`);
  await admin(`drop role ${owner}; drop role ${reader}`);
});

async function propertiesOf(database: string): Promise<Record<string, unknown>> {
  const [row] = await onServer()`
    select pg_get_userbyid(datdba) as owner, pg_encoding_to_char(encoding) as encoding, datcollate, datctype, datconnlimit,
      (select array_agg(item::text order by item::text) from unnest(datacl) item) as acl, shobj_description(d.oid, 'pg_database') as comment,
      (select json_agg(json_build_array(setrole, setconfig) order by setrole) from pg_db_role_setting where setdatabase = d.oid) as settings
    from pg_database d where datname = ${database}`;
  return row as Record<string, unknown>;
}

test("databases with any name are backed up, listed and restored under it", async () => {
  const names = [
    ...["with space", `quo"te's`, "a/b/c", "..", ".dot.", "Ünï-çødé 🐘", "a=b", "postgres://u@h/d", "-dash"],
    ...["100%25", "back\\slash", "{}$'; drop", "x".repeat(63), "ü".repeat(31), "main/a", "UPPER", "a*b"],
  ].map((name) => (Buffer.byteLength(name) > 50 ? name : `${name}${id}`));
  for (const name of names) {
    await postgres.createDatabase(name);
    await postgres.connect(name)`create table named as select ${name}::text as name`;
  }
  const before = names.map((name) => `main/${name}`);
  const { backups } = (await installation().ok("backup", "--json", ...before)).json;
  expect(backups.map(({ database }: { database: string }) => database).sort()).toEqual([...names].sort());
  const listed = (await installation().ok("list", "--json")).json.backups.map(
    (one: { database: string }) => one.database,
  );
  expect(names.filter((name) => !listed.includes(name))).toEqual([]);
  for (const name of names) {
    await admin(`drop database ${quoteIdentifier(name)} with (force)`);
    await installation().ok(
      "restore",
      "latest",
      `--database=main/${name}`,
      "--target",
      `main/${name}`,
      "--create",
    );
    expect(await postgres.connect(name)`select name from named`).toMatchObject([{ name }]);
    expect((await propertiesOf(name))["encoding"]).toBe("UTF8");
  }
  // In a URL the name is percent-encoded.
  const [name = ""] = names.filter((one) => one.startsWith("Ünï"));
  await admin(`drop database ${quoteIdentifier(name)} with (force)`);
  await installation().ok(
    "restore",
    "latest",
    "-d",
    name,
    "--target",
    postgres.url(name),
    "--create",
    "--jobs",
    "2",
  );
  expect(await postgres.connect(name)`select name from named`).toMatchObject([{ name }]);
});
