import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, chown, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SCRIPTS, SHELLS } from "../../../src/cli/completion/scripts.ts";
import { Installation, localStorage, programWords, runProgram } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();
const name = `t${crypto.randomUUID().slice(0, 8)} db`;
let installation: Installation;
let id: string;

beforeAll(async () => {
  await postgres.createDatabase(name);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [`${name.slice(0, 9)}*`],
    storages: (directory) => [localStorage("disk", directory), localStorage("other", directory)],
    more: '[[notify]]\nname = "ops"\ntype = "command"\nargv = ["/bin/true"]',
  });
  id = (await installation.backUp()).slice(0, 8);
});
afterAll(() => installation[Symbol.asyncDispose]());

/** The answer to fish for words before the cursor and the word at it: the values with their descriptions. */
async function answer(words: string[], env: Record<string, string> = {}): Promise<string[]> {
  const child = Bun.spawn([...programWords(), "complete-words", "fish"], {
    env: { PG321_CONFIG: installation.configFile, ...env },
    stdin: new Blob([words.map((word) => `${word}\0`).join("")]),
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  return stdout.replace(/\n$/, "").split("\n");
}

test.each(SHELLS)("completion prints the script of %s", async (shell) => {
  const { exitCode, stdout, stderr } = await runProgram(["completion", shell], {});
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: SCRIPTS[shell], stderr: "" });
});

test("names and ids come from config and catalog", async () => {
  expect(await answer(["backup", ""])).toEqual(["words", `${name}\tdatabase of main`]);
  expect(await answer(["restore", "-t", "main/"])).toEqual(["words", `main/${name}\tdatabase`]);
  expect(await answer(["verify", "--storage", ""])).toEqual(["words", "disk\tstorage", "other\tstorage"]);
  expect(await answer(["list", "-s", ""])).toEqual(["words", "main\tserver"]);
  expect(await answer(["notify", "test", ""])).toEqual(["words", "ops\tnotifier"]);
  const backup = new RegExp(`^${id}\tmain/${name} \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\dZ complete$`);
  for (const typed of ["", id.slice(0, 2), id]) {
    const [kind, first, ...more] = await answer(["show", typed]);
    expect({ kind, first, more }).toEqual({ kind: "words", first: expect.stringMatching(backup), more: [] });
  }
  expect((await answer(["restore", ""])).slice(0, 2)).toEqual(["words", "latest\t"]);
  expect(await answer(["show", "xyz"])).toEqual(["words"]);
  expect(await answer(["unhold", ""])).toEqual(["words"]);
  await installation.ok("hold", id);
  expect(await answer(["unhold", ""])).toEqual(["words", expect.stringMatching(backup)]);
  await installation.ok("unhold", id);
});

test("an alert is offered until somebody acknowledges it", async () => {
  await rm(join(installation.directory, "other"), { recursive: true });
  await installation.run("backup");
  const [, all, alert = ""] = await answer(["alerts", "ack", ""]);
  expect(all).toBe("all\t");
  expect(alert).toMatch(/^[0-9a-f]{8}\tWARNING /);
  await installation.ok("alerts", "ack", "all");
  expect(await answer(["alerts", "ack", ""])).toEqual(["words", "all\t"]);
});

test("without a config, or with one that cannot be read, it is silent", async () => {
  const broken = join(installation.directory, "broken.toml");
  await writeFile(broken, "[[server]\nname=");
  for (const config of ["/nowhere/config.toml", broken, installation.directory]) {
    expect(await answer(["backup", ""], { PG321_CONFIG: config })).toEqual(["words"]);
    expect(await answer(["-c", config, "backup", ""])).toEqual(["words"]);
    expect(await answer(["ba"], { PG321_CONFIG: config })).toContain(
      "backup\tback up databases to every storage",
    );
  }
  // The config names no secret that completion would need.
  const secretive = join(installation.directory, "secretive.toml");
  await writeFile(
    secretive,
    '[[server]]\nname = "main"\npassword = { credential = "x" }\ndatabases = ["=a*"]',
  );
  expect(await answer(["backup", ""], { PG321_CONFIG: secretive })).toEqual([
    "words",
    "a*\tdatabase of main",
  ]);
});

test("it creates nothing, and as root nothing that the service could not use", async () => {
  const state = join(installation.directory, "theirs");
  const config = join(installation.directory, "theirs.toml");
  await writeFile(config, `state_dir = ${JSON.stringify(state)}\n[[server]]\nname = "main"`);
  expect(await answer(["show", ""], { PG321_CONFIG: config })).toEqual(["words"]);
  expect(await Bun.file(join(state, "catalog.db")).exists()).toBe(false);
  await mkdir(state, { mode: 0o700 });
  await chmod(installation.directory, 0o711);
  await installation.ok("list");
  await Bun.write(join(state, "catalog.db"), Bun.file(join(installation.directory, "state/catalog.db")));
  const nobody = 65_534;
  for (const path of [state, join(state, "catalog.db")]) await chown(path, nobody, nobody);
  const answered = await answer(["show", ""], { PG321_CONFIG: config });
  for (const file of await readdir(state)) expect((await stat(join(state, file))).uid).toBe(nobody);
  expect(answered).toContainEqual(expect.stringContaining(id));
});
