import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processTag } from "../../../src/base/files/private-files.ts";
import { Installation, localStorage, runProgram, startProgram } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);
const UNSEAL = join(import.meta.dir, "../../../contrib/unseal.py");
const postgres = usePostgres();
let installation: Installation;
let database: string;
let base: string;
let oldText: string;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "pg321-key-rotate-"));
  database = await postgres.createDatabase();
  await postgres.connect(database).unsafe("CREATE TABLE t AS SELECT generate_series(1, 100) AS id");
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await chmod(installation.identityFile, 0o640);
  oldText = await readFile(installation.identityFile, "utf8");
});
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]();
  await rm(base, { recursive: true });
});

const identityText = () => readFile(installation.identityFile, "utf8");
// biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
const keyFindings = async (): Promise<any[]> => {
  const { findings } = (await installation.run("doctor", "--json")).json;
  // biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
  return findings.filter(({ area }: any) => area === "keys");
};

test("a new identity stands behind the old one, and the config stays as it is until a person changes it", async () => {
  const old = installation.recipient;
  const config = await readFile(installation.configFile, "utf8");
  await installation.ok("backup");
  const { stdout } = await installation.ok("key", "rotate");
  const text = await identityText();
  expect(text).toStartWith(oldText);
  expect((await stat(installation.identityFile)).mode & 0o777).toBe(0o640);
  expect(await readFile(installation.configFile, "utf8")).toBe(config);
  expect(stdout).not.toContain("AGE-SECRET-KEY");
  const [, edit = ""] = /^ {2}sudo (sed -i .*)$/m.exec(stdout) ?? [];
  expect(edit).toContain(old);

  // Until the config is changed, the same identity is offered again, and doctor asks for the change.
  const again = (await installation.ok("key", "rotate", "--json")).json;
  expect(again).toMatchObject({ created: false, replaces: [old], kept: [old] });
  expect(again.recipients).toEqual([again.recipient]);
  expect(await identityText()).toBe(text);
  expect(await keyFindings()).toContainEqual(
    expect.objectContaining({ verdict: "warning", message: expect.stringContaining(again.recipient) }),
  );

  expect(await Bun.spawn(["sh", "-c", edit]).exited).toBe(0);
  const edited = await readFile(installation.configFile, "utf8");
  expect(edited).toBe(config.replaceAll(old, again.recipient));
  expect(edited).toContain(again.recipient);
  await installation.configure({ recipients: [again.recipient] });
  expect((await keyFindings()).filter(({ verdict }) => verdict !== "ok")).toEqual([]);
  await installation.ok("backup");
  const shown = (await installation.ok("key", "show", "--json")).json;
  expect(shown.identities).toEqual([
    { recipient: old, created_at: expect.any(String), replaces: [], seals_new_backups: false },
    { recipient: again.recipient, created_at: expect.any(String), replaces: [old], seals_new_backups: true },
  ]);
});

test("afterwards old and new backups open: by restore, by verify and without pg321", async () => {
  const { backups } = (await installation.ok("list", "--json")).json;
  expect(backups).toHaveLength(2);
  const { copies } = (await installation.ok("verify", "--all", "--json")).json;
  expect(copies).toHaveLength(2);
  for (const copy of copies) expect(copy).toMatchObject({ verdict: "good", segments_checked: true });
  for (const { id, object_key } of backups) {
    const out = join(base, `${id}.dump`);
    await installation.ok("restore", id, "--output", out);
    const sealed = join(installation.directory, "disk", object_key);
    const child = Bun.spawn(
      ["sh", "-c", 'exec "$0" -i "$1" "$2" | zstd -d', UNSEAL, installation.identityFile, sealed],
      { stdout: "pipe", stderr: "pipe" },
    );
    const plain = await child.stdout.bytes();
    expect(Buffer.compare(plain, await readFile(out))).toBe(0);
  }
  // Each needs its own identity: neither opens the other's backup.
  const alone = join(base, "old-alone.txt");
  await writeFile(alone, oldText);
  const [newest] = backups;
  const newestFile = join(installation.directory, "disk", newest.object_key);
  expect((await installation.run("unseal", newestFile, "-i", alone)).exitCode).toBe(12);
});

