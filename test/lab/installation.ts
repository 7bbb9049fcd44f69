import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { MARK } from "../../src/jobs/temp-dir.ts";
import { MARKER_KEY } from "../../src/storage/marker.ts";
import type { PostgresAddress } from "./servers/postgres.ts";
import type { S3Address } from "./servers/s3.ts";

/** The server of tests that do not use PostgreSQL. */
export const NO_POSTGRES: PostgresAddress = {
  ...{ socket_dir: "", data_dir: "", bin_dir: "" },
  ...{ port: 1, user: "u", password: "unused-pw" },
};

/** The output of a finished run of the program. */
export interface Ended {
  exitCode: number;
  stdout: string;
  stderr: string;
  /** Its `--json` output. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read it freely.
  json: any;
}

export interface InstallationOptions {
  postgres: PostgresAddress;
  /** `[[server]] databases`. */
  databases: readonly string[];
  /** TOML tables made by `localStorage` and `s3Storage`. */
  storages: (directory: string) => string[];
  /** Back up the globals too, as installations do by default; these tests count objects, and most are not about them. */
  globals?: boolean;
  /** `[[server]] name`; "main" by default. */
  serverName?: string;
  /** More lines of `[[server]]`. */
  server?: string;
  /** More TOML tables, such as `[dump]` or `[compression]`. */
  more?: string;
  /** `none` leaves everything unencrypted; `age` is the default. */
  encryption?: "age" | "none";
  /** Instead of the installation's own key. */
  recipients?: readonly string[];
  /** More lines of `[encryption]`. */
  encryptionMore?: string;
}

/** A pg321 installation in its own directory: config, keys, catalog, local storages. Removed when disposed of. */
export class Installation implements AsyncDisposable {
  readonly directory: string;
  readonly configFile: string;
  readonly identityFile: string;
  readonly recipient: string;
  readonly #options: InstallationOptions;

  constructor(directory: string, recipient: string, options: InstallationOptions) {
    this.directory = directory;
    this.configFile = join(directory, "config.toml");
    this.identityFile = join(directory, "identity.txt");
    this.recipient = recipient;
    this.#options = options;
  }

  static async make(options: InstallationOptions): Promise<Installation> {
    const directory = await mkdtemp(join(tmpdir(), "pg321-installation-"));
    const keys = await runProgram(
      [
        "key",
        "generate",
        "--identity",
        join(directory, "identity.txt"),
        "--signing-key",
        join(directory, "signing.key"),
        "--json",
      ],
      {},
    );
    const made = new Installation(directory, keys.json.recipient, options);
    await made.configure({});
    return made;
  }

  /** Another host of the same installation: with copies of its keys, and all else of its own. */
  async another(options: InstallationOptions): Promise<Installation> {
    const directory = await mkdtemp(join(tmpdir(), "pg321-installation-"));
    for (const file of ["identity.txt", "signing.key"])
      await copyFile(join(this.directory, file), join(directory, file));
    const made = new Installation(directory, this.recipient, options);
    await made.configure({});
    return made;
  }

