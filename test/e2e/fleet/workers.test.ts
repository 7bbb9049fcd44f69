import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sql } from "postgres";
import { generateSigningKey } from "../../../src/sealed/signing-key.ts";
import { type Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { eventually } from "../../lab/machine/running.ts";
import { stopped, TwoHosts } from "../../lab/machine/two-hosts.ts";
import { rgw, type S3Lab } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);

const postgres = usePostgres();
let s3: S3Lab;
let hosts: TwoHosts;
let sql: Sql;
let source = "";

beforeAll(async () => {
  s3 = await rgw();
  source = await postgres.createDatabase();
  const host = { server: "main", databases: [source], days: 30 };
  hosts = await TwoHosts.make(postgres, s3, await s3.makeBucket(), { a: host, b: host });
  sql = postgres.connect(new URL(hosts.url).pathname.slice(1));
});
afterAll(() => hosts?.[Symbol.asyncDispose]());

/** Both work on the same server every second, and on nothing else. */
async function share(
  host: Installation,
  name: string,
  workers: string,
  storages = (directory: string) => [localStorage(`disk-${name}`, directory)],
): Promise<void> {
  const off = ["cleanup", "verify", "repair"].map((job) => `${job} = "off"`).join("\n");
  await host.configure({
    more: `[catalog]\nurl = "${hosts.url}"\n[fleet]\nhost = "${name}"\nworkers = "${workers}"\n[schedule]\nbackup = "* * * * * *"\nretries = 0\n${off}\n[http]\nlisten = "off"`,
    storages,
  });
}

test("two hosts with one name for two servers: the second one is refused, with what to do", async () => {
  const { a, b } = hosts;
  for (const [host, name] of [
    [a, "a"],
    [b, "b"],
  ] as const)
    await share(host, name, "own");
  await a.backUp();
  for (const command of ["run", "backup", "cleanup"]) {
    const refused = await b.run(command);
    expect([command, refused.exitCode, refused.stderr]).toEqual([
      command,
      2,
      expect.stringMatching(
        /host "a" has a server "main", too: 127\.0\.0\.1:\d+, each on its own machine\n(.*\n)*hint: .*"main-b".*forget-host a/,
      ),
    ]);
  }
  await using catalog = await hosts.catalog();
  expect(await catalog.hosts.one("b")).toBeUndefined();
});

test("a host that alone says that a server is shared is refused, not the host that has it", async () => {
  const { a, b } = hosts;
  await share(b, "b", "any");
  for (const command of ["run", "backup"]) {
    const refused = await b.run(command);
    expect([command, refused.exitCode, refused.stderr]).toEqual([
      command,
      2,
      expect.stringMatching(
        /host "a" has a server "main", too, and does not share it: 127\.0\.0\.1:\d+\n(.*\n)*hint: .*"main-b".*fleet\.workers = "any" on host "a" first.*forget-host a/,
      ),
    ]);
  }
  await a.backUp();
  await using catalog = await hosts.catalog();
  expect(await catalog.hosts.one("b")).toBeUndefined();
});

test("doctor reports what a run would refuse: the server and the storages of another host", async () => {
  const { a, b } = hosts;
  const bucket = (name: string) => s3Storage(name, s3, hosts.bucket);
  await share(a, "a", "own", (directory) => [localStorage("disk-a", directory), bucket("shared")]);
  await a.backUp();
  await share(b, "b", "own", (directory) => [localStorage("disk-a", directory), bucket("shared2")]);
  const { exitCode, stdout } = await b.run("doctor");
  expect(exitCode).toBe(2);
  expect(stdout).toContain('host "a" has a server "main", too: ');
  expect(stdout).toMatch(
    /its marker is missing.*\n.*host "a" has a storage "disk-a", too: give this one a name/,
  );
  expect(stdout).toMatch(/its place belongs to storage "shared"\n.*name it "shared" here, too/);
  // A daemon without the other server starts, and says which storages its runs will leave out.
  const off = ["backup", "cleanup", "verify", "repair"].map((job) => `${job} = "off"`).join("\n");
  await b.configure({
    serverName: "main-b",
    more: `[catalog]\nurl = "${hosts.url}"\n[fleet]\nhost = "b"\n[schedule]\n${off}\n[http]\nlisten = "off"`,
  });
  const daemon = await hosts.daemon(b);
  const left = ["disk-a", "shared2"].map((name) => `warning runs leave this storage out storage=${name}`);
  for (const warning of left) await daemon.says(warning);
  expect(daemon.stderr()).toMatch(/hint=.*host "a" has a storage "disk-a", too/);
  expect(daemon.stderr()).toMatch(/hint=.*name it "shared" here, too/);
  await stopped(daemon);
  await using catalog = await hosts.catalog();
  await catalog.hosts.forget("b", new Date().toISOString());
  await b.configure({ serverName: "main" });
  await share(a, "a", "own");
});

