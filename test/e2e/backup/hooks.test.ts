import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Installation, localStorage } from "../../lab/installation.ts";
import { eventually, startedWith } from "../../lab/machine/running.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** Hooks around the backup of a database: real programs and real SQL. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres.connect(source)`create table t as select generate_series(1, 3) as i`;
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

const at = (name: string) => join(installation.directory, name);

/** Writes a program of a shell; returns its path as TOML. */
async function script(name: string, lines: string): Promise<string> {
  await writeFile(at(name), `#!/bin/sh\n${lines}\n`);
  await chmod(at(name), 0o700);
  return JSON.stringify(at(name));
}

async function backUp(...words: string[]) {
  const ended = await installation.run("backup", "--json", ...words);
  const { backups } = (await installation.ok("list", "--json", "--limit", "1")).json;
  const shown = (await installation.ok("show", backups[0].id, "--json")).json;
  return { ...ended, shown };
}

async function openHookAlerts(): Promise<{ key: string; message: string; resolved_at: string | null }[]> {
  const { alerts } = (await installation.ok("alerts", "--json")).json;
  return alerts.filter(
    (alert: { key: string; resolved_at: string | null }) =>
      alert.key.startsWith("hook") && alert.resolved_at === null,
  );
}

/** A process that has ended, even one that nobody has waited for, has no arguments. */
const isAlive = (pid: number) => startedWith(pid).cmdline !== "";

test("hooks know the backup, and their output is recorded without secrets", async () => {
  const { password } = postgres.address;
  const tell = await script("tell", `env | grep -v '^_=' | sort; echo "it is ${password}!"; echo oh >&2`);
  await installation.configure({
    server: `post_backup = [{ name = "tell", command = [${tell}, "x"] }]`,
    more: `[[database]]\nname = "*"\npre_backup = [{ sql = "create table before_it (); select count(*), 'x' from t" }]\n`,
  });
  process.env["PG321_TEST_SECRET"] = "do not tell";
  const { exitCode, shown, stderr } = await backUp();
  expect(exitCode, stderr).toBe(0);
  expect(shown.hooks.pre_backup).toMatchObject([
    { name: "1", outcome: "OK", exit_code: null, output: "3    x", error: null },
  ]);
  const [{ output, exit_code }] = shown.hooks.post_backup;
  expect(exit_code).toBe(0);
  const variables = output.split("\n").filter((line: string) => /^[A-Z0-9_]+=/.test(line));
  expect(variables).toEqual([
    "LANG=C.UTF-8",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    expect.stringMatching(/^PG321_BACKUP_ID=[0-9a-f-]{36}$/),
    `PG321_DATABASE=${source}`,
    "PG321_HOOK=post_backup",
    "PG321_OUTCOME=VERIFIED",
    expect.stringMatching(/^PG321_RUN_ID=[0-9a-f-]{36}$/),
    "PG321_SCHEDULE=",
    "PG321_SERVER=main",
    ...(output.includes("PWD=") ? [expect.stringMatching(/^PWD=/)] : []),
  ]);
  expect(output).toContain("it is [secret]!");
  expect(output).toContain("oh");
  // The SQL ran before the dump.
  expect(shown.facts.tables.map(({ name }: { name: string }) => name)).toContain("before_it");
  expect((await installation.ok("show", shown.id)).stdout).toContain('pre_backup "1" OK in');
});

test("a failing pre_backup fails the backup by its name, unless it may continue", async () => {
  const fail = await script("fail", "echo first; echo no space >&2; exit 3");
  const note = await script("note", `echo "$PG321_HOOK $PG321_OUTCOME" >> ${at("noted")}`);
  const hooks = (more: string) =>
    `pre_backup = [{ name = "freeze", command = [${fail}]${more} }]\non_failure = [{ command = [${note}] }]`;
  await installation.configure({ server: hooks(""), more: "" });
  const failed = await backUp();
  expect(failed).toMatchObject({ exitCode: 10, shown: { status: "FAILED", copies: [] } });
  expect(failed.shown.error).toBe('hook pre_backup "freeze" failed: exit code 3');
  expect(failed.stderr).toContain(`its output: pg321 show ${failed.shown.id.slice(0, 8)}`);
  expect(await readFile(at("noted"), "utf8")).toBe("on_failure FAILED\n");
  expect(failed.shown.hooks).toMatchObject({
    pre_backup: [
      {
        ...{ name: "freeze", outcome: "FAILED", exit_code: 3, output: "first\nno space\n" },
        error: 'hook pre_backup "freeze" failed: exit code 3: no space',
        summary: 'hook pre_backup "freeze" failed: exit code 3',
      },
    ],
    post_backup: [],
    on_failure: [{ name: "1", outcome: "OK" }],
  });

  await installation.configure({ server: hooks(', on_error = "continue"') });
  const made = await backUp();
  expect(made).toMatchObject({ exitCode: 0, shown: { status: "VERIFIED" } });
  const open = async () => (await openHookAlerts()).map(({ message }) => message);
  expect(await open()).toEqual([
    expect.stringMatching(/ was made, but hook pre_backup "freeze" failed: exit code 3$/),
  ]);
  expect(made.json.backups[0].warnings).toEqual(['hook pre_backup "freeze" failed: exit code 3']);
  expect(made.stderr).not.toContain("the dump has a warning");
  expect((await installation.ok("backup")).stdout).toContain(
    `warning: main/${source}: hook pre_backup "freeze" failed: exit code 3`,
  );
  await installation.configure({ server: "" });
  await backUp();
  expect(await open()).toEqual([]);
});

