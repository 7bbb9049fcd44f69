import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { explainedKeys } from "../scripts/config/example.ts";
import { escaped, prose } from "../scripts/man/mdoc.ts";
import { packageFiles, writePackageFiles } from "../scripts/man.ts";
import { EXIT_CODES } from "../src/base/errors.ts";
import { COMMANDS } from "../src/cli/registry.ts";
import { ended } from "./lab/installation.ts";

setDefaultTimeout(60_000);

const DATE = new Date("2026-01-31T23:30:00Z");
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-man-"));
  await writePackageFiles(directory, DATE);
});
afterAll(() => rm(directory, { recursive: true }));

/** Output and errors of a program that must succeed. */
async function run(argv: string[], env: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn(argv, {
    env: { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { exitCode, stdout, stderr } = await ended(child);
  expect({ argv, exitCode, stdout: exitCode === 0 ? "" : stdout, stderr }).toEqual({
    ...{ argv, exitCode: 0, stdout: "", stderr: "" },
  });
  return stdout;
}

/** A page as a person reads it, with single blanks. */
const shown = async (page: string) =>
  (
    await run(["man", "--warnings", "-l", join(directory, "man", page)], {
      MANWIDTH: "500",
      MAN_KEEP_FORMATTING: "",
    })
  )
    .replace(/.\u0008/g, "")
    .replace(/[‐−]/g, "-")
    .replace(/ {2,}/g, " ");

test("the files for packages", async () => {
  expect(
    (await readdir(directory, { recursive: true, withFileTypes: true })).filter((one) => one.isFile()).length,
  ).toBe(5);
  expect(await packageFiles(DATE)).toEqual(await packageFiles(DATE));
});

describe.each(["pg321.1", "pg321.toml.5"])("%s", (page) => {
  test("is clean for mandoc and groff, and has the given date", async () => {
    await run(["mandoc", "-Tlint", "-Wwarning", join(directory, "man", page)]);
    expect(await shown(page)).toContain("January 31, 2026");
  });
});

test("pg321(1) has every command, option, example and exit code", async () => {
  const text = await shown("pg321.1");
  for (const { name, load } of COMMANDS) {
    const { command } = await load();
    expect(text).toContain(`pg321 ${name}`);
    for (const [option, { value }] of Object.entries(command.options))
      expect(text).toContain(`--${option}${value ? ` ${value}` : ""}`);
    for (const example of command.examples) expect(text).toContain(example.command.replaceAll("…", "..."));
  }
  for (const [name, code] of Object.entries(EXIT_CODES)) expect(text).toContain(`${code} (${name})`);
  expect(text).not.toMatch(/\\f|\\\(|undefined/);
});

test("pg321.toml(5) has every key, its explanation and its default", async () => {
  const text = await shown("pg321.toml.5");
  const example = await Bun.file(join(import.meta.dir, "../config.example.toml")).text();
  for (const { key } of explainedKeys(example))
    expect(text).toMatch(new RegExp(`^ +${key.split(".").at(-1)}( |$)`, "m"));
  expect(text).toContain('port = { env = "PGPORT", default = 5432 }');
  expect(text).toContain("How long connecting may take.");
  expect(text).toContain('Default: "5m".');
  expect(text).not.toMatch(/\\f|\\\(|undefined/);
});

describe("text in mdoc", () => {
  test.each([
    ["a --table -x (--y) a-b", "a \\-\\-table \\-x (\\-\\-y) a-b"],
    ["back\\slash ~ ^ `", "back\\eslash \\(ti \\(ha \\(ga"],
    ["… é", "... \\[u00E9]"],
  ])("%s", (text, expected) => {
    expect(escaped(text)).toBe(expected);
  });

  test("begins a line with each sentence, and none with a command", () => {
    expect(prose("One. .Sh two! 'three `a b`?")).toEqual(["One.", "\\&.Sh two!", "\\&'three \\fBa\\ b\\fP?"]);
    for (const line of prose("word ".repeat(60))) expect(line.length).toBeLessThan(80);
  });
});