test("a host with the signing key of another installation is refused", async () => {
  const { a, b } = hosts;
  await share(b, "b", "own");
  await using catalog = await hosts.catalog();
  const before = await catalog.countBackups({ host: "b" });
  const file = join(b.directory, "signing.key");
  const key = await readFile(file, "utf8");
  await writeFile(file, generateSigningKey(crypto.randomUUID()).encode(new Date()));
  for (const command of ["run", "backup", "cleanup"]) {
    const refused = await b.run(command);
    expect([command, refused.exitCode, refused.stderr]).toEqual([
      command,
      12,
      expect.stringMatching(
        /signing key file .*signing\.key: belongs to installation .*, but the catalog to .*\n(.*\n)*hint: copy the signing key file of host "a" to /,
      ),
    ]);
  }
  const doctor = await b.run("doctor");
  expect(doctor.stdout).toMatch(/failed .*belongs to installation .*the other hosts would not trust/);
  await writeFile(file, key);
  expect(await catalog.countBackups({ host: "b" })).toBe(before);
  expect(await a.backUp()).toBeDefined();
});

test("a new host with a prover's key is refused; a host that works with one already goes on, and doctor warns", async () => {
  const { a, b } = hosts;
  await share(b, "b", "own");
  await b.configure({ serverName: "main-b" });
  const file = join(b.directory, "signing.key");
  const key = await readFile(file, "utf8");
  await rm(file);
  await b.ok("key", "generate", "--prover", "--identity", b.identityFile, "--signing-key", file);
  for (const command of ["run", "backup"]) {
    const refused = await b.run(command);
    expect([command, refused.exitCode, refused.stderr]).toEqual([
      command,
      12,
      expect.stringMatching(
        /signing\.key: not the key of host "a", .*\n(.*\n)*hint: copy the signing key .*--prover is only for/,
      ),
    ]);
  }
  expect((await b.run("doctor")).stdout).toMatch(/failed .*not the key of host "a"/);
  await using catalog = await hosts.catalog();
  expect(await catalog.hosts.one("b")).toBeUndefined();
  // As an older version has registered both.
  const old = await catalog.hosts.one("a");
  const servers = (old?.servers ?? []).map(({ name, at }) => ({ name, at }));
  if (old) await catalog.hosts.put({ ...old, servers });
  await b.backUp();
  expect(await a.backUp()).toBeDefined();
  expect((await a.run("doctor")).stdout).toMatch(/warning .*not the key of host "b"/);
  await writeFile(file, key);
  await catalog.hosts.forget("b", new Date().toISOString());
  await b.configure({ serverName: "main" });
});

test("a due time is one host's; when that host dies, the other makes the next backups", async () => {
  const { a, b } = hosts;
  for (const [host, name] of [
    [a, "a"],
    [b, "b"],
  ] as const)
    await share(host, name, "any");
  const first = await hosts.daemon(a);
  const second = await hosts.daemon(b);
  await using catalog = await hosts.catalog();
  const made = async (host: string) => catalog.countBackups({ host, status: ["VERIFIED"] });
  const total = async () => (await made("a")) + (await made("b"));
  const before = await total();
  await eventually(async () => (await total()) >= before + 3);
  // Each backup is the only one of its due time.
  const due = await sql`
    select runs.scheduled_for as due, count(*)::int as made from pg321.backups join pg321.runs on runs.id = backups.run_id
    where runs.scheduled_for is not null group by 1 having count(*) > 1`;
  expect([...due]).toEqual([]);
  const idle = async () => (await catalog.runs({ outcome: "IDLE" })).map(({ error }) => error);
  await eventually(async () =>
    (await idle()).some((error) => error?.startsWith('this scheduled time was taken by host "')),
  );

  first.kill("SIGKILL");
  await first.ended;
  const after = await made("b");
  await eventually(async () => (await made("b")) >= after + 2);
  await stopped(second);
  expect((await catalog.backups({ host: "b", status: ["VERIFIED"], limit: 1 }))[0]?.server).toBe("main");
});
