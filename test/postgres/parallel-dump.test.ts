import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import type { Pg321Error } from "../../src/base/errors.ts";
import { endpointOfUrl } from "../../src/postgres/connection.ts";
import { VanishedError } from "../../src/postgres/errors.ts";
import { LOCKS_APPLICATION } from "../../src/postgres/parallel-dump/table-locks.ts";
import { eventually } from "../lab/machine/running.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, dumpToMemory } from "./dumping.ts";
import { dumpInStreams, listOf, restoreMembers } from "./parallel.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();
/** One session for each database: the server has few. */
const sessions = new Map<string, ReturnType<typeof lab.connect>>();
function sqlOf(database = "postgres") {
  const sql = sessions.get(database) ?? lab.connect(database);
  sessions.set(database, sql);
  return sql;
}
const endpoint = (database: string) => endpointOfUrl(lab.url(database));

/** Objects whose data is easily lost or dumped twice, and names with every character that a pattern treats specially. */
const ODD = `
  create schema "s.1"; create schema "a*b$"; create schema "Q""uo.te"; create schema "x|y";
  create table "s.1"."t.a" (id serial, x int); insert into "s.1"."t.a" values (1, 2);
  create table "s.1"."t*" (id int generated always as identity, x int); insert into "s.1"."t*" (x) values (7), (8);
  create table "s.1"."tab" (x int); create table "s.1"."t?b" (x int); create table "s.1"."s.1.t*" (x int);
  create table "a*b$"."$d(o){l}[ar]" (x int); create table "a*b$"."|pi|pe" (); create table "aab" (x int);
  create table "Q""uo.te"."new\nline" (x int); create table "Q""uo.te"."back\\slash" (x int);
  create table "Q""uo.te"."***=x" (x int); create table "Q""uo.te"."""" (x int); create table "x|y"."^$" (x int);
  create table "UPPER" (x int); create table "upper" (x int); create table "größe 🐘" (x int); create table "-t" (x int);
  create sequence free start 5; create sequence "fr.ee*";
  create table p (k int generated always as identity, v text) partition by range (k);
  create table p1 partition of p for values from (0) to (10);
  create table p2 partition of p for values from (10) to (30) partition by range (k);
  create table p21 partition of p2 for values from (10) to (30);
  insert into p (v) select 'x' from generate_series(1, 19);
  create table par (a int); create table chi (b int) inherits (par); insert into chi values (1, 2); insert into par values (3);
  create unlogged table ul (a int); create table nocol (); insert into nocol default values; insert into nocol default values;
  create foreign data wrapper dummy; create server srv foreign data wrapper dummy; create foreign table ft (a int) server srv;
  create materialized view mv as select * from p; create index on mv (k); create view vv as select * from p;
  select lo_create(4711); select lo_put(4711, 0, 'hello'); comment on large object 4711 is 'c';
  grant select on large object 4711 to public;
  create table idx (a int primary key, b int references idx); create sequence ownedelse owned by idx.a;
  alter table idx add constraint positive check (a > 0) not valid; create statistics st on a, b from idx;
  create extension hstore; create table conf (i serial); insert into conf values (1), (2); alter extension hstore add table conf;
  alter extension hstore add sequence conf_i_seq;
  update pg_extension set extconfig = array['conf'::regclass::oid, 'conf_i_seq'::regclass::oid],
    extcondition = array['where i > 1', ''] where extname = 'hstore';`;

test("every entry of a plain dump is in exactly one archive, whatever its name", async () => {
  const database = await lab.createDatabase();
  await sqlOf(database).unsafe(ODD).simple();
  await sqlOf(database).unsafe(`alter database ${database} set work_mem = '5MB';
    comment on database ${database} is 'c'; grant connect on database ${database} to postgres`);
  const plain = listOf(await contentsOfDump(await dumpToMemory(endpoint(database), temp.path)));
  for (const groupBytesMin of [1, 16 * 1024 * 1024]) {
    const { members } = await dumpInStreams(endpoint(database), temp.path, { jobs: 3, groupBytesMin });
    const lists = await Promise.all(members.map(async ({ bytes }) => listOf(await contentsOfDump(bytes))));
    expect(lists.flat().sort()).toEqual(plain.sort());
    expect(members.map(({ kind }) => kind)).toEqual(["schema", ...Array(members.length - 1).fill("data")]);
    if (groupBytesMin === 1) expect(members.length).toBeGreaterThan(8);
    else expect(members.length).toBe(2);
  }
});

/** Tables that are larger than the buffers between the server and the reader, so that their streams wait for the reader. */
async function largeTables(...names: string[]): Promise<string> {
  const database = await lab.createDatabase();
  for (const name of names)
    await lab
      .connect(database)
      .unsafe(
        `create table ${name} as select i, repeat(md5(i::text), 30) as text from generate_series(1, 30000) i`,
      );
  return database;
}

