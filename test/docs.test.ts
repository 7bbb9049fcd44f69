import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Glob } from "bun";
import { EXIT_CODES } from "../src/base/errors.ts";
import {
  BLOCK_BYTES,
  GIB,
  MIB,
  PART_BYTES_DEFAULT,
  PART_BYTES_MAX,
  PART_BYTES_MIN,
  TABLE_OF_CONTENTS_BYTES_MAX,
} from "../src/base/limits.ts";
import type { Option } from "../src/cli/command.ts";
import { COMMON_OPTIONS } from "../src/cli/command.ts";
import { COMMANDS } from "../src/cli/registry.ts";
import { loadConfig } from "../src/config/load.ts";
import { partBytesFor } from "../src/jobs/copies/part-size.ts";
import { generateIdentity } from "../src/sealed/identity.ts";
import { CLI_DOCS, rowsOf, section } from "./lab/cli-docs.ts";
import { codeBlocks } from "./lab/documented-commands.ts";

const ROOT = join(import.meta.dir, "..");
const DOCUMENTS = (
  await Promise.all(
    ["*.md", "{docs,bench,contrib,test,systemd}/**/*.md"].map((pattern) =>
      Array.fromAsync(new Glob(pattern).scan({ cwd: ROOT })),
    ),
  )
)
  .flat()
  .sort();

/** `-d`, `--database NAME` as the docs write it, without the value. */
function optionWords(options: Record<string, Option>): string[] {
  return Object.entries(options).map(([name, { short }]) => `${short ? `-${short}, ` : ""}--${name}`);
}

/** The options in the tables of a section. */
function documentedOptions(heading: string): string[] {
  return rowsOf(section(heading))
    .map(([words = ""]) => words)
    .filter((words) => words.startsWith("`-"))
    .map((words) => words.replaceAll("`", "").replace(/ [A-Z_]+$/, ""));
}

describe("docs/cli.md", () => {
  test("has exactly the exit codes of the program", () => {
    const documented = rowsOf(section("Exit codes")).map(([code, name = ""]) => [
      name.replaceAll("`", ""),
      Number(code),
    ]);
    expect(Object.fromEntries(documented)).toEqual({ ...EXIT_CODES });
  });

  test("lists every command, with the summary that help prints", () => {
    const documented = [...CLI_DOCS.matchAll(/^\| \[`([a-z-]+)`\]\(#[a-z-]+\) \| (.*) \|$/gm)];
    expect(documented.map(([, name, summary]) => ({ name, summary }))).toEqual(
      COMMANDS.map(({ name, summary }) => ({ name, summary })),
    );
  });

  test("has the options that every command takes", () => {
    expect(documentedOptions("Options of every command")).toEqual(optionWords(COMMON_OPTIONS));
  });

  describe.each(COMMANDS.map(({ name, load }) => [name, load] as const))("%s", (name, load) => {
    test("has exactly its options", async () => {
      const { command } = await load();
      expect(documentedOptions(name).sort()).toEqual(optionWords(command.options).sort());
    });

    test("has its usage and its examples", async () => {
      const { command } = await load();
      const text = section(name);
      expect(text).toContain(`\npg321 ${name}`);
      for (const example of command.examples) expect(text).toContain(example.command);
    });

    test("explains its JSON if it has any", async () => {
      const { command } = await load();
      expect(section(name).includes("### JSON of")).toBe("json" in command.options);
    });
  });

  test("its JSON samples are valid JSON", () => {
    const samples = [...CLI_DOCS.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text = ""]) => text);
    expect(samples.length).toBeGreaterThan(7);
    for (const sample of samples) expect(() => JSON.parse(sample)).not.toThrow();
  });
});

test("docs/limits.md uses the sizes of the program", async () => {
  const limits = await Bun.file(join(ROOT, "docs/limits.md")).text();
  expect(limits).toContain(`part = max(${PART_BYTES_DEFAULT / MIB} MiB, `);
  expect(limits).toContain(`| ${PART_BYTES_MIN / MIB} MiB to ${PART_BYTES_MAX / GIB} GiB |`);
  expect(limits).toContain(`block ${BLOCK_BYTES / MIB} MiB × (cores + 3)`);
  expect(limits).toContain(`| ${TABLE_OF_CONTENTS_BYTES_MAX / MIB} MiB (`);
  for (const [, size, unit, part] of limits.matchAll(/^\| (?:up to )?(\d+) ([GT])iB \| (\d+) MiB \|$/gm)) {
    const databaseBytes = Number(size) * GIB * (unit === "T" ? 1024 : 1);
    expect(partBytesFor(databaseBytes, 10_000)).toBe(Number(part) * MIB);
  }
});

describe("documents", () => {
  test("are found", () => {
    expect(DOCUMENTS).toContain("CHANGELOG.md");
    expect(DOCUMENTS).toContain("docs/cli.md");
  });

  test.each(DOCUMENTS)("%s has no dead relative link", async (document) => {
    const text = await Bun.file(join(ROOT, document)).text();
    const dead: string[] = [];
    for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? document : join(dirname(document), path);
      const isThere = existsSync(join(ROOT, file));
      if (!isThere || (anchor !== undefined && !(await anchorsOf(file)).includes(anchor))) dead.push(target);
    }
    expect(dead).toEqual([]);
  });

  test.each(DOCUMENTS)("%s names only files of the project that exist", async (document) => {
    const text = await Bun.file(join(ROOT, document)).text();
    const named = [...text.matchAll(/`((?:src|test|docs|scripts|contrib|bench|systemd)\/[\w./-]+)`/g)];
    const missing = named.map(([, path = ""]) => path).filter((path) => !existsSync(join(ROOT, path)));
    expect(missing).toEqual([]);
  });
});

/** The anchors of a document's headings. */
async function anchorsOf(document: string): Promise<string[]> {
  const text = await Bun.file(join(ROOT, document)).text();
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-"),
  );
}

test("each page that a comment or a message of src names exists", async () => {
  const absent: string[] = [];
  for await (const path of new Glob("{src,scripts,bench,test}/**/*.{ts,tsx}").scan({ cwd: ROOT }))
    for (const [page] of (await Bun.file(join(ROOT, path)).text()).matchAll(/\bdocs\/[\w/-]+\.md\b/g))
      if (!existsSync(join(ROOT, page))) absent.push(`${path}: ${page}`);
  expect(absent).toEqual([]);
});

test("the config of a second host in docs/fleet.md is valid, with the credentials that its commands write", async () => {
  const blocks = codeBlocks(await Bun.file(join(ROOT, "docs/fleet.md")).text());
  const directory = await mkdtemp(join(tmpdir(), "pg321-docs-"));
  const values = {
    "catalog-url": "postgres://pg321:PASSWORD@db.example.com/pg321",
    "s3-key": "A",
    "s3-secret": "S",
  };
  for (const [name, value] of Object.entries(values)) {
    expect(blocks.join("\n")).toContain(`cat > /etc/pg321/credentials/${name}' <<< '`);
    await writeFile(join(directory, name), `${value}\n`);
  }
  const { recipient } = await generateIdentity();
  const file = join(directory, "config.toml");
  const [example = ""] = blocks.filter((block) => block.includes("[[storage]]"));
  await writeFile(file, example.replace("age1…", recipient));
  const config = await loadConfig(file, { env: {}, credentialFiles: directory });
  expect(config).toMatchObject({ fleet: { host: "web2" }, catalog: { type: "postgres" }, warnings: [] });
  await rm(directory, { recursive: true });
});
