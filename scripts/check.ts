/** `npm run check`: types, format and lint, and the rules of this project that neither tool checks. */
import { join } from "node:path";
import { Glob } from "bun";
import { SCHEMA_FILE, schemaText } from "./config/json-schema.ts";

const ROOT = join(import.meta.dir, "..");
const FILE_LINES_MAX = 350;

/** The modules of `src`: folders, some in another one, and `main.ts`. Imports go from a higher rank to a lower one only. */
export const RANKS: Readonly<Record<string, number>> = {
  main: 13,
  cli: 12,
  ...{ daemon: 11, http: 11 },
  ...{ status: 10, doctor: 10 },
  ...{ "jobs/backup": 9, "jobs/cleanup": 9, "jobs/restore": 9, "jobs/verify": 9, install: 9 },
  ...{ "jobs/recovery-kit": 9, "jobs/restore-test": 9 },
  ...{ "jobs/markers": 8, "jobs/load": 8, "jobs/scratch": 8, "jobs/standby": 8 },
  "jobs/copies": 7,
  jobs: 6,
  ...{ alerts: 5, retention: 5, rule: 5 },
  ...{ catalog: 4, storage: 4, notify: 4 },
  ...{ postgres: 3, sealed: 3 },
  stream: 2,
  config: 1,
  base: 0,
};
/** Modules that must not import each other; the jobs combine them. Modules of one rank never import each other. */
const STRANGERS = ["catalog", "storage", "postgres", "sealed"];

/** At most this many files of a folder may begin with the same word; more must become a folder. */
const PREFIX_FILES_MAX = 2;
/** The maximum number of files in one folder, without tests. */
const FOLDER_FILES_MAX = 22;
/** Folders without these limits: this one has one file for each command, of its name. */
const LARGE_FOLDERS = ["src/cli/commands"];

/** Files outside `src` that the executable contains. */
const CARRIED = [
  "package.json",
  "config.example.toml",
  "config.schema.json",
  "contrib/unseal.py",
  "docs/format.md",
  "docs/recovery.md",
  "systemd/pg321.service",
];

/** Code that only one file of `src` may contain. */
const RESERVED: readonly { pattern: RegExp; file: string; except?: RegExp }[] = [
  { pattern: /\bprocess\.env\b|\bBun\.env\b|\bimport\.meta\.env\b/, file: "config/load.ts" },
  { pattern: /\bprocess\.exit\b(?!Code)/, file: "main.ts" },
  // The only place that removes objects: all other code calls it and gives a reason. It calls the storage drivers.
  { pattern: /\.(remove|discard)\(/, file: "jobs/copies/removal.ts", except: /^storage\// },
  { pattern: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/, file: "base/clock.ts" },
  { pattern: /\b(60_000|3_600_000|86_400_000)\b/, file: "base/limits.ts" },
  { pattern: /\/var\/lib\/pg321\b/, file: "config/config.ts" },
];

const BAD_NAME = /(^|-)(utils?|helpers?|managers?|services?|common|misc)(-|\.|$)/;
const KEBAB_CASE = /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.d)?\.(tsx?|mjs)$/;

/** The rules that one file of the project violates; `path` is relative to the project. */
export function styleProblems(path: string, text: string): string[] {
  const name = path.split("/").at(-1) ?? path;
  const lines = text.split("\n");
  const problems: string[] = [];
  if (BAD_NAME.test(name)) problems.push(`${path}: the name says nothing about the content`);
  if (!KEBAB_CASE.test(name)) problems.push(`${path}: not in kebab-case`);
  if (lines.length - 1 > FILE_LINES_MAX)
    problems.push(`${path}: ${lines.length - 1} lines, at most ${FILE_LINES_MAX}`);
  const inSource = /^src\/(.*)$/.exec(path)?.[1];
  if (inSource === undefined || name.endsWith(".test.ts")) return problems;
  for (const [index, line] of lines.entries()) {
    for (const { pattern, file, except } of RESERVED)
      if (inSource !== file && !except?.test(inSource) && pattern.test(line))
        problems.push(`${path}:${index + 1}: only src/${file} may do this`);
    const imported = /\bfrom "(\.[^"]*)"|\bimport\("(\.[^"]*)"\)/.exec(line);
    const target = imported?.[1] ?? imported?.[2];
    const wrong = target === undefined ? undefined : wrongImport(inSource, target);
    if (wrong !== undefined) problems.push(`${path}:${index + 1}: ${wrong}`);
  }
  return problems;
}

