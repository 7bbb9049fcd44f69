import { describe, expect, test } from "bun:test";
import { parseArguments } from "./parse.ts";
import { COMMANDS } from "./registry.ts";

const commands = await Promise.all(
  COMMANDS.map(async ({ name, load }) => ({ name, command: (await load()).command })),
);

/** The message and the hint of the refusal of a command line; undefined if it is accepted. */
function refusal(name: string, ...words: string[]): string | undefined {
  const found = commands.find((one) => one.name === name);
  try {
    if (found) parseArguments(name, found.command, words);
    return undefined;
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint: string };
    return `${code} ${message}; ${hint}`;
  }
}

describe("an empty text, such as a variable of a script that is not set", () => {
  const takers = commands.filter(({ command }) => command.positionals.max > 0);
  test.each(takers)("is no argument of $name", ({ name, command }) => {
    const words = Array.from({ length: Math.max(command.positionals.min, 1) }, () => "");
    expect(refusal(name, ...words)).toBe(
      `usage ${name}: an argument is empty; usage: pg321 ${name} ${command.usage}`,
    );
  });

  const options = commands.flatMap(({ name, command }) =>
    Object.entries(command.options).flatMap(([option, { type }]) =>
      type === "string" ? [{ name, option, positionals: command.positionals.min }] : [],
    ),
  );
  test.each(options)("is no value of $name --$option", ({ name, option, positionals }) => {
    const words = Array.from({ length: positionals }, () => "word");
    const expected = `usage ${name}: the value of --${option} is empty; `;
    expect(refusal(name, ...words, `--${option}`, "")).toContain(expected);
    expect(refusal(name, ...words, `--${option}=`)).toContain(expected);
    expect(refusal(name, ...words, `--${option}=`)).toMatch(/; write --\S+ \S.*, or leave the option out$/);
  });
});

test.each([
  ["verify", ["--sample", "5", "--all"], "--all cannot be used with --sample"],
  ["verify", ["--max-bytes=1GiB", "--all"], "--all cannot be used with --max-bytes"],
  ["list", ["--removed", "--status", "FAILED"], "--status cannot be used with --removed"],
  ["restore", ["3f2a", "--target=main/app", "--create", "--clean"], "--create cannot be used with --clean"],
  ["restore", ["3f2a", "--target=x", "--create", "--into-existing"], "cannot be used with --into-existing"],
  ["restore", ["3f2a", "--data-only", "--schema-only"], "--data-only cannot be used with --schema-only"],
  ["restore", ["3f2a", "--data-only", "--clean"], "--data-only cannot be used with --clean"],
  ["restore", ["3f2a", "--data-only", "--create"], "--data-only cannot be used with --create"],
  ["restore", ["3f2a", "--data-only", "--no-indexes"], "--data-only cannot be used with --no-indexes"],
  ["restore", ["3f2a", "--schema-only", "--clean"], "--schema-only cannot be used with --clean"],
  ["restore", ["3f2a", "--exclude-table-data=t", "--clean"], "cannot be used with --clean"],
  ["key", ["generate", "--passphrase", "--passphrase-file=f"], "cannot be used with --passphrase-file"],
  ["key", ["generate", "--prover", "--passphrase"], "--prover cannot be used with --passphrase"],
])("%s %j contradicts itself, and says what to leave out", (name, words, expected) => {
  expect(refusal(name, ...words)).toMatch(
    new RegExp(`^usage ${name}: .*${RegExp.escape(expected)}.*: .*; leave out --`),
  );
});

test("options that do not contradict each other are accepted together", () => {
  expect(refusal("verify", "--sample", "5%", "--max-bytes", "1GiB", "-d", "app")).toBeUndefined();
  expect(refusal("restore", "-d", "app", "--target=main/app", "--clean", "--into-existing")).toBeUndefined();
});
