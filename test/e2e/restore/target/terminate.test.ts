import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import postgresClient, { type Sql } from "postgres";
import { contentsOf } from "../../../lab/data/compare-databases.ts";
import { Installation, localStorage } from "../../../lab/installation.ts";
import { usePostgres } from "../../../lab/servers/use-postgres.ts";

/** Sessions that hold a lock on what `--clean` drops: named beforehand, ended only on request. */

setDefaultTimeout(120_000);
// Before the server may stop.
afterAll(async () => {
  await postgres.connect().unsafe(`drop database ${target} with (force)`);
  await postgres.connect().unsafe(`drop role ${owner}, ${reader}`);
});
const postgres = usePostgres();
let installation: Installation;
let target: string;
let backup: string;
const suffix = crypto.randomUUID().slice(0, 8);
const [owner, reader] = [`owner_${suffix}`, `reader_${suffix}`];
const open: Sql[] = [];

beforeAll(async () => {
  const admin = postgres.connect();
  await admin
    .unsafe(`create role ${owner} login password 'p'; create role ${reader} login password 'p'`)
    .simple();
  target = await postgres.createDatabase();
  await admin.unsafe(`alter database ${target} owner to ${owner}`);
  await postgres
    .connect(target)
    .unsafe(
      `set role ${owner}; create table a (i int); create table other (i int); insert into a values (1);
       grant select on a, other to ${reader}`,
    )
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [target],
    storages: (directory) => [localStorage("disk", directory)],
    more: '[dump]\nlock_wait_timeout = "2s"',
  });
  backup = await installation.backUp();
});
afterEach(async () => {
  for (const sql of open.splice(0)) await sql.end({ timeout: 1 });
});
afterAll(() => installation[Symbol.asyncDispose]());

/** A session that holds a lock on the table until it ends. Returns its pid. */
async function hold(
  table: string,
  application: string,
): Promise<{ pid: number; isAlive: () => Promise<boolean> }> {
  const { socket_dir, port } = postgres.address;
  const login = { user: reader, password: "p", database: target };
  const sql = postgresClient({
    ...{ host: socket_dir, port, ...login, max: 1, onnotice: () => {}, onclose: () => {} },
    connection: { application_name: application },
  });
  open.push(sql);
  const session = await sql.reserve();
  await session`begin`;
  await session.unsafe(`select from ${table} where 'a secret' is not null`);
  const [{ pid }] = (await session`select pg_backend_pid() as pid`) as unknown as [{ pid: number }];
  const isAlive = async () =>
    (await postgres.connect()`select from pg_stat_activity where pid = ${pid}`).length > 0;
  return { pid, isAlive };
}

const url = () => `postgres://${owner}:p@127.0.0.1:${postgres.address.port}/${target}`;
const words = (to: string, ...more: string[]) => [
  "restore",
  backup,
  "-t",
  to,
  "--clean",
  "--into-source",
  "--table",
  "a",
  ...more,
];

test("a dry run names them, without their queries, and ends none", async () => {
  const { pid, isAlive } = await hold("a", "a report");
  await hold("other", "an innocent");
  const dry = await installation.ok(...words(`main/${target}`, "--terminate", "--dry-run", "--json"));
  expect(dry.json.sessions).toMatchObject([
    { pid, user: reader, application: "a report", state: "idle in transaction", can_terminate: true },
  ]);
  expect(dry.stdout).not.toContain("a secret");
  const text = await installation.ok(...words(`main/${target}`, "--dry-run"));
  expect(text.stdout).toMatch(
    new RegExp(`in the way pid ${pid} \\(user ${reader}, application "a report", idle in`),
  );
  expect(await isAlive()).toBe(true);
});

test("--terminate ends exactly those, and says which", async () => {
  const inTheWay = await hold("a", "a report");
  const innocent = await hold("other", "an innocent");
  await postgres.connect(target)`insert into a values (2)`;
  const { json, stderr } = await installation.ok(...words(`main/${target}`, "--terminate", "--json"));
  expect(json.terminated).toMatchObject([{ pid: inTheWay.pid, application: "a report" }]);
  expect(stderr).toContain("a session in the way was ended");
  expect(await postgres.connect(target)`select i from a`).toMatchObject([{ i: 1 }]);
  expect([await inTheWay.isAlive(), await innocent.isAlive()]).toEqual([false, true]);
});

test("--terminate never ends a session of pg321, such as a backup", async () => {
  const { isAlive } = await hold("a", "pg321");
  const { facts } = await contentsOf(postgres.connect(target));
  const { exitCode, stderr } = await installation.run(...words(`main/${target}`, "--terminate"));
  expect(exitCode).toBe(10);
  expect(stderr).toMatch(/waited 2 s for a lock on relation (public\.)?a, held by .*application "pg321"/);
  expect(stderr).toContain(`nothing of database "${target}" was changed`);
  expect(await isAlive()).toBe(true);
  expect((await contentsOf(postgres.connect(target))).facts).toEqual(facts);
});

test("--terminate without the right is refused before anything is changed", async () => {
  const { pid, isAlive } = await hold("a", "a report");
  const dry = await installation.run(...words(url(), "--terminate", "--dry-run", "--json"));
  expect(dry.json.obstacles).toMatchObject([
    { kind: "sessions", message: expect.stringContaining(`pid ${pid}`) },
  ]);
  const refused = await installation.run(...words(url(), "--terminate"));
  expect(refused.exitCode).toBe(10);
  expect(refused.stderr).toContain(`GRANT pg_signal_backend TO "${owner}"`);
  expect(await isAlive()).toBe(true);

  await postgres.connect().unsafe(`grant pg_signal_backend to ${owner}`);
  expect((await installation.ok(...words(url(), "--terminate"))).stdout).toContain(`ended pid ${pid}`);
  expect(await isAlive()).toBe(false);
});

test("--terminate needs --clean or --into-existing", async () => {
  const { exitCode, stderr } = await installation.run("restore", backup, "-t", url(), "--terminate");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("--terminate needs --clean or --into-existing");
});