function processesOf(database: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) &&
        readFileSync(`/proc/${pid}/environ`, "latin1").includes(`PGDATABASE=${database}\0`)
      );
    } catch {
      return false;
    }
  });
}

const sessionsOf = async (database: string) =>
  (
    await sqlOf()`select pid from pg_stat_activity where datname = ${database} and application_name like 'pg321%'`
  ).length;

const failureOf = (dump: Promise<unknown>): Promise<Pg321Error> =>
  dump.then(
    () => {
      throw new Error("the dump ended as if it were whole");
    },
    (error) => error,
  );

describe("while others write", () => {
  test("the streams see one moment: what two tables must have in common holds in the restored copy", async () => {
    const database = await lab.createDatabase();
    const sql = sqlOf(database);
    for (const name of ["debit", "credit"])
      await sql.unsafe(`create table ${name} as select i, 100::int8 as amount, repeat(md5(i::text), 30) as text
        from generate_series(1, 20000) i; alter table ${name} add primary key (i)`);
    await sql`create sequence numbers start 20001`;
    let isOver = false;
    let transfers = 0;
    const transfer = async () => {
      const writer = lab.connect(database);
      while (!isOver) {
        const moved = transfers % 50;
        const [from, to] = [1 + (transfers % 20_000), 1 + ((transfers * 7919) % 20_000)];
        await writer.begin(async (transaction) => {
          await transaction`update debit set amount = amount - ${moved} where i = ${from}`;
          await transaction`update credit set amount = amount + ${moved} where i = ${to}`;
          await transaction`insert into debit values (nextval('numbers'), 1, 'new')`;
          await transaction`insert into credit values (currval('numbers'), -1, 'new')`;
        });
        transfers++;
      }
    };
    const writing = [transfer(), transfer()];
    const beforeEach = async (count: number) => {
      const from = transfers;
      await eventually(() => transfers > from + count);
    };
    let pieces = 0;
    const { members } = await dumpInStreams(endpoint(database), temp.path, {
      groupBytesMin: 1,
      onSnapshot: () => beforeEach(10),
      onOpen: () => beforeEach(10),
      onPiece: async () => void (++pieces % 20 === 0 && (await beforeEach(3))),
    }).finally(() => {
      isOver = true;
    });
    await Promise.all(writing);
    expect(members.length).toBe(4);
    const restored = await lab.createDatabase();
    restoreMembers(members, endpoint(restored));
    const sums =
      "select (select sum(amount) from debit) + (select sum(amount) from credit) as sum, (select count(*) from debit) - (select count(*) from credit) as more";
    const [row] = await sqlOf(restored).unsafe(sums);
    expect({ ...row }).toEqual({ sum: "4000000", more: "0" });
  });

  describe("a table that changes between the snapshot and its lock is found", () => {
    const cases: [string, string, string][] = [
      ["truncated", "truncate t", 'table "public"."t" was truncated or rewritten'],
      ["rewritten", "alter table t alter i type int8", 'table "public"."t" was truncated or rewritten'],
      ["dropped", "drop table t", "does not exist"],
      ["renamed", "alter table t rename to u", "does not exist"],
      ["replaced", "alter table t rename to u; create table t (i int)", 'table "public"."t" was replaced'],
    ];
    test.each(cases)("%s", async (_, statement, message) => {
      const database = await lab.createDatabase();
      const sql = sqlOf(database);
      await sql`create table t as select 1 as i`;
      await sql`create table other as select 1 as i`;
      const onSnapshot = () => sql.unsafe(statement);
      const error = await failureOf(dumpInStreams(endpoint(database), temp.path, { onSnapshot }));
      expect(error).toBeInstanceOf(VanishedError);
      expect(error.message).toContain(message);
      await eventually(async () => (await sessionsOf(database)) === 0);
    });
  });

  test("a stream that would wait behind a session which waits for the dump gives up at once and names it", async () => {
    const database = await largeTables("a", "b");
    const [sql, other] = [sqlOf(database), lab.connect(database)];
    const [{ pid } = { pid: 0 }] = await other<{ pid: number }[]>`select pg_backend_pid() as pid`;
    let altering: Promise<unknown> = Promise.resolve();
    const onOpen = async () => {
      altering = other`alter table b add column j int`.execute();
      await eventually(
        async () => (await sql`select from pg_locks where pid = ${pid} and not granted`).length > 0,
      );
    };
    const error = await failureOf(dumpInStreams(endpoint(database), temp.path, { groupBytesMin: 1, onOpen }));
    expect(error).toBeInstanceOf(VanishedError);
    expect(error.message).toContain(`session ${pid} (user postgres, application "`);
    expect(error.message).toContain("waits for public.b");
    expect(error.message).toContain("alter table b add column j int");
    await altering;
    expect(processesOf(database)).toEqual([]);
    expect((await dumpInStreams(endpoint(database), temp.path, {})).members.length).toBe(3);
  });
});

