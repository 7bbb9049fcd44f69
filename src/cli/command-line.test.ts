import { describe, expect, test } from "bun:test";
import type { Command } from "./command.ts";
import { splitCommandLine } from "./command-line.ts";
import { COMMANDS } from "./registry.ts";

/** The command line in the usual order, or the refusal with its hint. */
async function split(...words: string[]): Promise<string> {
  try {
    const { before, word, rest } = await splitCommandLine(words, COMMANDS);
    return [word, ...before, ...rest].join(" ");
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint: string };
    return `${code}: ${message}; ${hint}`;
  }
}

describe("options before the command", () => {
  test.each([
    [["backup", "app"], "backup app"],
    [["--config", "x", "backup", "app"], "backup --config=x app"],
    [["-cx", "--help", "backup"], "backup -cx --help"],
    [["--json", "status"], "status --json"],
    [["-d", "app", "list"], "list -d app"],
    [["-d", "list", "list"], "list -d list"],
    [["-n", "3", "-c", "x", "list", "--json"], "list -n 3 -c x --json"],
    [["-c", "x", "--status=FAILED", "--config=y", "list"], "list --config=x --status=FAILED --config=y"],
    [["--reason", "backup", "hold", "3f2a"], "hold --reason backup 3f2a"],
    [["--all", "verify", "3f2a"], "verify --all 3f2a"],
  ])("%p mean the same after it", async (words, expected) => {
    expect(await split(...words)).toBe(expected);
  });

  test.each([
    [["--dry-run", "status"], "usage: status: unknown option --dry-run; usage: pg321 status"],
    [["-d", "backup"], "usage: backup: -d needs a value (NAME); usage: pg321 backup [DATABASE…]"],
    [["--conifg", "x", "backup"], "usage: backup: unknown option --conifg; did you mean --config?"],
    [["--conifg=x"], "usage: no command was given, only the option --conifg; did you mean --config?"],
    [
      ["--frobnicate"],
      "usage: no command was given, only the option --frobnicate; pg321 COMMAND [OPTION…]: pg321 --help lists the commands",
    ],
  ])("%p are refused", async (words, expected) => {
    expect(await split(...words)).toBe(expected);
  });

  test("are refused if two commands could take them", async () => {
    const command = (options: Command["options"]): Command => ({
      usage: "",
      options,
      examples: [],
      positionals: { min: 0, max: 1 },
      run: async () => 0,
    });
    const entries = [
      { name: "one", summary: "", command: command({ x: { type: "boolean", help: "" } }) },
      { name: "two", summary: "", command: command({ x: { type: "string", value: "X", help: "" } }) },
    ].map(({ command, ...entry }) => ({ ...entry, load: async () => ({ command }) }));
    expect(splitCommandLine(["--x", "one", "two"], entries)).rejects.toThrow("the command may be one or two");
  });
});
