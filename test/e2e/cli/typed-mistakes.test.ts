import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { freePort } from "../../lab/servers/free-port.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
/** Names used only by this test: other tests have databases on the server too. */
const prefix = `t${crypto.randomUUID().slice(0, 8)}_`;
const [orders, people] = [`${prefix}orders`, `${prefix}people`];

beforeAll(async () => {
  for (const name of [orders, people]) await postgres.createDatabase(name);
  await postgres.connect(orders).unsafe("create table item (id int); insert into item values (1)");
});

const install = () =>
  Installation.make({
    postgres: postgres.address,
    databases: [`${prefix}*`],
    storages: (directory) => [localStorage("disk", directory)],
  });

/** Error and hint of a command that must end as a usage error. */
async function mistake(installation: Installation, ...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await installation.run(...words);
  expect({ words, exitCode, stdout }).toEqual({ words, exitCode: 2, stdout: "" });
  return stderr
    .split("\n")
    .filter((line) => /^(error|hint): /.test(line))
    .join("\n");
}

/** The alerts, and how the last run of each job ended. */
async function stateOf(installation: Installation) {
  const { jobs, alerts } = (await installation.ok("status", "--json")).json;
  return { alerts, jobs };
}

test("a misspelt database is a usage error with a suggestion, and no failed run", async () => {
  await using installation = await install();
  await installation.ok("backup", "-d", orders, "--database", `main/${people}`);
  const before = await stateOf(installation);
  const typo = `${prefix}ordres`;
  for (const [words, error] of [
    [["backup", typo], `no configured database is named "${typo}"`],
    [["backup", orders, "-d", typo], "nothing was backed up"],
    [["list", "-d", typo], `no database "${typo}" is known`],
    [["list", "-d", `main/${typo}`], `did you mean main/${orders}?`],
    [["list", "-d", typo, "--removed"], `no database "${typo}" is known`],
    [["restore", "latest", "-d", typo, "--target", "main/x"], `no database "${typo}" is known`],
    [["verify", "-d", typo], `no database "${typo}" is known`],
    [["forget", "-d", typo, "--yes", typo], `no database "${typo}" is known`],
  ] as const)
    expect(await mistake(installation, ...words)).toMatch(
      new RegExp(`${RegExp.escape(error)}[^]*${orders}|${RegExp.escape(error)}$`),
    );
  expect(await mistake(installation, "backup", "a*")).toContain("patterns can be used only in the config");
  expect(await mistake(installation, "list", "-s", "mian")).toContain("did you mean main?");
  for (const [words, error] of [
    [["list", "-d", `main/${orders}`, "-s", "other"], 'server "main", but --server is "other"'],
    [["alerts", "ack", "all", "--unacknowledged"], "--unacknowledged is only for the list"],
    [["key", "show", "--prover"], "key show: --prover is only for key generate"],
    [["key", "rotate", "--signing-key=k"], "--signing-key is only for key generate and key show"],
    [["recovery-kit", ""], "an argument is empty"],
  ] as const)
    expect(await mistake(installation, ...words)).toContain(error);
  expect(await stateOf(installation)).toEqual(before);
  // Known, but without a match.
  expect((await installation.ok("list", "-d", orders, "--status", "failed")).stdout).toBe("no backups\n");
  expect((await installation.ok("list", "-d", `main/${orders}`, "--json")).json.backups).toHaveLength(1);
});

test("an unknown id is a usage error with a suggestion", async () => {
  await using installation = await install();
  const { backups } = (await installation.ok("backup", "--json")).json;
  const { backup_id: id } = backups.find(({ database }: { database: string }) => database === orders);
  const typo = `${id.slice(0, 7)}${id[7] === "0" ? "1" : "0"}`;
  const before = await stateOf(installation);
  for (const command of ["show", "delete", "verify"])
    expect(await mistake(installation, command, typo)).toContain(
      `did you mean ${id.slice(0, 8)} (main/${orders}`,
    );
  expect(await mistake(installation, "restore", typo, "-t", "main/x")).toContain("did you mean");
  expect(await mistake(installation, "show", orders)).toContain(`newest good backup is ${id.slice(0, 8)}`);
  expect(await mistake(installation, "restore", id, "-d", people, "-t", "main/x")).toContain(
    `is one of main/${orders}`,
  );
  expect(await stateOf(installation)).toEqual(before);
  await installation.ok("delete", id, "--force");
  expect(await mistake(installation, "show", id)).toContain("was removed on");
});

test("a mistake that is found only while the backup is read leaves the last run as it was", async () => {
  await using installation = await install();
  await installation.ok("backup");
  const { address } = postgres;
  const target = `postgres://${address.user}:${address.password}@127.0.0.1:${address.port}/${prefix}new`;
  await installation.ok("restore", "-d", orders, "--target", target, "--create");
  await postgres.connect().unsafe(`drop database ${prefix}new`);
  const before = await stateOf(installation);
  expect(
    await mistake(installation, "restore", "-d", orders, "-t", target, "--create", "--table", "itme"),
  ).toContain("did you mean item?");
  expect(await stateOf(installation)).toEqual(before);
});

test("a database that only an unreachable server may have is a failed run", async () => {
  await using installation = await install();
  await installation.ok("backup");
  await installation.configure({ postgres: { ...postgres.address, port: 1 } });
  expect((await installation.run("backup", orders)).exitCode).toBe(10);
  expect(await mistake(installation, "backup", `${prefix}unknown`)).toContain("no configured database");
});

test("a database that the config names, and an unreachable server has never shown, is a failed run", async () => {
  await using installation = await install();
  await installation.configure({ databases: [orders] });
  await installation.ok("backup");
  const later = `${prefix}later`;
  await installation.configure({
    postgres: { ...postgres.address, port: await freePort() },
    databases: [orders, later],
  });
  for (const name of [later, `main/${later}`])
    expect((await installation.run("backup", name)).exitCode).toBe(10);
  const { alerts, jobs } = await stateOf(installation);
  expect(jobs.find(({ job }: { job: string }) => job === "backup").last_run.outcome).toBe("FAILED");
  expect(alerts).toMatchObject([{ key: "backup main" }]);
});

test("a backup of a named database that Ctrl-C ends before its first dump is recorded", async () => {
  await using installation = await install();
  await installation.ok("backup");
  const connected = Promise.withResolvers<void>();
  const open = () => connected.resolve();
  using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open, data() {} } });
  await installation.configure({ postgres: { ...postgres.address, port: silent.port } });
  const child = installation.start("backup", orders);
  await connected.promise;
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  await installation.configure({ postgres: postgres.address });
  const { jobs } = await stateOf(installation);
  const { last_run } = jobs.find(({ job }: { job: string }) => job === "backup");
  expect(last_run).toMatchObject({ outcome: "FAILED", error: "interrupted by hand" });
});