test("doctor says which backups need which identity, and warns if one that is needed is not there", async () => {
  const [newest, oldest] = (await installation.ok("list", "--json")).json.backups;
  expect([oldest.recipients, newest.recipients]).toEqual([
    [installation.recipient],
    [expect.not.stringContaining(installation.recipient)],
  ]);
  const day = "\\(\\d{4}-\\d\\d-\\d\\d\\)";
  const need = ([recipient]: string[], where: string) =>
    expect.stringMatching(
      new RegExp(`^1 backup ${day} needs the identity of ${recipient}, which is ${where}`),
    );
  const messages = async () => (await keyFindings()).map(({ verdict, message }) => ({ verdict, message }));
  expect(await messages()).toEqual(
    expect.arrayContaining([
      { verdict: "ok", message: need(oldest.recipients, "here") },
      { verdict: "ok", message: need(newest.recipients, "here") },
    ]),
  );
  const text = await identityText();
  await writeFile(installation.identityFile, text.replace(/^AGE-SECRET-KEY-1.*$/m, ""));
  expect(await messages()).toEqual(
    expect.arrayContaining([
      { verdict: "warning", message: need(oldest.recipients, "not in the identity file") },
      { verdict: "ok", message: need(newest.recipients, "here") },
    ]),
  );
  await writeFile(installation.identityFile, text);
});

test("a new host gets every identity from the export", async () => {
  const [exported, phrase] = [join(base, "host.age"), join(base, "export-phrase")];
  await writeFile(phrase, "correct horse battery\n");
  await installation.ok("export-keys", exported, "--passphrase-file", phrase);
  const text = await identityText();
  for (const name of ["identity.txt", "signing.key", "config.toml", "state"])
    await rm(join(installation.directory, name), { recursive: true });
  await installation.ok("restore-host", exported, "--passphrase-file", phrase);
  expect(await identityText()).toBe(text);
  const { copies } = (await installation.ok("verify", "--all", "--json")).json;
  expect(copies).toHaveLength(2);
  for (const copy of copies) expect(copy).toMatchObject({ verdict: "good", segments_checked: true });
  // The recipients are not in the manifests: the backups that were found again are judged by their time.
  expect((await keyFindings()).map(({ message }) => message)).toContainEqual(
    expect.stringMatching(
      /^2 backups \([-\d]+\) without recorded recipients: by their time they need the identity of age1/,
    ),
  );
  const page = (await installation.ok("recovery-kit", "-")).stdout.replaceAll("\n", " ");
  expect(page).toContain("it is not recorded which identity they need: one from that time");
});

