import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { Secret } from "../../src/base/secret.ts";
import { openCatalog } from "../../src/catalog/open.ts";
import { MIGRATIONS } from "../../src/catalog/postgres/migration/migrations.ts";
import { SpoolFile } from "../../src/catalog/spool/file.ts";
import type { Finding } from "../../src/doctor/finding.ts";
import { Installation, localStorage, runProgram } from "../lab/installation.ts";
import { watched } from "../lab/machine/running.ts";
import { connectTo, disposable } from "../lab/servers/postgres.ts";
import { compareByName, usePostgres } from "../lab/servers/use-postgres.ts";

/** The whole way of a backup, with the catalog in a database and its URL in a file of its own. */

const postgres = usePostgres();
let installation: Installation;
let [source, url]: string[] = [];

beforeAll(async () => {
  source = await postgres.createDatabase();
  await using admin = disposable(connectTo(postgres.address, source));
  await admin.sql`create table t as select n, md5(n::text) as text from generate_series(1, 1000) as n`;
  url = postgres.url(await postgres.createDatabase());
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const file = join(installation.directory, "catalog-url");
  await writeFile(file, `${url}\n`, { mode: 0o600 });
  await installation.configure({ more: `[catalog]\nurl = { file = "${file}" }` });
});
afterAll(() => installation?.[Symbol.asyncDispose]());

test("backs up, lists, verifies and restores, and leaves no catalog in the state directory", async () => {
  const backup = await installation.run("backup", "--json");
  expect([backup.stderr, backup.exitCode]).toEqual([expect.any(String), 0]);
  const listed = await installation.run("list", "--json");
  expect(listed.json.backups).toMatchObject([{ server: "main", database: source, status: "VERIFIED" }]);
  expect((await installation.run("verify")).exitCode).toBe(0);
  const restored = postgres.newName();
  const restore = await installation.run(
    "restore",
    listed.json.backups[0].id,
    "--create",
    "--target",
    postgres.url(restored),
  );
  expect([restore.stderr, restore.exitCode]).toEqual([expect.any(String), 0]);
  expect((await compareByName(postgres, String(source), restored)).differences).toEqual([]);
  expect(existsSync(join(installation.directory, "state", "catalog.db"))).toBe(false);
  const { stdout } = await installation.run("doctor");
  expect(stdout).toMatch(/ok +catalog +postgres:\/\/127\.0\.0\.1:\d+\/test_\w+ +intact, version \d+\n/);
  expect(stdout).toContain(`intact, version ${MIGRATIONS.length}\n`);
  const check = await installation.run("check", "--json");
  expect(check.json.catalog).toEqual({ type: "postgres", url: "[secret]" });
  for (const { stdout, stderr } of [backup, listed, restore, check])
    expect(stdout + stderr).not.toContain(postgres.address.password);
});

test("a record of the spool that the catalog refuses is listed, and reported until somebody acknowledges it", async () => {
  const path = join(installation.directory, "state", "spool.db");
  const [unknown, error] = [crypto.randomUUID(), "no such backup"];
  {
    await using spool = await SpoolFile.open(path, systemClock);
    const call = { part: "", method: "updateBackup", args: [unknown, { error }] };
    await spool.append(async () => ({ result: undefined, call }));
  }
  const { catalog: before } = (await installation.run("status", "--json")).json;
  expect(before).toMatchObject({ waiting: 0, refused: 1 });
  const listed = await installation.ok("catalog", "refused", "--json");
  const [record] = listed.json.refused;
  expect(listed.json.refused).toMatchObject([
    { call: "updateBackup", arguments: [unknown, { error }], is_reported: true, acknowledged_at: null },
  ]);
  const name = `updateBackup ${unknown.slice(0, 8)}`;
  const table = await installation.ok("catalog", "refused");
  expect(table.stdout).toContain(`${name}  open   ${record.error}`);
  const finding = async () => {
    const { findings } = (await installation.run("doctor", "--json")).json;
    return findings.filter(({ area, verdict }: Finding) => area === "catalog" && verdict !== "ok");
  };
  expect(await finding()).toMatchObject([
    {
      message: `refused 1 record of this host: ${record.number} ${name} (${record.error})`,
      hint: expect.stringContaining("catalog refused ack all"),
    },
  ]);
  const wrong = await installation.run("catalog", "refused", "ack", "99");
  expect([wrong.exitCode, wrong.stderr]).toEqual([2, expect.stringContaining('has the number "99"')]);
  const ack = () => installation.ok("catalog", "refused", "ack", "all", "--json");
  expect((await ack()).json).toEqual({ acknowledged: [record.number] });
  expect((await ack()).json).toEqual({ acknowledged: [] });
  expect((await installation.ok("catalog", "refused")).stdout).toContain(`${name}  acknowledged  `);
  expect(await finding()).toEqual([]);
  const { catalog: after } = (await installation.run("status", "--json")).json;
  expect(after).toMatchObject({ refused: 0, refused_error: null });
});

