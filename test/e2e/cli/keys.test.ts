import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, exists, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { EXAMPLE_RECIPIENT } from "../../../src/config/load.ts";
import { programWords, runProgram } from "../../lab/installation.ts";
import { onTerminal, programOnTerminal, screenOf } from "../../lab/machine/terminal.ts";

let base: string;
let count = 0;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "pg321-cli-keys-"));
});
afterAll(() => rm(base, { recursive: true }));

const run = (...words: string[]) => runProgram(words, { PG321_CONFIG: "/nowhere/config.toml" });

/** The paths of a new pair of keys, and the options that name them. */
function newPair() {
  const directory = join(base, `pair-${++count}`);
  const [identity, signingKey] = [join(directory, "identity.txt"), join(directory, "signing.key")];
  return { directory, identity, signingKey, words: ["--identity", identity, "--signing-key", signingKey] };
}

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

test("makes both files 0600 in a directory 0700, whatever the umask, and warns about losing the identity", async () => {
  const pair = newPair();
  const before = process.umask(0);
  const { exitCode, stdout } = await run("key", "generate", ...pair.words).finally(() =>
    process.umask(before),
  );
  expect(exitCode).toBe(0);
  expect(await Promise.all([pair.directory, pair.identity, pair.signingKey].map(modeOf))).toEqual([
    "700",
    "600",
    "600",
  ]);
  expect((await readdir(pair.directory)).sort()).toEqual(["identity.txt", "signing.key"]);
  expect(stdout).toContain("If you lose the identity, you lose every backup");
  expect(stdout).not.toContain("AGE-SECRET-KEY");
  const identity = await readFile(pair.identity, "utf8");
  const signer = /^# signer: (.*)$/m.exec(await readFile(pair.signingKey, "utf8"))?.[1];
  expect(identity).toContain(`# signer: ${signer}\n`);
  const shown = await run("key", "show", ...pair.words, "--json");
  expect(shown.json).toMatchObject({ signer, trusted_signers: [signer] });
  expect(stdout).toContain(`recipients = ["${shown.json.recipients[0]}"]`);
  expect(shown.stdout + shown.stderr).not.toMatch(/SECRET-KEY|PRIVATE/);
});

test("prints absolute paths, which the config needs, for paths that were given relative", async () => {
  const pair = newPair();
  const words = [pair.identity, pair.signingKey].map((path) => relative(process.cwd(), path));
  const { stdout } = await run("key", "generate", "-i", words[0] ?? "", "--signing-key", words[1] ?? "");
  expect(stdout).toContain(
    `  identity_file = "${pair.identity}"\n  signing_key_file = "${pair.signingKey}"\n`,
  );
});

test("key show takes the file that is not named from the config, and the named one is shown without a config", async () => {
  const [pair, other] = [newPair(), newPair()];
  const made = (await run("key", "generate", ...pair.words, "--json")).json;
  const { recipient, signer } = (await run("key", "generate", ...other.words, "--json")).json;
  const config = join(base, "one-named.toml");
  const encryption = `recipients = ["${made.recipient}"]\nidentity_file = "${pair.identity}"\nsigning_key_file = "${pair.signingKey}"`;
  const disk = `[[storage]]\nname = "disk"\ntype = "local"\npath = "${base}"\nkeep = { days = 1 }`;
  await writeFile(
    config,
    `[encryption]\n${encryption}\n[[server]]\nname = "main"\ndatabases = ["*"]\n${disk}\n`,
  );
  const show = (...words: string[]) =>
    runProgram(["key", "show", "--json", ...words], { PG321_CONFIG: config });
  expect((await show("-i", other.identity)).json).toMatchObject({
    recipients: [recipient],
    signer: made.signer,
  });
  expect((await show("--signing-key", other.signingKey)).json).toMatchObject({
    recipients: [made.recipient],
    signer,
  });
  const alone = await run("key", "show", "-i", other.identity, "--json");
  expect(alone).toMatchObject({ exitCode: 0, json: { recipients: [recipient], signing_key_file: null } });
  expect(alone.stderr).toContain("there is no such config file");
});

