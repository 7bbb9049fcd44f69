import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { compareDatabases } from "../lab/data/compare-databases.ts";
import { addLearned, addRoles } from "../lab/data/of-version.ts";
import { fillSampleDatabase } from "../lab/data/sample-database.ts";
import { Installation, localStorage } from "../lab/installation.ts";
import type { FetchedMajor, LabPostgres } from "../lab/servers/postgres.ts";
import { connectTo, disposable, startPostgres } from "../lab/servers/postgres.ts";

/**
 * Servers of other major versions than Debian's 15. Its client programs dump 13 and 14, and restore into 18. With
 * `PG321_TEST_BIN_DIRS`, directories of other client programs separated by colons, the same runs with each of them: on a
 * server of their own version if it is in the same directory, and from 13 into it.
 */

setDefaultTimeout(180_000);

interface Case {
  /** The client programs; undefined: those that pg321 finds itself. */
  programs: string | undefined;
  source: FetchedMajor | "own";
  target: FetchedMajor | "own";
}

const DIRECTORIES = (process.env["PG321_TEST_BIN_DIRS"] ?? "").split(":").filter((path) => path !== "");
const CASES: Case[] = [
  { programs: undefined, source: 13, target: 18 },
  { programs: undefined, source: 14, target: 18 },
  ...DIRECTORIES.flatMap((programs): Case[] => {
    const own = existsSync(join(programs, "initdb")) ? "own" : 14;
    return [
      { programs, source: own, target: own },
      { programs, source: 13, target: own },
      { programs, source: 13, target: 13 },
    ];
  }),
];

/** A dump has statistics only if they are asked for, and pg_dump knows them from 18 on. */
const STATISTICS = '[[database]]\nname = "side"\npg_dump_options = ["--statistics"]\n';

const titled = CASES.map(
  (one) => [`${one.programs ?? "programs found here"}: from ${one.source} to ${one.target}`, one] as const,
);