test("a daemon works with it and says that it is healthy; a second one is refused while it lives", async () => {
  const socket = join(installation.directory, "http.sock");
  const catalog = `[catalog]\nurl = { file = "${join(installation.directory, "catalog-url")}" }`;
  await installation.configure({
    more: `${catalog}\n[http]\nlisten = "unix:${socket}"\n[fleet]\nhost = "web1"`,
  });
  // The name of the machine, under which it made its first backup, is another host's as long as that is registered.
  const other = await installation.run("run");
  expect([other.exitCode, other.stderr]).toEqual([
    2,
    expect.stringContaining(`pg321 forget-host ${hostname()}`),
  ]);
  await installation.ok("forget-host", hostname());
  const daemon = watched(installation.start("run"));
  try {
    await daemon.says("started");
    const health = await fetch("http://localhost/health", { unix: socket });
    expect([await health.json(), health.status]).toEqual([{ status: "ok" }, 200]);
    const status = await installation.run("status", "--json");
    expect(status.json.databases).toMatchObject([{ server: "main", database: source }]);
    const second = await installation.run("run");
    expect(second.exitCode).toBe(11);
    expect(second.stderr).toContain("daemon web1: held by run ");
  } finally {
    daemon.kill("SIGTERM");
  }
  expect((await daemon.ended).exitCode).toBe(0);
  await using known = await openCatalog(
    { type: "postgres", url: new Secret(String(url)) },
    { clock: systemClock },
  );
  const host = await known.hosts.one("web1");
  expect(host).toMatchObject({ servers: [{ name: "main" }], storages: [{ name: "disk" }] });
  expect(host?.stopped_at).toBe(String(host?.heartbeat_at));
  expect(String(host?.started_at) < String(host?.stopped_at)).toBe(true);
  expect(await known.countBackups({ host: hostname() })).toBe(1);
});

test("the password may be in ~/.pgpass instead of the URL, if only its owner can read it", async () => {
  const { host, port, database, user, password } = {
    ...postgres.address,
    host: "127.0.0.1",
    database: new URL(String(url)).pathname.slice(1),
  };
  await installation.configure({ more: `[catalog]\nurl = "postgres://${user}@${host}:${port}/${database}"` });
  const home = join(installation.directory, "home");
  await mkdir(home);
  const list = () => runProgram(["list", "--json"], { PG321_CONFIG: installation.configFile, HOME: home });
  const file = join(home, ".pgpass");
  await writeFile(file, `other:*:*:*:wrong\n${host}:${port}:${database}:${user}:${password}\n`, {
    mode: 0o600,
  });
  expect((await list()).json.backups).toHaveLength(1);
  await chmod(file, 0o644);
  const refused = await list();
  expect(refused.exitCode).toBe(13);
  expect(refused.stderr).toContain("the server refuses the password");
  expect(refused.stderr).toContain("~/.pgpass");
});

test("a path beside the URL is a mistake in the config, and the message does not show the URL", async () => {
  await installation.configure({ more: `[catalog]\nurl = "${url}"\npath = "/srv/catalog.db"` });
  const { stderr, exitCode } = await installation.run("list");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("catalog.path: found together with url");
  await installation.configure({ more: `[catalog]\nurl = "mysql://user:${postgres.address.password}@db/x"` });
  const other = await installation.run("list");
  expect(other.stderr).toContain("catalog.url: found a text, expected a URL such as");
  expect(stderr + other.stderr).not.toContain(postgres.address.password);
});
