import { createHash } from "node:crypto";
import { existsSync, type Stats } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as v from "valibot";
import { Secret } from "../base/secret.ts";
import { certificateProblems, namedCertificates } from "./certificate-files.ts";
import type { Config, HttpConfig } from "./config.ts";
import type { DatabaseConfig } from "./database/config.ts";
import { DATABASE_KEYS } from "./database/settings.ts";
import { type EnvironmentFile, environmentFileOf, readEnvironmentFile } from "./environment-file.ts";
import { exposureOf } from "./exposed-secrets.ts";
import { findLines, type LineFinder } from "./positions.ts";
import { ConfigError, type KeyPath, type Problem, pathText, problemText } from "./problems.ts";
import { environmentOver, PROXY_VARIABLES, ProxyMistake, withProxies } from "./proxy.ts";
import { httpSchema } from "./schema/http.ts";
import { configSchema } from "./schema/schema.ts";
import { fetchValues, isReference, isTable, referencesIn, type ValueSource } from "./schema/values.ts";
import { setAside } from "./set-aside.ts";

export const DEFAULT_CONFIG_PATH = "/etc/pg321/config.toml";

const NOTHING_SET_ASIDE = { document: undefined, unusable: [] };
const PROXY_HINT = "docs/network.md explains proxies";
/** A line that `install` marked, and that is still empty. */
export const EMPTY_LINE = /^\s*\w+ = (""|\[\]).*# FILL IN/m;

/** The environment and credentials of this process. */
export function processSource(): ValueSource {
  return { env: process.env, credentialsDirectory: process.env["CREDENTIALS_DIRECTORY"] };
}

/** `--config`, otherwise `PG321_CONFIG`, otherwise the file under /etc. */
export function configPath(flag: string | undefined, env: ValueSource["env"]): string {
  return flag ?? (env["PG321_CONFIG"] || DEFAULT_CONFIG_PATH);
}

/** The directory beside the config with its credentials, for processes outside the unit: `/etc/pg321/credentials`. */
function credentialFilesOf(configFile: string): string {
  return join(dirname(resolve(configFile)), "credentials");
}

export interface LoadOptions {
  /** For commands that only read backups: set aside tables with values that cannot be resolved (see `setAside`). */
  setsAside?: boolean;
}

/**
 * Reads and checks a config. Credentials are also looked for in `credentials` beside the config, unless `source` names
 * another directory. Rejects with a `ConfigError` that has every mistake.
 */
export async function loadConfig(
  file: string,
  source: ValueSource,
  { setsAside = false }: LoadOptions = {},
): Promise<Config> {
  const { bytes, rights } = await readConfigFile(file);
  const toml = decode(file, bytes);
  const document = parseToml(file, toml);
  const lineOf = findLines(toml);
  const beside = await readEnvironmentFile(environmentFileOf(file));
  const env = environmentOver(beside.env, source.env);
  const credentialFiles = credentialFilesOf(file);
  const fetched = await fetchValues(document, { credentialFiles, ...source, env });
  const strict = v.safeParse(configSchema, fetched);
  const { document: reduced, unusable } = setsAside ? setAside(fetched) : NOTHING_SET_ASIDE;
  const result = strict.success || unusable.length === 0 ? strict : v.safeParse(configSchema, reduced);
  if (!result.success) {
    // The issues of the complete document: in the reduced one, array indexes have shifted.
    const { issues = [] } = strict;
    throw new ConfigError(file, markedProblems(problemsOf(issues, lineOf), toml), mistakeHint(file));
  }
  const config = proxied(file, result.output, env, beside.env);
  return {
    file: resolve(file),
    checksum: createHash("sha256").update(bytes).digest("hex"),
    ...config,
    database: withLines(config.database, lineOf),
    warnings: [
      ...(await exposedSecrets(file, config, document, rights, lineOf)).map((problem) =>
        problemText(file, problem),
      ),
      ...unwiseSettings(config, lineOf).map((problem) => problemText(file, problem)),
      ...environmentWarnings(environmentFileOf(file), beside),
    ],
    unusable,
  };
}

/** A table without a name of its own is known by its place in the file. */
function withLines(tables: readonly DatabaseConfig[], lineOf: LineFinder): DatabaseConfig[] {
  return tables.map((table, index) => {
    const paths = ["", ...DATABASE_KEYS].map((key): [string, number] => {
      const path = ["database", index, ...(key === "" ? [] : key.split("."))];
      return [key, lineOf(path) ?? 0];
    });
    return { ...table, lines: Object.fromEntries(paths) };
  });
}