test("an identity typed from paper with a mistake: the error names the line and what to compare", async () => {
  const pair = newPair();
  await run("key", "generate", ...pair.words);
  const text = await readFile(pair.identity, "utf8");
  const typed = async (change: (identity: string) => string) => {
    await writeFile(pair.identity, text.replace(/^AGE-SECRET-KEY-.*$/m, change));
    const { exitCode, stderr } = await run("key", "show", ...pair.words);
    expect(exitCode).toBe(12);
    expect(stderr).not.toMatch(/SECRET-KEY-1\w/);
    return stderr;
  };
  const swapped = await typed((one) => one.replace(/.$/, (last) => (last === "Q" ? "P" : "Q")));
  expect(swapped).toMatch(
    /^error: identity file: line 5 has a typing mistake: its checksum is wrong\nhint: compare line 5 /,
  );
  expect(await typed((one) => one.slice(0, -1))).toContain("it has 73 characters, not 74");
  expect(await typed((one) => `${one.slice(0, 20)}O${one.slice(21)}`)).toContain(
    "character 21 cannot be in an identity",
  );
  expect(await typed((one) => one.toLowerCase())).toContain("line 5 has a typing mistake");
});

test.each(["identity", "signingKey"] as const)(
  "never replaces a file, and never makes half a pair: %s",
  async (which) => {
    const pair = newPair();
    const made = await run("key", "generate", ...pair.words);
    expect(made.exitCode).toBe(0);
    const other = which === "identity" ? pair.signingKey : pair.identity;
    await rm(other);
    const text = await readFile(pair[which], "utf8");
    const again = await run("key", "generate", ...pair.words);
    expect(again).toMatchObject({ exitCode: 12, stdout: "" });
    expect(again.stderr).toContain(`${pair[which]}: already exists`);
    expect(await readFile(pair[which], "utf8")).toBe(text);
    expect((await readdir(pair.directory)).length).toBe(1);
  },
);

test("a passphrase from a file protects the identity file and opens it; a wrong one and none do not", async () => {
  const pair = newPair();
  const [right, wrong] = [join(base, "right"), join(base, "wrong")];
  await writeFile(right, "correct horse battery\n");
  await writeFile(wrong, "correct horse\n");
  const made = await run("key", "generate", ...pair.words, "--passphrase-file", right, "--json");
  expect(await readFile(pair.identity, "utf8")).toStartWith("-----BEGIN AGE ENCRYPTED FILE-----");
  const opened = await run("key", "show", ...pair.words, "--passphrase-file", right, "--json");
  expect(opened.json.recipients).toEqual([made.json.recipient]);
  const refused = await run("key", "show", ...pair.words, "--passphrase-file", wrong);
  expect(refused).toMatchObject({ exitCode: 12, stdout: "" });
  expect(refused.stderr).toMatch(/^error: identity file: the passphrase does not open it\nhint: /);
  const unasked = await run("key", "show", ...pair.words);
  expect(unasked).toMatchObject({ exitCode: 12, stdout: "" });
  expect(unasked.stderr).toMatch(/protected by a passphrase, and none was given\nhint: /);
  const terminalless = await run("key", "generate", ...newPair().words, "--passphrase");
  expect(terminalless).toMatchObject({ exitCode: 2, stdout: "" });
  expect(terminalless.stderr).toMatch(/needs a terminal\nhint: use --passphrase-file FILE\n$/);
  const missing = await run("key", "generate", ...newPair().words, "--passphrase-file", join(base, "none"));
  expect(missing.exitCode).toBe(12);
  // Replacing invalid bytes would give a passphrase that nobody can type.
  const latin = join(base, "latin");
  await writeFile(latin, Buffer.from("schl\xfcssel am haken", "latin1"));
  const untypeable = newPair();
  const repaired = await run("key", "generate", ...untypeable.words, "--passphrase-file", latin);
  expect(repaired).toMatchObject({ exitCode: 12, stdout: "" });
  expect(repaired.stderr).toMatch(/latin: is not UTF-8 text\nhint: /);
  expect(await exists(untypeable.identity)).toBe(false);
});