  /** Rewrites the config with some options changed. */
  async configure(change: Partial<InstallationOptions>): Promise<void> {
    const {
      postgres,
      databases,
      storages,
      serverName = "main",
      server = "",
      globals = false,
      more = "",
      encryption = "age",
      recipients = [this.recipient],
      encryptionMore = "",
    } = Object.assign(this.#options, change);
    const config = [
      `state_dir = ${text(join(this.directory, "state"))}`,
      "[encryption]",
      `mode = "${encryption}"`,
      ...(encryption === "age" ? [`recipients = [${recipients.map(text).join(", ")}]`] : []),
      `identity_file = ${text(this.identityFile)}`,
      `signing_key_file = ${text(join(this.directory, "signing.key"))}`,
      encryptionMore,
      "[[server]]",
      `name = ${text(serverName)}`,
      'host = "127.0.0.1"',
      `port = ${postgres.port}`,
      `user = ${text(postgres.user)}`,
      `password = ${text(postgres.password)}`,
      `databases = [${databases.map(text).join(", ")}]`,
      ...(globals ? [] : ["globals = false"]),
      server,
      ...storages(this.directory),
      more,
    ];
    for (const path of config.join("\n").matchAll(/^path = (".*")$/gm)) {
      await mkdir(JSON.parse(path[1] as string), { recursive: true });
    }
    await writeFile(this.configFile, config.join("\n"), { mode: 0o600 });
  }

  /** Runs a command to its end. */
  run(...words: string[]): Promise<Ended> {
    return runProgram(words, { PG321_CONFIG: this.configFile });
  }

  /** Runs a command that must succeed; throws with everything that it printed otherwise. */
  async ok(...words: string[]): Promise<Ended> {
    const ended = await this.run(...words);
    if (ended.exitCode !== 0)
      throw new Error(`pg321 ${words.join(" ")}: exit ${ended.exitCode}\n${ended.stdout}${ended.stderr}`);
    return ended;
  }

  /** Makes a backup of everything, or of this database; returns the id of the first one. */
  async backUp(...database: string[]): Promise<string> {
    return (await this.ok("backup", ...database, "--json")).json.backups[0].backup_id;
  }

  /** Starts a command and leaves it running. */
  start(...words: string[]): Subprocess<"ignore", "pipe", "pipe"> {
    return startProgram(words, { PG321_CONFIG: this.configFile });
  }

  /** Every file under a directory of the installation except a storage's marker, relative to it, sorted. */
  async files(under: string): Promise<string[]> {
    const entries = await readdir(join(this.directory, under), { recursive: true, withFileTypes: true });
    const base = join(this.directory, under);
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(base.length + 1))
      .filter((name) => name !== MARKER_KEY)
      .sort();
  }

  /** The content of its temporary directory, except the directory's mark. */
  async temporaryFiles(): Promise<string[]> {
    return (await this.files("state/tmp")).filter((name) => name !== MARK);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** A `[[storage]]` in a directory of the installation. */
export function localStorage(
  name: string,
  directory: string,
  more: Record<string, string | number | boolean> = {},
): string {
  return storage({ name, type: "local", path: join(directory, name), min_free: "1MiB", ...more });
}

/** A `[[storage]]` in a bucket of a lab server; `endpoint` may lead through a fault proxy. */
export function s3Storage(
  name: string,
  address: S3Address,
  bucket: string,
  more: Record<string, string | number | boolean> = {},
): string {
  const { endpoint, region, access_key_id, secret_access_key } = address;
  return storage({
    name,
    type: "s3",
    provider: "generic",
    bucket,
    endpoint,
    region,
    access_key_id,
    secret_access_key,
    ...more,
  });
}

function storage(settings: Record<string, string | number | boolean>): string {
  const lines = Object.entries(settings).map(
    ([key, value]) => `${key} = ${typeof value === "string" ? text(value) : value}`,
  );
  return ["[[storage]]", ...lines].join("\n");
}

/** A TOML basic string: JSON's escapes are TOML's too. */
function text(value: string): string {
  return JSON.stringify(value);
}

const ROOT = join(import.meta.dir, "../..");
const EXECUTABLE = join(ROOT, "dist/pg321");

/** The compiled program if the runner has just built it, otherwise the source. */
export function programWords(): string[] {
  const isBuilt = process.env["PG321_TEST_POSTGRES"] !== undefined && existsSync(EXECUTABLE);
  return isBuilt ? [EXECUTABLE] : [process.execPath, join(ROOT, "src/main.ts")];
}

/** `by`: another program that starts it, with its arguments. */
export function startProgram(
  words: readonly string[],
  env: Record<string, string>,
  by: readonly string[] = [],
): Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn([...by, ...programWords(), ...words], {
    env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir(), TMPDIR: tmpdir(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

export async function runProgram(words: readonly string[], env: Record<string, string>): Promise<Ended> {
  return ended(startProgram(words, env));
}

/** Waits for a started program to end. */
export async function ended(child: Subprocess<"ignore", "pipe", "pipe">): Promise<Ended> {
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return {
    exitCode,
    stdout,
    stderr,
    get json() {
      return JSON.parse(stdout);
    },
  };
}