describe.each(titled)("%s", (_, { programs, source, target }) => {
  const start = (which: FetchedMajor | "own") =>
    startPostgres(which === "own" ? { binDir: programs as string } : { fetched: which });
  let from: LabPostgres;
  let to: LabPostgres;
  let installation: Installation;
  let major = 0;
  const names = ["shop", "side"];

  beforeAll(async () => {
    [from, to] = await Promise.all([start(source), start(target)]);
    await using admin = disposable(connectTo(from.address, "postgres"));
    major = await majorOf(admin.sql);
    await addRoles(admin.sql, "us", major);
    if (major >= 17)
      await admin.sql.unsafe(
        "create database side template template0 locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'",
      );
    else await admin.sql.unsafe("create database side template template0");
    await admin.sql.unsafe(`create database shop template template0 owner "us owner"`);
    await using side = disposable(connectTo(from.address, "side"));
    await side.sql
      .unsafe("create table t (i int primary key); insert into t values (1), (2); analyze t")
      .simple();
    await using shop = disposable(connectTo(from.address, "shop"));
    await using other = disposable(connectTo(to.address, "postgres"));
    await fillSampleDatabase(shop.sql, 0.1, [other.sql]);
    // Larger than the groups of small tables, so that there are several streams.
    await shop.sql
      .unsafe(
        "create table large as select i, repeat(md5(i::text), 30) as text from generate_series(1, 9000) i",
      )
      .simple();
    await addLearned(shop.sql, major);
    installation = await Installation.make({
      postgres: from.address,
      databases: names,
      storages: (directory) => [localStorage("disk", directory)],
      server: `group = "consistent"\n${programs ? `bin_dir = ${JSON.stringify(programs)}` : ""}`,
      globals: true,
      more: `${major >= 18 ? STATISTICS : ""}[dump]\njobs = 2\n[restore_test]\nserver = "${url(to, "postgres")}"\nmax_bytes = "1GiB"`,
    });
  });
  afterAll(async () => {
    await installation?.[Symbol.asyncDispose]();
    await Promise.all([from, to].map((server) => server?.[Symbol.asyncDispose]()));
  });

  /** Compares a database of the source with one of another name or server. */
  async function expectEqual(name: string, other: LabPostgres, restored = name): Promise<void> {
    await using one = disposable(connectTo(from.address, name));
    await using two = disposable(connectTo(other.address, restored));
    const options = { acrossVersions: major === 13 || (source !== target && other === to) };
    const { differences, summary } = await compareDatabases(one.sql, two.sql, options);
    expect(differences).toEqual([]);
    expect(summary.rows).toBeGreaterThan(1);
  }

  test("doctor, a backup of all at one moment in several streams, and its verification", async () => {
    const { findings } = (await installation.run("doctor", "--json")).json;
    const ofServer = findings.filter(({ area }: { area: string }) => area === "server");
    expect(ofServer.length).toBeGreaterThan(2);
    expect(ofServer.filter(({ verdict }: { verdict: string }) => verdict === "failed")).toEqual([]);
    const { backups, globals } = (await installation.ok("backup", "--json")).json;
    expect(globals).toMatchObject([{ status: "VERIFIED", warnings: [] }]);
    expect(backups).toHaveLength(2);
    for (const { backup_id: id } of backups) {
      const { facts, status } = (await installation.ok("show", id, "--json")).json;
      expect(status).toBe("VERIFIED");
      expect(facts.moment).toMatchObject({ timeline: 1, group: expect.any(String) });
      expect(facts.tables.length).toBeGreaterThan(0);
      expect(facts.tables.every(({ rows }: { rows: unknown }) => typeof rows === "number")).toBe(true);
    }
    const [shop = ""] = (await installation.files("disk/main/shop")).filter(
      (name) => !name.endsWith(".json"),
    );
    const head = Bun.file(join(installation.directory, "disk/main/shop", shop)).slice(0, 15);
    expect(await head.text()).toBe("pg321 sealed 2\n");
    await installation.ok("verify");
  });

  test("the whole server comes back on the other one", async () => {
    const words = ["restore", "--server", "main", "--at", "latest", "--target", url(to, "postgres")];
    await installation.ok(...words, "--dry-run");
    const { json } = await installation.ok(...words, "--json");
    expect(json.globals.roles.toSorted()).toEqual(
      ["Sample Reader", "sample_owner", "us Member", "us other", "us owner"].toSorted(),
    );
    for (const name of names) await expectEqual(name, to);
    await using side = disposable(connectTo(to.address, "side"));
    expect(await side.sql`select from pg_stats where tablename = 't'`).toHaveLength(major >= 18 ? 1 : 0);
    const roles = await rolesOf(to, major >= 16);
    expect(roles).toEqual(await rolesOf(from, major >= 16));
  });

  test("a restore test on it passes", async () => {
    const { json } = await installation.ok("restore-test", "--json");
    expect(json.tests.map(({ outcome }: { outcome: string }) => outcome)).not.toContain("FAILED");
    expect(json.tests[0]).toMatchObject({ outcome: "PASSED" });
  });

  // 14 differs too little from 13 and from 15, which the other tests use, to pay for this one in every run.
  if (programs === undefined && source === 14) return;
  test("back on its own server: in one stream, and --clean, and a table with its streams", async () => {
    const newest = async () => {
      const { backups } = (await installation.ok("list", "--json")).json;
      return backups.find(({ database }: { database: string }) => database === "shop").id as string;
    };
    const target = (name: string) => ["--target", `main/${name}`];
    await installation.ok(
      "restore",
      await newest(),
      ...target("one_table"),
      "--create",
      "--table",
      "log.event",
      "--no-privileges",
    );
    await using part = disposable(connectTo(from.address, "one_table"));
    const [row] = await part.sql`select count(*)::int as n from log.event`;
    expect(row).toEqual({ n: 15_000 });
    await installation.configure({ more: "[dump]\njobs = 1" });
    await installation.ok("backup", "shop");
    await installation.ok("restore", await newest(), ...target("again"), "--create", "--jobs", "2");
    await installation.ok("restore", await newest(), ...target("again"), "--clean");
    await expectEqual("shop", from, "again");
    expect(await installation.temporaryFiles()).toEqual([]);
  });
});

function url({ address }: LabPostgres, database: string): string {
  return `postgres://${address.user}:${address.password}@127.0.0.1:${address.port}/${database}`;
}

async function majorOf(sql: ReturnType<typeof connectTo>): Promise<number> {
  const [row] = await sql`select current_setting('server_version_num')::int / 10000 as major`;
  return row?.["major"];
}

/** The roles with their settings and memberships; from PostgreSQL 16 on these have more options. */
async function rolesOf({ address }: LabPostgres, options: boolean): Promise<unknown[]> {
  await using admin = disposable(connectTo(address, "postgres"));
  const member = `concat_ws(' ', roleid::regrole, admin_option${options ? ", inherit_option, set_option" : ""})`;
  const rows = await admin.sql.unsafe(
    `select rolname, rolcanlogin, rolcreaterole, rolpassword, setconfig, shobj_description(a.oid, 'pg_authid'),
      (select array_agg(${member} order by roleid::regrole::text) from pg_auth_members where member = a.oid) as member
     from pg_authid a left join pg_db_role_setting on setrole = a.oid
     where rolname !~ '^pg_' and rolname <> 'postgres' order by 1`,
  );
  return [...rows];
}
