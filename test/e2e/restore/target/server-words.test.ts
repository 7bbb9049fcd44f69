import { expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../../lab/installation.ts";
import { usePostgres } from "../../../lab/servers/use-postgres.ts";

/** PostgreSQL's own DETAIL and HINT reach the user of every command that talks to it. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const DETAIL = "User does not have CONNECT privilege.";

test("of a refused connection, in backup, doctor, restore and restore-test", async () => {
  const role = `stranger_${crypto.randomUUID().slice(0, 8)}`;
  const admin = postgres.connect();
  const database = await postgres.createDatabase();
  await postgres.connect(database)`create table t (i int)`;
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
    more: '[restore_test]\nserver = "source"',
  });
  const backup = await installation.backUp();
  await admin
    .unsafe(`create role ${role} login password 'p'; revoke connect on database ${database} from public`)
    .simple();
  try {
    const address = { ...postgres.address, user: role, password: "p" };
    await installation.configure({ postgres: address });
    for (const words of [["backup"], ["doctor"], ["restore", backup, "-t", `main/${database}`]]) {
      const { exitCode, stdout, stderr } = await installation.run(...words);
      expect({ words, exitCode }).not.toMatchObject({ exitCode: 0 });
      expect(stdout + stderr).toContain(DETAIL);
    }
    await installation.configure({ server: `maintenance_database = "${database}"` });
    for (const words of [["doctor"], ["restore-test", backup]]) {
      const { stdout, stderr } = await installation.run(...words);
      expect(stdout + stderr).toContain(DETAIL);
    }
  } finally {
    await admin.unsafe(`drop role ${role}`);
  }
});

test("of a statement of pg_dump and of pg_restore", async () => {
  const source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(
      `create function refuse() returns bool language plpgsql as $$ begin
         raise exception 'no rows today' using detail = 'it is a holiday', hint = 'come back tomorrow';
       end $$;
       create table t (i int); insert into t values (1);
       create function checked(int) returns bool language plpgsql as 'begin return true; end';
       alter table t add check (checked(i));
       create or replace function checked(int) returns bool language plpgsql as 'begin return refuse(); end';
       alter function checked(int) set search_path = public`,
    )
    .simple();
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
  const { stderr } = await installation.run(
    "restore",
    "-d",
    source,
    "-t",
    `main/${await postgres.createDatabase()}`,
  );
  expect(stderr).toContain("no rows today; it is a holiday");
  expect(stderr).toContain("hint: come back tomorrow");
  const tested = await installation.run("restore-test", source);
  expect(tested.stdout + tested.stderr).toContain("it is a holiday");
});
