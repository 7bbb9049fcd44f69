import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { programWords, runProgram } from "../../lab/installation.ts";
import { onTerminal, programOnTerminal } from "../../lab/machine/terminal.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";
import { deny, rgw, type S3Lab } from "../../lab/servers/s3.ts";

/*
 * `init --directory`, by questions on a terminal and without. A server of its own, because init backs up all databases
 * and makes a role.
 */

let server: LabPostgres;
let superuser: string;
let address: string;
let s3: S3Lab;
let directory: string;
let outside: string;

beforeAll(async () => {
  [server, s3] = await Promise.all([startPostgres(), rgw()]);
  const { port, user, password } = server.address;
  superuser = `postgres://${user}:${password}@127.0.0.1:${port}/postgres`;
  address = `127.0.0.1:${port}`;
  await admin("create table kept as select n from generate_series(1, 500) n");
}, 60_000);
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  outside = await mkdtemp(join(tmpdir(), "pg321-init-"));
  directory = join(outside, "backups of mine");
});
afterEach(async () => {
  await rm(outside, { recursive: true });
  await admin("drop owned by pg321; drop role pg321").catch(() => {});
});

async function admin(statements: string): Promise<void> {
  const sql = connectTo(server.address, "postgres");
  try {
    await sql.unsafe(statements).simple();
  } finally {
    await sql.end();
  }
}

const init = (...words: string[]) => runProgram(["init", "--directory", directory, ...words], {});
const installed = async (...words: string[]) => {
  const ended = await runProgram([...words, "--json"], { PG321_CONFIG: join(directory, "config.toml") });
  expect(ended).toMatchObject({ exitCode: 0 });
  return ended.json;
};
const leftIn = async (path: string) => (await readdir(path, { recursive: true }).catch(() => [])).sort();

/** The options for a bucket, with the secret key in a file. */
const bucketWords = (bucket: string) => [
  ...["--bucket", bucket, "--provider", "ceph", "--endpoint", s3.endpoint],
  ...["--access-key-id", s3.access_key_id, "--secret-access-key-file", join(outside, "secret")],
];

test("questions lead from nothing to a backup that was restored; a bad answer is asked again", async () => {
  const terminal = onTerminal(["init", "--directory", directory]);
  const answer = async (question: RegExp, text: string) => {
    await terminal.shows(question);
    terminal.type(`${text}\r`);
  };
  await answer(/Server: [^\n]*\]: $/, "127.0.0.1:1");
  await answer(/Look again\? \[y\/N\] $/, "");
  await answer(/Try another server\? \[Y\/n\] $/, "");
  await answer(/another server[\s\S]*Server: [^\n]*\]: $/, address);
  await answer(/another server[\s\S]*Password of "pg321" \(Enter: none\): $/, "");
  await answer(/CREATE ROLE "pg321" LOGIN BYPASSRLS;[\s\S]*run them yourself\): $/, superuser);
  await answer(/role "pg321" made[\s\S]*Directory for backups \[[^\n]*\]: $/, "");
  await answer(/Add a bucket[^\n]*\[y\/N\] $/, "n");
  await answer(/Back up every day at[^\n]*: $/, "half past two");
  await answer(/neither a time of day[\s\S]*Back up every day at[^\n]*: $/, "02:30");
  const { exitCode, written } = await terminal.ended;
  expect({ exitCode, written }).toMatchObject({ exitCode: 0 });
  expect(written).toContain("The first backup is proven");
  expect(written).not.toContain(server.address.password);
  const { backups } = await installed("list");
  expect(backups).toMatchObject([{ database: "postgres", status: "VERIFIED" }, { kind: "globals" }]);
  const shown = await installed("show", backups[0].id);
  expect(JSON.stringify(shown)).toContain('"PASSED"');
  const config = await readFile(join(directory, "config.toml"), "utf8");
  expect(config).toContain('backup = "30 2 * * *"');
  expect(config).toContain('password = { credential = "main-password" }');
  expect(await leftIn(directory)).not.toContain("init-draft.toml");
});