test.each([
  [
    "insert into people values ('joe@example.com')",
    'duplicate key value violates unique constraint "people_pkey"',
  ],
  ["do $$ begin raise exception 'owed by joe@example.com'; end $$", "an error in a function"],
])("values of rows in an error of a hook stay in its record: %s", async (sql, kind) => {
  const told = postgres.connect(source);
  await told`create table if not exists people (mail text primary key)`;
  await told`insert into people values ('joe@example.com') on conflict do nothing`;
  const hook = (more: string) =>
    `pre_backup = [{ name = "note", sql = "insert into people values ('first'); ${sql}"${more} }]`;
  const summary = `hook pre_backup "note" failed: server "main": cannot run the hook's SQL: ${kind}`;
  const everywhere = async () =>
    (await installation.ok("alerts", "--json")).stdout +
    (await installation.run("status", "--json")).stdout +
    (await installation.ok("list", "--json")).stdout;

  await installation.configure({ server: hook("") });
  const failed = await backUp();
  expect(failed).toMatchObject({ exitCode: 10, shown: { status: "FAILED", error: summary } });
  expect(failed.shown.hooks.pre_backup[0]).toMatchObject({
    error: expect.stringContaining("joe@example.com"),
    summary,
  });
  expect(failed.stdout + failed.stderr + (await everywhere())).not.toContain("joe@");

  await installation.configure({ server: hook(', on_error = "continue"') });
  const made = await backUp();
  expect(made.exitCode).toBe(0);
  expect(await openHookAlerts()).toMatchObject([{ message: expect.stringContaining(summary) }]);
  expect(made.stdout + made.stderr + (await everywhere())).not.toContain("joe@");
  await installation.configure({ server: "" });
});

/** A hook that hangs with a process in the background, and the files with their ids. */
async function hanging(): Promise<{ path: string; pids: () => Promise<number[]> }> {
  await rm(at("pids"), { force: true });
  const path = await script(
    "hang",
    `trap '' TERM\nsleep 300 & echo $! > ${at("pids.tmp")}; echo $$ >> ${at("pids.tmp")}\nmv ${at("pids.tmp")} ${at("pids")}\nwait`,
  );
  const pids = async () => {
    await eventually(() => existsSync(at("pids")));
    return (await readFile(at("pids"), "utf8")).trim().split("\n").map(Number);
  };
  return { path, pids };
}

test("a hook that hangs is ended with everything that it started", async () => {
  const { path, pids } = await hanging();
  await installation.configure({ server: `pre_backup = [{ command = [${path}], timeout = "1s" }]` });
  const { exitCode, shown } = await backUp();
  expect(exitCode).toBe(10);
  expect(shown.error).toBe('hook pre_backup "1" failed: it took longer than 1 s');
  expect((await pids()).map(isAlive)).toEqual([false, false]);
});

test("a stopped backup ends its hook and runs on_failure; a killed one leaves no hook behind", async () => {
  const { path, pids } = await hanging();
  const note = await script("note", `echo "$PG321_HOOK $PG321_OUTCOME" > ${at("noted")}`);
  await installation.configure({
    server: `pre_backup = [{ command = [${path}] }]\non_failure = [{ command = [${note}] }]`,
  });
  const stopped = installation.start("backup");
  const first = await pids();
  expect(first.map(isAlive)).toEqual([true, true]);
  stopped.kill("SIGTERM");
  await stopped.exited;
  expect(await readFile(at("noted"), "utf8")).toBe("on_failure INTERRUPTED\n");
  expect(first.map(isAlive)).toEqual([false, false]);

  await rm(at("pids"));
  const killed = installation.start("backup");
  const second = await pids();
  expect(second.map(isAlive)).toEqual([true, true]);
  killed.kill("SIGKILL");
  await killed.exited;
  await eventually(() => second.every((pid) => !isAlive(pid)));
});

test("mistakes in hooks are refused with their line", async () => {
  await installation.configure({
    server:
      'pre_backup = [{ command = "echo" }, { sql = "x", command = ["/bin/true"] }, { command = ["true"] }]',
  });
  const { exitCode, stderr } = await installation.run("check");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("server[0].pre_backup[0].command: found a text, expected an array");
  expect(stderr).toContain("server[0].pre_backup[1].command: expected either command or sql");
  expect(stderr).toContain("server[0].pre_backup[2].command: the first word is not an absolute path");
  await installation.configure({ server: "" });
});
