import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Glob } from "bun";
import { COMMANDS } from "../src/cli/registry.ts";
import type { DocumentedCall } from "./lab/documented-commands.ts";
import { callsIn, codeBlocks, commandsOf, refusalOf, usageAsCall } from "./lab/documented-commands.ts";

/*
 * Every command line that a person may copy is parsed by the program: code blocks and code spans of the documents, the
 * texts of the alert rules, and the messages, hints and help in the source. test/e2e/service/first-hour.test.ts and
 * others run them.
 */

const ROOT = join(import.meta.dir, "..");
const filesOf = async (pattern: string) =>
  (await Array.fromAsync(new Glob(pattern).scan({ cwd: ROOT }))).filter(
    (path) => !path.includes("node_modules"),
  );
const DOCUMENTS = [...(await filesOf("*.md")), ...(await filesOf("{docs,monitoring,test}/**/*.md"))];
const RULES = await filesOf("monitoring/*.yml");
const CONFIGS = ["config.example.toml", "src/install/config.toml", "systemd/pg321.service"];
const SOURCES = (await filesOf("src/**/*.{ts,tsx}")).filter((path) => !path.endsWith(".test.ts"));

const textOf = (path: string) => Bun.file(join(ROOT, path)).text();

/** The calls in code spans: a sentence names a command without its arguments. */
function spansOf(text: string): DocumentedCall[] {
  return [...text.matchAll(/`((?:sudo )?(?:\.\/|dist\/)?pg321 [^`]+)`/g)].flatMap(([, span = ""]) =>
    callsIn(usageAsCall(span.replace(/\s+/g, " "))).map((call) => ({
      ...call,
      isProse: !span.includes(" -"),
      isSpan: true,
    })),
  );
}

/** The calls in code blocks; in `docs/cli.md` an explanation stands two blanks behind an example. */
function blockCalls(text: string): DocumentedCall[] {
  return codeBlocks(text)
    .flatMap(commandsOf)
    .filter((line) => !/^(error|hint|pg321 \d)|‖/.test(line))
    .flatMap((line) => callsIn(usageAsCall(line.replace(/\s{2,}.*/, ""))));
}

async function refused(calls: readonly DocumentedCall[]): Promise<string[]> {
  const refusals = await Promise.all(calls.map(async (call) => [call.text, await refusalOf(call)]));
  return refusals.flatMap(([text, refusal]) => (refusal === undefined ? [] : [`${text}: ${refusal}`]));
}

describe("the commands in", () => {
  test.each(DOCUMENTS.filter((path) => path !== "CHANGELOG.md"))("%s", async (path) => {
    const text = await textOf(path);
    expect(await refused([...blockCalls(text), ...spansOf(text)])).toEqual([]);
  });

  test.each([...RULES, ...CONFIGS, "CHANGELOG.md"])("%s", async (path) => {
    expect(await refused(spansOf(await textOf(path)))).toEqual([]);
  });

  test("messages, hints and help of the program", async () => {
    const literals = (await Promise.all(SOURCES.map(async (path) => literalsIn(await textOf(path))))).flat();
    const calls = literals.flatMap((literal) =>
      literal
        .split("\n")
        .flatMap((line) => callsIn(line).map((call) => ({ ...call, isProse: !isCopied(line) }))),
    );
    expect(calls.length).toBeGreaterThan(100);
    expect(await refused(calls)).toEqual([]);
  });

  test("the examples of every command, which the help prints", async () => {
    const examples = await Promise.all(COMMANDS.map(async ({ load }) => (await load()).command.examples));
    const calls = examples.flat().flatMap(({ command }) => callsIn(command));
    expect(calls.length).toBeGreaterThan(40);
    expect(await refused(calls)).toEqual([]);
  });
});

/** Whether a message shows a whole command to copy: a line of its own with sudo, or an end like "make one with: …". */
function isCopied(line: string): boolean {
  return /(^\s*sudo |with: (sudo )?)pg321 [^,;:]*$/.test(line);
}

const COMMENTS_AND_LITERALS =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;

/** The texts in a source file; the values in templates become words. */
function literalsIn(source: string): string[] {
  return [...source.matchAll(COMMENTS_AND_LITERALS)]
    .map(([text]) => text)
    .filter((text) => !text.startsWith("/"))
    .map((text) =>
      text
        .slice(1, -1)
        .replace(/\$\{[^}]*\}/g, "VALUE")
        .replace(/\\n/g, "\n")
        .replace(/\\(.)/g, "$1"),
    );
}

describe("the search for commands", () => {
  test.each([
    ["sudo pg321 backup app | tail -1", [["backup", "app"]]],
    [
      "sudo bash -c 'pg321 restore latest -d app --output - |",
      [["restore", "latest", "-d", "app", "--output", "-"]],
    ],
    ["./pg321 install && pg321 doctor; echo $?", [["install"], ["doctor"]]],
    ['pg321 hold 3f2a --reason "before the move"', [["hold", "3f2a", "--reason", "before the move"]]],
    ["pg321 list > /tmp/x", [["list"]]],
    ["journalctl -u pg321 -p warning", [["-p", "warning"]]],
  ])("finds those of: %s", (line, words) => {
    expect(callsIn(line).map((call) => call.words)).toEqual(words);
  });

  test.each([
    ["pg321 backup -x", "unknown option -x"],
    ["pg321 bakcup", 'unknown command "bakcup"'],
    ["pg321 check config.toml", 'unexpected argument "config.toml"'],
    ["pg321 unhold", "an argument is missing"],
    ["pg321 restore latest --output", "--output needs a value"],
  ])("refuses: %s", async (line, refusal) => {
    expect((await refused(callsIn(line))).join()).toContain(refusal);
  });

  test("takes a usage line with its first alternatives and without its brackets", () => {
    expect(usageAsCall("pg321 key generate|show [-i FILE [x]] [--a | --b FILE]")).toMatch(
      /^pg321 key generate\s*$/,
    );
  });
});