test("without questions: the bucket is tried, and nothing of the trial stays", async () => {
  const bucket = await s3.makeBucket();
  await writeFile(join(outside, "secret"), `${s3.secret_access_key}\n`);
  const words = ["--yes", "--server", address, "--create-role-as", superuser, "--schedule", "@hourly"];
  const ended = await init(...words, ...bucketWords(bucket));
  expect(ended).toMatchObject({ exitCode: 0 });
  expect(ended.stdout).toContain(`bucket "${bucket}": an object was written, read and removed`);
  const { backups } = await installed("list");
  expect(backups[0].copies.map(({ storage, state }: Record<string, string>) => [storage, state])).toEqual([
    ["cloud", "CONFIRMED"],
    ["disk", "CONFIRMED"],
  ]);
  const listed = await s3.client.send(new ListObjectsV2Command({ Bucket: bucket }));
  const keys = (listed.Contents ?? []).map(({ Key = "" }) => Key);
  expect(keys.filter((key) => key.includes("init/"))).toEqual([]);
  const again = await init(...words);
  expect(again).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("is not empty") });
}, 120_000);

test("a key that may not delete is taken, and the object that stays is named", async () => {
  const bucket = await s3.makeBucket();
  await deny(s3, bucket, "s3:DeleteObject", "s3:DeleteObjectVersion");
  await writeFile(join(outside, "secret"), s3.secret_access_key);
  const { exitCode, stdout } = await init(
    ...["--yes", "--server", address, "--create-role-as", superuser],
    ...bucketWords(bucket),
  );
  expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 });
  expect(stdout).toMatch(/may not delete objects[^\n]*init\/probe-[0-9a-f-]+ stays there/);
}, 120_000);

test("a refused answer ends it without questions, and leaves neither config nor keys nor secrets", async () => {
  const refused = await init("--yes", "--server", address);
  expect(refused.exitCode).toBe(10);
  expect(`${refused.stdout}${refused.stderr}`).toContain("pg321");
  expect(await leftIn(directory)).toEqual([]);
  await writeFile(join(outside, "secret"), "wrong");
  const bucket = await s3.makeBucket();
  const wrong = await init(
    ...["--yes", "--server", address, "--create-role-as", superuser],
    ...bucketWords(bucket),
  );
  expect(wrong.exitCode).toBe(13);
  expect(wrong.stderr).toContain("the bucket cannot be used");
  expect(await leftIn(directory)).toEqual([]);
});

test.each([
  ["Ctrl-C", "\x03", 130, "interrupted by hand"],
  ["Ctrl-D", "\x04", 2, "the input ended before the last question"],
])("%s at a password ends it, and init can be run again", async (_key, typed, code, message) => {
  const words = ["init", "--directory", directory, "--server", address];
  const terminal = onTerminal(words);
  await terminal.shows(/Password of "pg321" \(Enter: none\): $/);
  terminal.type(typed);
  const { exitCode, written } = await terminal.ended;
  expect({ exitCode, written }).toMatchObject({ exitCode: code, written: expect.stringContaining(message) });
  expect(await leftIn(directory)).toEqual([]);
  const again = onTerminal(words);
  await again.shows(/Password of "pg321" \(Enter: none\): $/);
  again.type("\x03");
  await again.ended;
});

test("a terminal that is closed leaves no secret behind", async () => {
  const pidFile = join(outside, "pid");
  const words = [...programWords(), "init", "--directory", directory, "--server", address];
  const terminal = programOnTerminal(["sh", "-c", 'echo $$ > "$0"; exec "$@"', pidFile, ...words]);
  await terminal.shows(/Password of "pg321" \(Enter: none\): $/);
  terminal.type("wrong\r");
  await terminal.shows(/Password of [\s\S]*Password of "pg321" \(Enter: none\): $/);
  expect(await leftIn(directory)).toContain("credentials/main-password");
  process.kill(Number(await readFile(pidFile, "utf8")), "SIGHUP");
  expect((await terminal.ended).exitCode).toBe(143);
  expect(await leftIn(directory)).toEqual([]);
});