function proxied<T extends Pick<Config, "storage" | "notify">>(
  file: string,
  config: T,
  env: ValueSource["env"],
  inFile: ValueSource["env"],
): T {
  try {
    return withProxies(config, env, inFile);
  } catch (error) {
    if (!(error instanceof ProxyMistake)) throw error;
    throw new ConfigError(file, [wholeFile(error.message)], PROXY_HINT);
  }
}

/** A mistake there keeps systemd from nothing, and us neither. */
function environmentWarnings(file: string, { mode, env, strayLines }: EnvironmentFile): string[] {
  const warnings = strayLines.map((line) => `${file}:${line}: found no NAME=value; this line is ignored`);
  const hasSecret = Object.entries(env).some(
    ([name, value]) => !PROXY_VARIABLES.includes(name) || /@/.test(value),
  );
  if ((mode & 0o004) !== 0 && hasSecret) {
    const shown = mode.toString(8).padStart(4, "0");
    warnings.push(`${file}: everyone can read it (mode ${shown}), and it may hold secrets; make it 0600`);
  }
  return warnings;
}

/**
 * The [http] table of a config whose other tables may be wrong: where its daemon answers. The default if the table
 * cannot be used either. Never rejects.
 */
export async function loadHttpOnly(file: string, source: ValueSource): Promise<HttpConfig> {
  const fallback = v.parse(httpSchema, {});
  try {
    const env = environmentOver((await readEnvironmentFile(environmentFileOf(file))).env, source.env);
    const toml = decode(file, await readFile(file));
    // Alone, because the mistake may be one of TOML in another table.
    const table = toml.split(/^(?=\[)/m).find((part) => part.startsWith("[http]")) ?? "";
    const { http = {} } = parse(table, { maxDepth: 32, unsafeKeyBehaviour: "throw" });
    const fetched = await fetchValues(http, { credentialFiles: credentialFilesOf(file), ...source, env });
    const result = v.safeParse(httpSchema, fetched);
    return result.success ? result.output : fallback;
  } catch {
    return fallback;
  }
}

/** The files and variables outside a config that the config refers to. */
export interface OutsideOfConfig {
  /** Files of `{ file = … }`. */
  valueFiles: string[];
  /** Certificates and their keys. */
  certificateFiles: string[];
  /** Files of `{ credential = … }`, in the directory from which systemd loads them. */
  credentialFiles: string[];
  /** The directory of these files. */
  credentialDirectory: string;
  /** Names of environment variables. */
  variables: string[];
}

/** The files and variables that a valid config refers to, whether they exist or not. */
export async function outsideOfConfig(file: string): Promise<OutsideOfConfig> {
  const document = parseToml(file, decode(file, (await readConfigFile(file)).bytes));
  const named = referencesIn(document);
  const namesOf = (kind: (typeof named)[number]["kind"]) => [
    ...new Set(named.filter((one) => one.kind === kind).map(({ name }) => name)),
  ];
  const credentialDirectory = credentialFilesOf(file);
  return {
    valueFiles: namesOf("file"),
    certificateFiles: [...new Set(certificatesIn(document))],
    credentialFiles: namesOf("credential").map((name) => join(credentialDirectory, name)),
    credentialDirectory,
    variables: namesOf("env"),
  };
}

/** Keys of the config whose value is the path of a certificate or of its key; the word "system" is not a file. */
const CERTIFICATE_KEYS = ["sslrootcert", "sslcert", "sslkey", "ca_file"];

function certificatesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(certificatesIn);
  if (!isTable(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    CERTIFICATE_KEYS.includes(key) && typeof item === "string" && item.startsWith("/")
      ? [item]
      : certificatesIn(item),
  );
}

/**
 * Reads every certificate file of a valid config. Throws a `ConfigError` with every one that is missing,
 * unreadable, or holds no certificate. A service does not ask this: one bad file must stop one storage only.
 */
export async function requireCertificates(config: Config, signal: AbortSignal): Promise<void> {
  const { file } = config;
  const toml = decode(file, (await readConfigFile(file)).bytes);
  const lineOf = findLines(toml);
  const found = await certificateProblems(namedCertificates(config, parseToml(file, toml)), signal);
  if (found.length === 0) return;
  const problems = found.map(({ path, file, problem }) => problemAt(path, lineOf, `${file}: ${problem}`));
  throw new ConfigError(file, problems, found[0]?.hint);
}

async function readConfigFile(file: string): Promise<{ bytes: Buffer; rights: Stats }> {
  try {
    return { bytes: await readFile(file), rights: await stat(file) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    const message = isMissing ? "there is no such config file" : `the config cannot be read (${code})`;
    const hint = isMissing
      ? "start from config.example.toml, or name another file with --config or PG321_CONFIG"
      : "use sudo, or run pg321 as a user that may read the file";
    throw new ConfigError(file, [wholeFile(message)], hint);
  }
}

function decode(file: string, bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigError(file, [wholeFile("found bytes that are not UTF-8, expected a TOML file")]);
  }
}

function parseToml(file: string, toml: string): unknown {
  try {
    return parse(toml, { maxDepth: 32, unsafeKeyBehaviour: "throw" });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // Only the first line: the rest quotes the file, perhaps with a secret.
    const message = (error.message.split("\n")[0] ?? "").replace(
      "Invalid TOML document: ",
      "not valid TOML: ",
    );
    throw new ConfigError(
      file,
      [{ line: error.line, column: error.column, path: "", message }],
      mistakeHint(file),
    );
  }
}

function mistakeHint(file: string): string {
  const name = "config.example.toml";
  const beside = join(dirname(resolve(file)), name);
  return `${existsSync(beside) ? beside : name} explains every setting`;
}

/** The problems; one in a marked line that is still empty says so. */
function markedProblems(problems: readonly Problem[], toml: string): Problem[] {
  const lines = toml.split("\n");
  return problems.map((problem) =>
    EMPTY_LINE.test(lines[(problem.line ?? 0) - 1] ?? "")
      ? { ...problem, message: `${problem.message}; this line is marked FILL IN and is still empty` }
      : problem,
  );
}

function wholeFile(message: string): Problem {
  return { line: undefined, column: undefined, path: "", message };
}

function problemAt(path: KeyPath, lineOf: LineFinder, message: string): Problem {
  return { line: lineOf(path), column: undefined, path: pathText(path), message };
}

/** One problem per key path, in the order of the file; missing top-level tables come first. */
function problemsOf(issues: readonly v.BaseIssue<unknown>[], lineOf: LineFinder): Problem[] {
  const problems = new Map<string, Problem>();
  for (const issue of issues) {
    const path = (issue.path ?? []).map(({ key }) => (typeof key === "number" ? key : String(key)));
    const problem = problemAt(path, lineOf, issue.message);
    // The first issue is about the value itself, later ones about its relation to other values.
    if (!problems.has(problem.path)) problems.set(problem.path, problem);
  }
  return [...problems.values()].sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
}

/** Secrets that are written literally in a file that others can read. */
async function exposedSecrets(
  file: string,
  config: Pick<Config, "state_dir">,
  document: unknown,
  rights: Stats,
  lineOf: LineFinder,
): Promise<Problem[]> {
  const exposure = await exposureOf(resolve(file), rights, config.state_dir);
  if (exposure === undefined) return [];
  const shownMode = (rights.mode & 0o777).toString(8).padStart(4, "0");
  return secretPaths(config)
    .map((path) => literalAt(document, path))
    .filter((path) => path !== undefined)
    .map((path) =>
      problemAt(
        path,
        lineOf,
        `a secret in a file that ${exposure.readers} can read (mode ${shownMode}); correct it with: ${exposure.remedy}; or take the value from { credential = "name" }`,
      ),
    );
}

function secretPaths(value: unknown, path: KeyPath = []): KeyPath[] {
  if (value instanceof Secret) return [path];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    secretPaths(item, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

/** The path in the document of the literal text of a secret: its own path, or that of the server's URL. */
function literalAt(document: unknown, path: KeyPath): KeyPath | undefined {
  const candidates = path.at(-1) === "password" ? [path, [...path.slice(0, -1), "url"]] : [path];
  return candidates.find((candidate) => {
    const value = candidate.reduce<unknown>(
      (node, key) =>
        Array.isArray(node) || isTable(node) ? (node as Record<string, unknown>)[key] : undefined,
      document,
    );
    return typeof value === "string" || (isReference(value) && typeof value["default"] === "string");
  });
}

/** The recipient in config.example.toml. Nobody has its secret key, so backups sealed to it alone cannot be opened. */
export const EXAMPLE_RECIPIENT = "age1dqr8fshknnl78nhw6lm53afd5y2atjdxuh75r97wmtxw5a4pw5lszdf67r";

function unwiseSettings(
  { encryption, server }: Pick<Config, "encryption" | "server">,
  lineOf: LineFinder,
): Problem[] {
  if (encryption.mode === "none") {
    const hashes = server.some(({ globals }) => globals) ? ", and the password hashes of roles" : "";
    const message = `backups are not encrypted: anybody who can read a storage can read every database${hashes}`;
    return [problemAt(["encryption", "mode"], lineOf, message)];
  }
  if (!encryption.recipients.includes(EXAMPLE_RECIPIENT)) return [];
  const message =
    "this is the example's recipient, and nobody has its secret key; replace it with your own from `pg321 key generate`";
  return [problemAt(["encryption", "recipients"], lineOf, message)];
}
