import { describe, expect, test } from "bun:test";
import { COMMON_OPTIONS } from "../command.ts";
import { COMMANDS } from "../registry.ts";
import { valuesOf, wantedAt } from "./request.ts";

/** What may stand at the end of a line: `words`, kinds of values, or paths. */
async function wanted(line: string): Promise<string[]> {
  const words = line.split(" ");
  const current = words.pop() ?? "";
  const { words: fixed, values } = await wantedAt(words, current, COMMANDS);
  return [
    ...fixed.map(({ value }) => value),
    ...(values.words ?? []),
    ...(values.live ?? []).map((kind) => `<${kind}>`),
    ...(values.paths === undefined ? [] : [`<${values.paths}>`]),
  ];
}

const NAMES = COMMANDS.map(({ name }) => name);
const COMMON = ["--config", "--log-level", "--log-format", "--help"];

describe("what may stand at the cursor", () => {
  test.each<[string, string[]]>([
    ["", [...NAMES, "help"]],
    ["-c x ", NAMES],
    ["-", [...COMMON, "--version"]],
    ["-c ", ["<files>"]],
    ["-c backup ", NAMES],
    ["--log-level=", ["debug", "info", "warning", "error"]],
    ["help ", [...NAMES, "recovery", "schema"]],
    ["help list ", []],
    ["frobnicate ", []],
    ["backup ", ["<database>"]],
    ["backup app shop ", ["<database>"]],
    ["list x", []],
    ["notify test -", ["--json", ...COMMON]],
    ["list --json --status ", ["RUNNING", "VERIFIED", "PARTIAL", "FAILED", "INTERRUPTED"]],
    ["list -n ", []],
    ["--json list -d ", ["<database>"]],
    ["restore ", ["latest", "<good-backup>"]],
    ["restore latest ", []],
    ["restore latest -t ", ["<target>"]],
    ["restore --output=", ["<files>"]],
    ["restore -- -", ["latest", "<good-backup>"]],
    ["alerts ", ["ack"]],
    ["alerts ack ", ["all", "<alert>"]],
    ["notify test a b ", ["<notifier>"]],
    ["recovery-kit ", ["<directories>"]],
    ["unhold ", ["<held-backup>"]],
    ["list --host ", ["<host>"]],
    ["forget-host ", ["<host>"]],
    ["key ", ["generate", "show", "rotate"]],
    ["completion ", ["bash", "zsh", "fish"]],
  ])("%s", async (line, expected) => {
    expect(await wanted(line)).toEqual(expected);
  });
});

test("an option that was given, or is pointless beside those given, is not offered again", async () => {
  const all = await wanted("list -");
  const gone = ["--removed", "--database", "--status"];
  expect(all).toEqual(expect.arrayContaining(gone));
  const left = await wanted("list --removed -d x -");
  expect(left.filter((option) => gone.includes(option))).toEqual([]);
  expect(await wanted("verify -d x -")).toContain("--database");
});

/** Values that nobody can list. */
const FREE = [
  "N",
  "N|P%",
  "SIZE",
  "TIME",
  "TEXT",
  "PATTERN",
  "PLAN_HASH",
  "KEY",
  "USER",
  "SECONDS",
  "URL",
  "WHO",
  "WHEN",
  "ADDRESS",
  "ID",
];
const FREE_OPTIONS = [
  "restore --role",
  "restore --into-schema",
  "restore --skip-extension",
  "forget --yes",
  "init --bucket",
  "init --region",
];

test("every option says which values it takes, unless nobody can list them", async () => {
  const loaded = await Promise.all(
    COMMANDS.map(async ({ name, load }) => ({ name, options: (await load()).command.options })),
  );
  const silent = [{ name: "", options: COMMON_OPTIONS }, ...loaded].flatMap(({ name, options }) =>
    Object.entries(options)
      .filter(([, { type, value = "" }]) => type === "string" && !FREE.includes(value))
      .filter(([, option]) => Object.keys(valuesOf(option)).length === 0)
      .map(([option]) => `${name} --${option}`),
  );
  expect(silent.sort()).toEqual(FREE_OPTIONS.sort());
});

test("every argument says which values it takes", async () => {
  for (const { name, load } of COMMANDS) {
    const { max, values = [] } = (await load()).command.positionals;
    expect({ name, isDeclared: values.length > 0 }).toEqual({ name, isDeclared: max > 0 });
  }
});