describe("if one part of it fails, the dump ends without its end, and leaves nothing behind", () => {
  const failure = async (database: string, disturb: () => unknown) => {
    let pieces = 0;
    const onPiece = async () => void (++pieces === 10 && (await disturb()));
    const error = await failureOf(
      dumpInStreams(endpoint(database), temp.path, { groupBytesMin: 1, onPiece }),
    );
    expect(processesOf(database)).toEqual([]);
    await eventually(async () => (await sessionsOf(database)) === 0);
    expect(readdirSync(temp.path)).toEqual([]);
    return error;
  };

  test("a pg_dump is killed", async () => {
    const database = await largeTables("a", "b");
    const error = await failure(database, () => process.kill(Number(processesOf(database)[0]), "SIGKILL"));
    expect(error.message).toContain("pg_dump was killed by SIGKILL");
  });

  test("a stream's session is terminated", async () => {
    const database = await largeTables("a", "b");
    const error = await failure(
      database,
      () => sqlOf()`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = ${database} and application_name = 'pg321'`,
    );
    expect(error).toMatchObject({ code: "database", message: expect.stringMatching(/terminat|closed/) });
  });

  test("the session with the locks is terminated", async () => {
    const database = await largeTables("a", "b");
    const error = await failure(
      database,
      () => sqlOf()`select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = ${database} and application_name = ${LOCKS_APPLICATION}`,
    );
    expect(error.message).toMatch(
      /cannot (keep the locks of|look for sessions that wait for) the dump|the session with the locks of the dump does not answer/,
    );
  });

  test("the reader leaves", async () => {
    const database = await largeTables("a", "b", "c");
    const reason = new Error("enough");
    const error = await failure(database, () => {
      throw reason;
    });
    expect(error).toBe(reason as Pg321Error);
  });

  test("it is aborted", async () => {
    const database = await largeTables("a", "b", "c");
    const abort = new AbortController();
    const reason = new Error("enough");
    const onOpen = () => void setTimeout(() => abort.abort(reason), 0);
    const dump = dumpInStreams(endpoint(database), temp.path, { signal: abort.signal, onOpen });
    expect(await failureOf(dump)).toBe(reason as Pg321Error);
    expect(processesOf(database)).toEqual([]);
  });
});

describe("connections", () => {
  const limited = async (connections: number) => {
    const database = await largeTables("a", "b", "c");
    const role = `limited_${database}`;
    await lab
      .connect(database)
      .unsafe(`create role ${role} login password 'x' connection limit ${connections};
        grant pg_read_all_data to ${role}`)
      .simple();
    const url = new URL(lab.url(database));
    [url.username, url.password] = [role, "x"];
    const fewer: unknown[] = [];
    const onFewer = (error: unknown) => fewer.push(error);
    const dump = () =>
      dumpInStreams(endpointOfUrl(url.href), temp.path, { jobs: 4, groupBytesMin: 1, onFewer }).finally(
        async () => {
          const sql = sqlOf(database);
          await eventually(
            async () => (await sql`select from pg_stat_activity where usename = ${role}`).length === 0,
          );
          await sql.unsafe(`drop role ${role}`);
        },
      );
    return { dump, fewer };
  };

  test("if there are too few, streams wait for others, and the dump is whole", async () => {
    const { dump, fewer } = await limited(3);
    const { members } = await dump();
    expect(fewer.length).toBeGreaterThan(0);
    const restored = await lab.createDatabase();
    restoreMembers(members, endpoint(restored));
    for (const table of ["a", "b", "c"])
      expect((await sqlOf(restored).unsafe(`select count(*)::int as n from ${table}`))[0]?.["n"]).toBe(
        30_000,
      );
  });

  test.each([1, 2])(
    "with %d, there is none for the first stream: a reason for one stream",
    async (connections) => {
      const { dump } = await limited(connections);
      expect((await failureOf(dump())).message).toContain("too many connections for role");
    },
  );
});

test("names that an argument cannot express are a reason for one stream", async () => {
  const database = await lab.createDatabase();
  await sqlOf().unsafe(`drop database ${database}`);
  await sqlOf().unsafe(`create database ${database} encoding 'LATIN1' locale 'C' template template0`);
  await sqlOf(database).unsafe('create table "größe" (i int)');
  const error = await failureOf(dumpInStreams(endpoint(database), temp.path, {}));
  expect(error.message).toContain("the database's encoding is LATIN1, not UTF8");
});
