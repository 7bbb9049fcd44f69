import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { freePort } from "../../lab/servers/free-port.ts";
import { type HttpReceiver, RECEIVERS } from "../../lab/servers/receivers.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A database with an error that each restore of it has, and the dead man's switch of the job. */

setDefaultTimeout(120_000);

const postgres = usePostgres();
let installation: Installation;
let source: string;
let dead: HttpReceiver;

/** Its row no longer satisfies its constraint, so COPY of `odd` fails; `even` is sound. */
const CONTENTS = `create function fits(int) returns boolean language sql immutable as 'select true';
  create table odd (id int constraint odd_fits check (fits(id))); insert into odd values (1);
  create table even (id int primary key); insert into even select generate_series(1, 4);
  create or replace function fits(int) returns boolean language sql immutable as 'select false'`;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres.connect(source).unsafe(CONTENTS).simple();
  dead = await RECEIVERS.healthchecks();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("a", directory)],
  });
});
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  await dead[Symbol.asyncDispose]();
});

async function configure(more: string, url = postgres.url("postgres")): Promise<void> {
  const { config } = dead;
  if (config.type !== "healthchecks") throw new Error("no switch");
  const at = JSON.stringify(config.url.reveal());
  await installation.configure({
    more: [
      `[restore_test]\nserver = "${url}"\nmax_bytes = "1GiB"\n${more}`,
      `[[notify]]\nname = "switch"\ntype = "healthchecks"\nurl = ${at}\njobs = ["restore-test"]`,
    ].join("\n"),
  });
}

/** The pings since the last call, each with its run. */
function pings(): string[] {
  const got = dead.requests.map(({ url }) => {
    const last = url.pathname.split("/").at(-1) ?? "";
    return `${["start", "fail"].includes(last) ? last : "success"} ${url.searchParams.get("rid")}`;
  });
  dead.requests.length = 0;
  return got;
}

async function testRestore(...words: string[]) {
  const { exitCode, json } = await installation.run("restore-test", "--json", ...words);
  const [result] = json.tests;
  // biome-ignore lint/suspicious/noExplicitAny: as printed.
  const checks = Object.fromEntries(result.checks.map((check: any) => [check.name, check]));
  return { exitCode, run: json.run_id as string, result, checks };
}

const MESSAGE = 'new row for relation "odd" violates check constraint "odd_fits"';

describe("an error of pg_restore", () => {
  test("fails the test, with the rows that are missing; the switch hears of it, and of no other job", async () => {
    await configure("");
    await installation.ok("backup");
    expect(pings()).toEqual([]);
    const { exitCode, run, result, checks } = await testRestore();
    expect(exitCode).toBe(14);
    expect(result.outcome).toBe("FAILED");
    expect(checks["pg_restore"]).toMatchObject({ is_ok: false, found: "1 error" });
    expect(checks["pg_restore"].detail).toContain(MESSAGE);
    expect(checks["rows"]).toMatchObject({
      is_ok: false,
      detail: "public.odd: 1 row at the backup, 0 restored",
    });
    expect(pings()).toEqual([`start ${run}`, `fail ${run}`]);
  });

  test.each([
    ["a part of its message", String.raw`["violates check constraint \"odd_fits\""]`],
    ["a glob for all of it", '["no such error", "*relation *odd* violates check constraint*"]'],
  ])("passes if %s is allowed, and is shown", async (_, allowed) => {
    await configure(`allowed_errors = ${allowed}`);
    const { exitCode, run, result, checks } = await testRestore();
    expect({ exitCode, outcome: result.outcome, error: result.error }).toEqual({
      ...{ exitCode: 0, outcome: "PASSED", error: null },
    });
    expect(checks["pg_restore"]).toMatchObject({ is_ok: true, found: "0 errors" });
    expect(checks["pg_restore"].detail).toMatch(/^allowed: .*TABLE DATA public\.odd: .*odd_fits/);
    expect(checks["rows"]).toMatchObject({ is_ok: true, found: "4 rows in 2 tables" });
    expect(pings()).toEqual([`start ${run}`, `success ${run}`]);
  });

  test("fails the test if only others are allowed", async () => {
    await configure('allowed_errors = ["odd_fit ", "violates check constraint*"]');
    const { exitCode, result } = await testRestore();
    expect({ exitCode, outcome: result.outcome }).toEqual({ exitCode: 14, outcome: "FAILED" });
    pings();
  });
});

test("a test that cannot be carried out is a failure to the switch; one of a single database is no ping", async () => {
  await configure("", `postgres://nobody@127.0.0.1:${await freePort()}/postgres`);
  const { exitCode, run, result } = await testRestore();
  expect({ exitCode, outcome: result.outcome }).toEqual({ exitCode: 10, outcome: "ERROR" });
  expect(pings()).toEqual([`start ${run}`, `fail ${run}`]);
  await testRestore(source);
  expect(pings()).toEqual([]);
});