test("a protected file stays protected by the same passphrase, and a wrong one changes nothing", async () => {
  const [identity, phrase, wrong] = [join(base, "protected.txt"), join(base, "phrase"), join(base, "wrong")];
  await writeFile(phrase, "correct horse battery\n");
  await writeFile(wrong, "battery staple\n");
  const run = (...words: string[]) => runProgram(words, { PG321_CONFIG: "/nowhere/config.toml" });
  const signing = ["--signing-key", join(base, "protected.key")];
  const made = await run(
    "key",
    "generate",
    "-i",
    identity,
    ...signing,
    "--passphrase-file",
    phrase,
    "--json",
  );
  const before = await readFile(identity, "utf8");
  for (const words of [[], ["--passphrase-file", wrong]])
    expect(await run("key", "rotate", "-i", identity, ...words)).toMatchObject({ exitCode: 12, stdout: "" });
  expect(await readFile(identity, "utf8")).toBe(before);
  // Through a link: the file behind it is changed, and the link stays.
  const link = join(base, "link.txt");
  await symlink(identity, link);
  const rotated = await run("key", "rotate", "-i", link, "--passphrase-file", phrase, "--json");
  expect(rotated.json).toMatchObject({ created: true, replaces: [made.json.recipient], config_file: null });
  expect(await readFile(identity, "utf8")).toStartWith("-----BEGIN AGE ENCRYPTED FILE-----");
  const shown = await run("key", "show", "-i", identity, "--passphrase-file", phrase, "--json");
  expect(shown.json.recipients).toEqual([made.json.recipient, rotated.json.recipient]);
  expect(shown.json.trusted_signers).toEqual([made.json.signer]);
  // A second rotation without a config replaces only the newest one.
  const third = await run("key", "rotate", "-i", identity, "--passphrase-file", phrase, "--json");
  expect(third.json.replaces).toEqual([rotated.json.recipient]);
  expect((await readdir(base)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

/** As that of this process, if it had ended. */
function deadTag(): string {
  const { pid } = Bun.spawnSync(["true"]);
  return processTag().replace(`-${process.pid}-`, `-${pid}-`);
}

test("killed at any moment, the file is whole, no identity is lost, and the next rotation works", async () => {
  const identity = join(base, "killed.txt");
  await runProgram(["key", "generate", "-i", identity, "--signing-key", join(base, "killed.key")], {});
  // How often the directory is read, after the first file of the rotation appears, until the kill.
  for (const moment of [0, 1, 2, 4, 8, 16]) {
    const before = await readFile(identity, "utf8");
    const leftOver = await readdir(base);
    const child = startProgram(["key", "rotate", "-i", identity], {});
    for (let left = moment; child.exitCode === null; ) {
      const names = await readdir(base);
      const isUnderWay = names.some((name) => name.startsWith(".killed.txt.") && !leftOver.includes(name));
      if (isUnderWay && left-- === 0) break;
    }
    child.kill("SIGKILL");
    await child.exited;
    expect(await readFile(identity, "utf8")).toStartWith(before);
    const shown = await runProgram(["key", "show", "-i", identity, "--json"], {});
    expect(shown.exitCode).toBe(0);
  }
  // Of a live process, of nobody, of another key file, and no file at all.
  const end = "0123456789ab.tmp";
  const others = [
    `.killed.txt.${processTag()}.${end}`,
    `.killed.txt.${end}`,
    `.other.txt.${deadTag()}.${end}`,
  ];
  for (const name of others) await writeFile(join(base, name), "");
  const [own, directory] = [`.killed.txt.${deadTag()}.${end}`, `.killed.txt.lock.${deadTag()}.${end}`];
  await writeFile(join(base, own), "AGE-SECRET-KEY-1");
  await mkdir(join(base, directory));
  const rotated = await runProgram(["key", "rotate", "-i", identity, "--json"], {});
  expect(rotated).toMatchObject({ exitCode: 0, stderr: "" });
  const left = (await readdir(base)).filter((name) => name.endsWith(".tmp"));
  expect(left.sort()).toEqual([...others, directory].sort());
  const { identities } = (await runProgram(["key", "show", "-i", identity, "--json"], {})).json;
  expect(identities.at(-1).recipient).toBe(rotated.json.recipient);
  expect((await readdir(base)).includes(".killed.txt.lock")).toBe(false);
});

test("of several rotations at the same time, none loses the identity of another", async () => {
  const identity = join(base, "together.txt");
  await runProgram(["key", "generate", "-i", identity, "--signing-key", join(base, "together.key")], {});
  const all = await Promise.all(
    Array.from({ length: 4 }, () => runProgram(["key", "rotate", "-i", identity, "--json"], {})),
  );
  const done = all.filter(({ exitCode }) => exitCode === 0).map(({ json }) => json.recipient);
  expect(done.length).toBeGreaterThan(0);
  for (const { exitCode, stderr } of all.filter((one) => one.exitCode !== 0)) {
    expect(exitCode).toBe(12);
    expect(stderr).toMatch(/another command is changing it\nhint: wait for it/);
  }
  const { recipients } = (await runProgram(["key", "show", "-i", identity, "--json"], {})).json;
  expect(recipients).toHaveLength(1 + done.length);
  expect(recipients).toEqual(expect.arrayContaining(done));
});

test.each([
  [
    "no identity file in the config",
    ["key", "rotate"],
    12,
    /the config names no identity_file.*\nhint: .*--identity FILE/,
  ],
  ["no such file", ["key", "rotate", "-i", "/nowhere/identity.txt"], 12, /no such file\nhint: /],
])("refuses: %s", async (_, words, exitCode, message) => {
  const config = join(base, "elsewhere.toml");
  const text = await readFile(installation.configFile, "utf8");
  await writeFile(config, text.replace(/^identity_file = .*$/m, ""), { mode: 0o600 });
  const ended = await runProgram(words, { PG321_CONFIG: config });
  expect(ended).toMatchObject({ exitCode, stdout: "" });
  expect(ended.stderr).toMatch(message);
});