function wrongImport(from: string, target: string): string | undefined {
  const to = new URL(target, `file:///src/${from}`).pathname.slice(1);
  if (!to.startsWith("src/")) return CARRIED.includes(to) ? undefined : `imports ${to}, which is not in src`;
  const [upper, lower] = [moduleOf(from), moduleOf(to.slice("src/".length))];
  const [upperRank, lowerRank] = [RANKS[upper], RANKS[lower]];
  if (upperRank === undefined || lowerRank === undefined)
    return `${upperRank === undefined ? upper : lower} has no rank in scripts/check.ts`;
  if (upper === lower || (upperRank > lowerRank && !(STRANGERS.includes(upper) && STRANGERS.includes(lower))))
    return;
  return `${upper} must not import ${lower}`;
}

/** The innermost folder with a rank that contains a file of `src`; a file directly in `src` is its own module. */
function moduleOf(path: string): string {
  const [first = path, second] = path.split("/");
  const inner = `${first}/${second}`;
  return inner in RANKS ? inner : first.replace(/\.tsx?$/, "");
}

/** The rules that the files of a folder violate together; `paths` are relative to the project. */
export function folderProblems(paths: readonly string[]): string[] {
  const problems: string[] = [];
  for (const [folder, all] of Map.groupBy(paths, (path) => path.slice(0, path.lastIndexOf("/")))) {
    // In `src` tests are named after their source and do not count; a folder in `test` consists of tests.
    const names = all.map((path) => path.slice(folder.length + 1));
    const files = folder.startsWith("src/") ? names.filter((name) => !name.includes(".test.")) : names;
    if (LARGE_FOLDERS.includes(folder)) continue;
    if (files.length > FOLDER_FILES_MAX)
      problems.push(`${folder}: ${files.length} files, at most ${FOLDER_FILES_MAX}`);
    for (const [prefix, same] of Map.groupBy(files, (name) => /^[a-z0-9]+/.exec(name)?.[0] ?? name))
      if (same.length > PREFIX_FILES_MAX)
        problems.push(`${folder}: ${same.length} files begin with "${prefix}": make it a folder`);
  }
  return problems;
}

async function style(): Promise<boolean> {
  const glob = new Glob("{src,test,scripts,bench}/**/*.{ts,tsx,mjs}");
  const paths = (await Array.fromAsync(glob.scan({ cwd: ROOT }))).sort();
  const problems = folderProblems(paths);
  for (const path of paths) problems.push(...styleProblems(path, await Bun.file(join(ROOT, path)).text()));
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

/** Whether config.schema.json fits the schema and config.example.toml, of which it is made. */
async function generatedFiles(): Promise<boolean> {
  const isCurrent = (await Bun.file(SCHEMA_FILE).text()) === (await schemaText());
  if (!isCurrent) console.error("config.schema.json: outdated, write it with: npm run schema");
  return isCurrent;
}

/** Runs a tool from node_modules with Bun. The tools are JavaScript that starts a native program. */
async function tool(path: string, ...args: string[]): Promise<boolean> {
  const command = [process.execPath, join(ROOT, "node_modules", path), ...args];
  return (await Bun.spawn(command, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] }).exited) === 0;
}

/** Returns whether all checks passed; prints the problems to stderr. */
export async function check(): Promise<boolean> {
  const results = {
    types: await tool("typescript/bin/tsc"),
    "format and lint": await tool("@biomejs/biome/bin/biome", "check", "--error-on-warnings"),
    style: await style(),
    "generated files": await generatedFiles(),
  };
  for (const [name, passed] of Object.entries(results))
    console.error(`check: ${name}: ${passed ? "ok" : "failed"}`);
  return Object.values(results).every(Boolean);
}

if (import.meta.main) process.exitCode = (await check()) ? 0 : 1;
