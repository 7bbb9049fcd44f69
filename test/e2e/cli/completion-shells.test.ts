import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SCRIPTS, SHELLS } from "../../../src/cli/completion/scripts.ts";
import { programWords } from "../../lab/installation.ts";
import { type OnTerminal, programOnTerminal } from "../../lab/machine/terminal.ts";

/*
 * The completion scripts in real shells on a terminal: a word is begun, completed with the tab key, and the command
 * prints its arguments. The names of the databases are hostile; whatever a shell makes of them, nothing may run.
 */

setDefaultTimeout(60_000);

/** Each name with the beginnings that a person may type of it. The commands in names would leave a file here. */
const NAMES: Record<string, string[]> = {
  "we ird": ["we", '"we', "'we", "we\\ i"],
  "a:b": ["a", "a:"],
  "star*": ["st", "star\\*"],
  "quo'te\"s": ["quo", '"quo', "'quo"],
  "$(touch pwned)": ["\\$", "'$("],
  "`touch pwned`": ["\\`"],
  "semi;touch pwned": ["semi"],
  "bang!x": ["ban", '"ban'],
  "back\\slash": ["bac", "'bac"],
  "née & co": ["né"],
  "me@x=y": ["me", "me@", "me@x="],
  "~tilde": ["\\~"],
  "main/-dash": ["main/-"],
  "main/main/shop": ["main/main"],
};
const NOT_OFFERED = ["new\nline", "es\u001bcape"];

let directory: string;
let env: Record<string, string>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-completion-"));
  const names = [...Object.keys(NAMES).map((name) => name.replace(/^main\//, "")), ...NOT_OFFERED];
  const config = [
    `state_dir = ${JSON.stringify(join(directory, "state"))}`,
    '[[server]]\nname = "main"',
    `databases = [${names.map((name) => JSON.stringify(`=${name}`)).join(", ")}]`,
    '[[storage]]\nname = "disk"\n[[storage]]\nname = "cloud"\n[[notify]]\nname = "ops"',
  ];
  await writeFile(join(directory, "config.toml"), config.join("\n"));
  const words = programWords().map((word) => `'${word}'`);
  await writeFile(join(directory, "pg321"), `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`);
  await chmod(join(directory, "pg321"), 0o755);
  for (const shell of SHELLS) await writeFile(join(directory, `script.${shell}`), SCRIPTS[shell]);
  await mkdir(join(directory, "site"));
  await writeFile(join(directory, "site/_pg321"), SCRIPTS.zsh);
  env = {
    // fish makes a directory of its own there, which it leaves behind.
    ...{ TMPDIR: directory, XDG_RUNTIME_DIR: directory },
    PATH: `${directory}:${process.env["PATH"]}`,
    HOME: directory,
    PG321_CONFIG: join(directory, "config.toml"),
    LANG: "C.UTF-8",
    PS1: "$ ",
  };
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** The command that is completed prints its arguments, the first without brackets. */
const SHELL_WORDS: Record<string, { argv: string[]; setUp: string }> = {
  bash: {
    argv: ["bash", "--norc", "-i"],
    setUp:
      'source script.bash; args() { printf "%s" "$1"; shift; printf "<%s>" "$@"; echo; }; complete -F _pg321 args',
  },
  zsh: {
    argv: ["zsh", "-f", "-i"],
    setUp:
      'fpath=(site $fpath); autoload -Uz compinit; compinit -u -D; args() { print -nr -- $1; shift; printf "<%s>" "$@"; echo }; compdef _pg321 args',
  },
  fish: {
    argv: ["fish", "--no-config", "-i"],
    setUp:
      'source script.fish; function args; printf "%s" $argv[1]; printf "<%s>" $argv[2..-1]; echo; end; complete -c args -f -a "(__pg321_complete)"',
  },
};

async function openShell(shell: string): Promise<OnTerminal> {
  const { argv, setUp } = SHELL_WORDS[shell] ?? { argv: [], setUp: "" };
  const cd = ["sh", "-c", 'cd "$0" && exec "$@"', directory, ...argv];
  const terminal = programOnTerminal(cd, env);
  // The answer is not in the line that the terminal echoes.
  terminal.type(`${setUp}; echo rea''dy\n`);
  await terminal.shows(/^ready/m);
  return terminal;
}

test("sourcing a script prints nothing and registers it, also in zsh", async () => {
  const lines = [
    ["zsh", "-fc", "autoload -Uz compinit; compinit -u -D; source script.zsh; print $_comps[pg321]"],
    ["bash", "-c", "source script.bash; complete -p pg321"],
    ["fish", "--no-config", "-c", "source script.fish; complete -C'pg321 hol'"],
  ];
  const answers = lines.map((argv) => {
    const { stdout, stderr } = Bun.spawnSync(argv, { cwd: directory, env });
    return `${stdout}${stderr}`.trim();
  });
  expect(answers).toEqual([
    "_pg321",
    "complete -o nosort -F _pg321 pg321",
    "hold\tkeep a backup regardless of its age",
  ]);
});

describe.each(Object.keys(SHELL_WORDS))("%s", (shell) => {
  test("completes every name safely, from every beginning", async () => {
    const terminal = await openShell(shell);
    const got: Record<string, string[]> = {};
    let at = 0;
    for (const [name, beginnings] of Object.entries(NAMES)) {
      got[name] = [];
      for (const begun of beginnings) {
        at++;
        terminal.type(`args run${at} backup -d ${begun}\t\n`);
        await terminal.shows(new RegExp(`^run${at}<.*>\\r?\\n`, "m"));
        const line = new RegExp(`^run${at}<(.*)>\\r?\\n`, "m").exec(terminal.written())?.[1] ?? "";
        got[name].push(line.replace("backup><-d><", ""));
      }
    }
    terminal.type("exit\n");
    await terminal.ended;
    const expected = Object.entries(NAMES).map(([name, beginnings]) => [name, beginnings.map(() => name)]);
    expect(got).toEqual(Object.fromEntries(expected));
    expect((await readdir(directory)).filter((file) => file.includes("pwned"))).toEqual([]);
  });

  test("completes commands, options, their values and paths", async () => {
    const terminal = await openShell(shell);
    const lines: [string, string][] = [
      ["check\t", "check"],
      ["list --statu\tFAILED", "list><--status><FAILED"],
      ["verify --storage=cl\t", "verify><--storage=cloud"],
      ["notify test o\t", "notify><test><ops"],
      ["-c conf\t list -s m\t", "-c><config.toml><list><-s><main"],
      ["--config=conf\t list", "--config=config.toml><list"],
    ];
    for (const [index, [typed, expected]] of lines.entries()) {
      terminal.type(`args run${index} ${typed}\n`);
      await terminal.shows(new RegExp(`^run${index}<.*>\\r?\\n`, "m"));
      expect(terminal.written()).toMatch(new RegExp(`^run${index}<${RegExp.escape(expected)}>`, "m"));
    }
    terminal.type("exit\n");
    await terminal.ended;
  });
});