test("a role that exists gets the rights that it lacks, and keeps its password", async () => {
  await admin("create role pg321 login password 'its own'");
  await writeFile(join(outside, "password"), "its own\n");
  const words = ["--server", address, "--password-file", join(outside, "password")];
  const ended = await init("--yes", ...words, "--create-role-as", superuser);
  expect(ended).toMatchObject({ exitCode: 0 });
  expect(ended.stdout).toContain('role "pg321" exists: it has the rights now, and its password is unchanged');
}, 120_000);

test("no password is asked for once the role is let in", async () => {
  await admin("create role pg321 login password 'its own'");
  const terminal = onTerminal(["init", "--directory", directory, "--server", address]);
  await terminal.shows(/Password of "pg321" \(Enter: none\): $/);
  terminal.type("its own\r");
  await terminal.shows(
    /cannot read 1 of its tables[\s\S]*GRANT pg_read_all_data, [\s\S]*run them yourself\): $/,
  );
  terminal.type("\x03");
  expect((await terminal.ended).written.split("Password of")).toHaveLength(2);
});

test("an address that cannot be one is asked for again", async () => {
  const terminal = onTerminal(["init", "--directory", directory]);
  const words = ["postgres://u@", "localhost:99999", "~/socket", "127.0.0.1:1"];
  for (const [index, word] of words.entries()) {
    if (index > 0) {
      await terminal.shows(new RegExp(`(?:another server[^]*){${index}}\\[Y/n\\] $`));
      terminal.type("\r");
    }
    await terminal.shows(new RegExp(`(?:Server: [^]*){${index + 1}}\\[[^\\]]*\\]: $`));
    terminal.type(`${word}\r`);
  }
  await terminal.shows(/Look again\? \[y\/N\] $/);
  terminal.type("\x03");
  const { exitCode, written } = await terminal.ended;
  expect(exitCode).toBe(130);
  expect(written).toMatch(/failed\S* host: found "~\/socket"/);
  expect(written).not.toContain("draft");
});

test.each([
  [["--provider", "aws"], "--provider is about a bucket, but --bucket is missing"],
  [["--bucket", "b"], "a bucket of backblaze-b2 needs --region, --access-key-id, --secret-access-key-file"],
  [["--bucket", "b", "--provider", "gen"], '--provider "gen" is unknown'],
  [["--server", "localhost", "--password-file", "/nowhere/pw"], "--password-file /nowhere/pw: ENOENT"],
])("%p is refused by the names of the options", async (words, message) => {
  expect(await init("--yes", ...words)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining(message),
  });
  expect(await leftIn(directory)).toEqual([]);
});

test.each(["/proc/pg321", "/etc/passwd", "/sys"])("--directory %s is refused as an answer", async (path) => {
  const ended = await runProgram(["init", "--yes", "--directory", path], {});
  expect(ended).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^error: init: .*\nhint: /) });
});

test("on PostgreSQL 13 no half of a role is made", async () => {
  await using old = await startPostgres({ fetched: 13 });
  const { port, user, password } = old.address;
  const url = `postgres://${user}:${password}@127.0.0.1:${port}/postgres`;
  const ended = await init("--yes", "--server", `127.0.0.1:${port}`, "--create-role-as", url);
  expect(ended).toMatchObject({
    exitCode: 10,
    stdout: expect.stringMatching(/PostgreSQL 13 has no pg_read_all_data[\s\S]*a superuser: /),
  });
  const sql = connectTo(old.address, "postgres");
  expect([...(await sql`select rolname from pg_roles where rolname = 'pg321'`)]).toEqual([]);
  await sql.end();
}, 60_000);

test("without a terminal or root it says how to go on", async () => {
  expect(await init()).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/no terminal[\s\S]*hint: .*--yes/),
  });
  expect(await init("--yes", "--schedule", "noon")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('--schedule "noon" is neither'),
  });
});