test("on a terminal a passphrase is asked for twice, and not shown", async () => {
  const pair = newPair();
  const program = onTerminal(["key", "generate", ...pair.words, "--passphrase"]);
  await program.shows(/New passphrase: $/);
  program.type("open sesame 7\r");
  await program.shows(/Again: $/);
  program.type("open sesame 7\r");
  const { exitCode, written } = await program.ended;
  expect(exitCode).toBe(0);
  expect(written).not.toContain("open sesame");
  expect(screenOf(written).join("\n")).toContain("(protected by a passphrase)");
  const file = join(base, "typed");
  await writeFile(file, "open sesame 7");
  expect((await run("key", "show", ...pair.words, "--passphrase-file", file)).exitCode).toBe(0);
});

test.each([
  ["^C", "\u0003", 130, "error: interrupted by hand"],
  ["^D", "\u0004", 12, "error: no passphrase was given"],
])("%s at the question ends the program", async (_, key, exitCode, error) => {
  const pair = newPair();
  const program = onTerminal(["key", "generate", ...pair.words, "--passphrase"]);
  await program.shows(/New passphrase: $/);
  program.type(key);
  const ended = await program.ended;
  expect(ended.exitCode).toBe(exitCode);
  expect(screenOf(ended.written)).toContain(error);
  expect(await exists(pair.identity)).toBe(false);
});

test("SIGTERM at the question ends the program and gives the terminal its echo back", async () => {
  const pair = newPair();
  // The inner shell becomes pg321, the outer one looks at the terminal afterwards.
  const script = `sh -c 'echo "pid $$"; exec "$@"' x "$@"; echo "exit $?"; stty -a`;
  const words = [...programWords(), "key", "generate", ...pair.words, "--passphrase"];
  const program = programOnTerminal(["sh", "-c", script, "x", ...words]);
  await program.shows(/New passphrase: $/);
  process.kill(Number(/pid (\d+)/.exec(program.written())?.[1]), "SIGTERM");
  const { written } = await program.ended;
  expect(written).toContain("exit 143");
  expect(written).toMatch(/error: .*SIGTERM/);
  expect(written).toMatch(/ icanon .* echo /s);
  expect(await exists(pair.identity)).toBe(false);
});

test("a backup that only the example's recipient could open is refused", async () => {
  const pair = newPair();
  const { json } = await run("key", "generate", ...pair.words, "--json");
  const config = join(base, "example.toml");
  const backup = async (recipients: string[]) => {
    const text = [
      `state_dir = "${join(base, "state")}"`,
      `[encryption]\nrecipients = ${JSON.stringify(recipients)}\nsigning_key_file = "${pair.signingKey}"`,
      '[[server]]\nname = "main"\nhost = "127.0.0.1"\nport = 1',
      `[[storage]]\nname = "disk"\ntype = "local"\npath = "${base}"`,
    ];
    await writeFile(config, text.join("\n"));
    await chmod(config, 0o600);
    return run("backup", "-c", config);
  };
  const refused = await backup([EXAMPLE_RECIPIENT]);
  expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
  expect(refused.stderr).toMatch(
    /error: .*only the recipient of the example config, whose secret key nobody has\nhint: .*key generate/,
  );
  // With an own key in addition the backup can be opened: the command continues, and only then finds no server.
  const allowed = await backup([EXAMPLE_RECIPIENT, json.recipient]);
  expect(allowed.exitCode).toBe(10);
  expect(allowed.stderr).toContain("this is the example's recipient");
});
