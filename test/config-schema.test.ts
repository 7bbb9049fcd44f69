import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Glob } from "bun";
import { explainedKeys } from "../scripts/config/example.ts";
import { type JsonSchema, SCHEMA_FILE, schemaText } from "../scripts/config/json-schema.ts";
import { CONFIG_SCHEMA } from "../src/install/config-schema.ts";
import { codeBlocks } from "./lab/documented-commands.ts";
import { runProgram } from "./lab/installation.ts";

setDefaultTimeout(60_000);

const ROOT = join(import.meta.dir, "..");
const textOf = (path: string) => Bun.file(join(ROOT, path)).text();
const EXAMPLE = await textOf("config.example.toml");
const SCHEMA: JsonSchema = JSON.parse(CONFIG_SCHEMA);
/** For parts of configs, as documents show them: keys may be missing. */
const PARTS: JsonSchema = JSON.parse(CONFIG_SCHEMA, (key, value) =>
  key === "required" && Array.isArray(value) && !["env", "file", "credential"].includes(value[0])
    ? []
    : value,
);

/** The mistakes that Python's validator finds in TOML texts, by their names: `storage.0: …`. */
async function mistakes(
  documents: Readonly<Record<string, string>>,
  schema = SCHEMA,
): Promise<Record<string, string[]>> {
  const program = `
import json, sys, tomllib
from jsonschema import Draft7Validator
given = json.load(sys.stdin)
Draft7Validator.check_schema(given["schema"])
validator = Draft7Validator(given["schema"])
def found(toml):
    try:
        errors = validator.iter_errors(tomllib.loads(toml))
        return [".".join(map(str, e.absolute_path)) + ": " + e.message[:200] for e in errors]
    except tomllib.TOMLDecodeError as e:
        return [str(e)]
print(json.dumps({name: found(toml) for name, toml in given["documents"].items()}))`;
  const child = Bun.spawn(["/usr/bin/python3", "-c", program], {
    stdin: new Blob([JSON.stringify({ schema, documents })]),
    stderr: "inherit",
  });
  const all: Record<string, string[]> = JSON.parse(await new Response(child.stdout).text());
  return Object.fromEntries(Object.entries(all).filter(([, errors]) => errors.length > 0));
}

test("config.schema.json is what the program's schema and the example make", async () => {
  // Otherwise: npm run schema.
  expect(await Bun.file(SCHEMA_FILE).text()).toBe(await schemaText());
});

test("help schema prints it", async () => {
  const { exitCode, stdout, stderr } = await runProgram(["help", "schema"], {});
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: CONFIG_SCHEMA, stderr: "" });
});

test("the configs that pg321 writes and shows name it, and are valid", async () => {
  const first = await textOf("src/install/config.toml");
  for (const text of [EXAMPLE, first]) expect(text).toStartWith("#:schema ./config.schema.json\n");
  const completed = first
    .replace('path = ""', 'path = "/srv/backup"')
    .replace("recipients = []", 'recipients = ["age1"]');
  expect(await mistakes({ EXAMPLE, completed })).toEqual({});
  // Lines that are marked FILL IN: a region, a bucket and the mail's host, sender and receivers.
  const switchedOn = completed.replace(/^# (\[\[|[a-z_]+ = )/gm, "$1");
  const filledIn = switchedOn.replace(/^(region|bucket|host|from|to) = .*$/gm, (_, key) =>
    key === "to" ? 'to = ["a@example.com"]' : `${key} = "x@example.com"`,
  );
  expect(Object.keys(await mistakes({ switchedOn, filledIn }))).toEqual(["switchedOn", "filledIn"]);
  const corrected = filledIn
    .replace(/^(region|bucket|host) = "x@/gm, '$1 = "')
    .replace(/^region = .*$/m, 'region = "x"');
  expect(await mistakes({ corrected })).toEqual({});
});

test("every value that the example shows is valid in its table", async () => {
  const keys = explainedKeys(EXAMPLE);
  expect(keys.length).toBeGreaterThan(150);
  const documents = keys.map(({ table, type, key, shown }): [string, string] => {
    const isArray = /^(server|database|storage|notify|.*\.(override|check))$/.test(table);
    const header = table === "" ? "" : isArray ? `[[${table}]]` : `[${table}]`;
    const typed = type === undefined || key === "type" ? [] : [`type = "${type}"`];
    return [`${table} ${type ?? ""} ${key}`, [header, ...typed, `${key} = ${shown}`].join("\n")];
  });
  expect(await mistakes(Object.fromEntries(documents), PARTS)).toEqual({});
});

test("the parts of configs in the documents are valid", async () => {
  const paths = ["README.md", ...(await Array.fromAsync(new Glob("docs/*.md").scan({ cwd: ROOT })))];
  const blocks = await Promise.all(
    paths.map(async (path) =>
      codeBlocks(await textOf(path), ["toml"]).map((block, index): [string, string] => [
        `${path} ${index}`,
        block,
      ]),
    ),
  );
  expect(blocks.flat().length).toBeGreaterThan(5);
  expect(await mistakes(Object.fromEntries(blocks.flat()), PARTS)).toEqual({});
});

describe("mistakes", () => {
  const storage = '[[storage]]\nname = "x"\ntype = "local"\npath = "/x"\n';
  const documents: Record<string, string> = {
    "no storage": '[[server]]\nname = "main"',
    "an unknown key": `${storage}[[server]]\nname = "main"\nprot = 1`,
    "an unknown table": `${storage}[servers]`,
    "a wrong word": `${storage}[encryption]\nmode = "rot13"`,
    "a number out of range": `${storage}[[server]]\nname = "main"\nport = 70000`,
    "a duration without a unit": `${storage}[dump]\nrun_timeout = 5`,
    "a relative path": storage.replace("/x", "x"),
    "a key of another type": `${storage}bucket = "x"`,
    "a reference with a stray key": `${storage}state_dir = { env = "X", els = "y" }`,
    "a reference to nothing": `state_dir = { default = "/x" }\n${storage}`,
  };
  test("are found", async () => {
    expect(Object.keys(await mistakes(documents))).toEqual(Object.keys(documents));
  });

  test("are none: values from outside, amounts, archives, hooks", async () => {
    const sound = `
state_dir = { env = "X", default = "/x" }
${storage}expire = { archive_to = "y" }
min_free = 0
rate_limit = "10 MiB/s"
keep = { days = 3, last = { env = "N" } }
[[server]]
name = { env = "NAME" }
databases = { file = "/x" }
pre_backup = [{ command = "a && b", shell = true }, { command = ["/x"], timeout = "1.5h" }, { sql = "select 1" }]
[http]
token = { credential = "t" }
[[notify]]
name = "n"
type = "healthchecks"
url = "https://x"
jobs = ["backup"]`;
    expect(await mistakes({ sound })).toEqual({});
  });
});
