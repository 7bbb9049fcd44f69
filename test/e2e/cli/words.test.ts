import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Option } from "../../../src/cli/command.ts";
import { COMMON_OPTIONS } from "../../../src/cli/command.ts";
import { COMMANDS } from "../../../src/cli/registry.ts";
import { runProgram } from "../../lab/installation.ts";

/** Without a config, so that only the command line matters. */
const run = (...words: string[]) => runProgram(words, { PG321_CONFIG: "/nowhere/config.toml" });
const NAMES = COMMANDS.map(({ name }) => name);

describe("help", () => {
  test.each([[["--help"]], [["-h"]], [["help"]]])("%p lists the commands", async (words) => {
    const { exitCode, stdout, stderr } = await run(...words);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    for (const { name, summary } of COMMANDS)
      expect(stdout).toMatch(new RegExp(`^  ${name} +${summary}$`, "m"));
    expect(stdout).toContain("--config FILE");
    expect(stdout).not.toContain("\u001b");
  });

  test("an empty command line shows it, too, and is a mistake", async () => {
    const { exitCode, stdout } = await run();
    expect(exitCode).toBe(2);
    expect(stdout).toContain("Usage:");
  });

  test.each(NAMES)("%s: usage, every option, examples", async (name) => {
    const { command } = await (COMMANDS.find((one) => one.name === name) as (typeof COMMANDS)[0]).load();
    const { exitCode, stdout, stderr } = await run(name, "--help");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toContain(`  pg321 ${name}${command.usage ? ` ${command.usage}` : ""}\n`);
    for (const [option, { help }] of Object.entries<Option>({ ...command.options, ...COMMON_OPTIONS }))
      expect(stdout).toMatch(new RegExp(`--${option}\\b.*${RegExp.escape(help)}`));
    expect(command.examples.length).toBeGreaterThan(0);
    for (const example of command.examples) {
      expect(stdout).toContain(example.command);
      expect(stdout).toContain(example.explanation);
    }
    expect((await run("help", name)).stdout).toBe(stdout);
  });

  test("is shown even if the other arguments are invalid", async () => {
    expect((await run("show", "--help", "one", "two")).exitCode).toBe(0);
  });
});

test("help recovery prints the page for the worst night, and --help names it", async () => {
  const { exitCode, stdout, stderr } = await run("help", "recovery");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toBe(await Bun.file(join(import.meta.dir, "../../../docs/recovery.md")).text());
  expect((await run("--help")).stdout).toContain("pg321 help recovery");
});

test.each([[["--version"]], [["-V"]]])("%p prints version and commit", async (words) => {
  const { exitCode, stdout, stderr } = await run(...words);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toMatch(/^pg321 \d+\.\d+\.\d+\S* \(\w+\)\n$/);
});

describe("a mistake ends with exit 2, an error and a hint", () => {
  test.each<[string[], RegExp, RegExp]>([
    [["bakcup"], /^unknown command "bakcup"$/, /^did you mean pg321 backup\?$/],
    [["frobnicate"], /^unknown command "frobnicate"$/, /--help lists the commands/],
    [["help", "lsit"], /^unknown command "lsit"$/, /^did you mean pg321 list\?$/],
    [["--json"], /^no command was given, only the option --json$/, /--help lists the commands/],
    [["--dry-run", "list"], /^list: unknown option --dry-run$/, /^usage: pg321 list$/],
    [["list", "--jsn"], /^list: unknown option --jsn$/, /^did you mean --json\?$/],
    [["list", "--frobnicate"], /^list: unknown option --frobnicate$/, /^usage: pg321 list$/],
    [["list", "-x"], /^list: unknown option -x$/, /^usage: pg321 list$/],
    [["show"], /^show: an argument is missing$/, /^usage: pg321 show ID$/],
    [["show", "3f", "4a"], /^show: unexpected argument "4a"$/, /^usage: pg321 show ID$/],
    [["check", "config.toml"], /^check: unexpected argument "config.toml"$/, /^usage: pg321 check$/],
    [["list", "--limit"], /^list: --limit needs a value \(N\)$/, /^usage: /],
    [["list", "--database", "--json"], /^list: --database needs a value \(NAME\)$/, /^usage: /],
    [["list", "--json=yes"], /^list: --json takes no value$/, /^usage: /],
    [
      ["key", "genrate"],
      /the action is "genrate", expected one of generate, show, rotate$/,
      /mean generate\?$/,
    ],
    [["restore"], /^restore: an argument is missing$/, /^usage: pg321 restore ID\|latest/],
    [
      ["list", "--config", "/nowhere/else.toml"],
      /^\/nowhere\/else\.toml: there is no such config/,
      /--config/,
    ],
    [["backup"], /^\/nowhere\/config\.toml: there is no such config file$/, /--config or PG321_CONFIG$/],
  ])("%p", async (words, error, hint) => {
    const { exitCode, stdout, stderr } = await run(...words);
    const [first = "", second = "", ...rest] = stderr.trimEnd().split("\n");
    expect({ exitCode, stdout, rest }).toEqual({ exitCode: 2, stdout: "", rest: [] });
    expect(first.replace(/^error: /, "")).toMatch(error);
    expect(second.replace(/^hint: /, "")).toMatch(hint);
    expect([first, second].map((line) => line.split(" ")[0])).toEqual(["error:", "hint:"]);
  });

  test.each([
    [["list", "--log-level", "loud"], 'error: --log-level is "loud", expected debug, info, warning, error\n'],
    [["list", "--log-format", "xml"], 'error: --log-format is "xml", expected text or json\n'],
  ])("%p", async (words, stderr) => {
    expect(await run(...words)).toMatchObject({ exitCode: 2, stdout: "", stderr });
  });
});

describe("options may come before the command", () => {
  test.each([
    [["--config", "/nowhere/else.toml", "list"]],
    [["--config=/nowhere/else.toml", "list"]],
    [["-c", "/nowhere/else.toml", "--log-level", "error", "list"]],
    [["-c/nowhere/else.toml", "--log-format=json", "list"]],
    [["--json", "-n", "3", "--config", "/nowhere/else.toml", "list"]],
  ])("%p", async (words) => {
    const { exitCode, stderr } = await run(...words);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("/nowhere/else.toml: there is no such config file");
  });

  test("help and version too; a value that is missing is a mistake", async () => {
    const help = (await run("show", "--help")).stdout;
    expect((await run("-c", "x.toml", "--help", "show")).stdout).toBe(help);
    expect((await run("-c", "x.toml", "help", "show")).stdout).toBe(help);
    expect((await run("-c", "x.toml", "--version")).stdout).toStartWith("pg321 ");
    expect(await run("list", "--config")).toMatchObject({ exitCode: 2 });
    for (const words of [["--config"], ["--config", "--log-level", "error", "list"]])
      expect((await run(...words)).stderr).toBe("error: --config needs a value (FILE)\n");
  });
});

test("a control character in an argument does not reach the terminal", async () => {
  const { stderr } = await run("\u001b]0;title\u0007\u009b2J");
  expect(stderr).toStartWith('error: unknown command "\ufffd]0;title\ufffd\ufffd2J"\n');
});
