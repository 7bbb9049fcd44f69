import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXIT_CODES, Pg321Error } from "../base/errors.ts";
import { configPath, DEFAULT_CONFIG_PATH, loadConfig } from "./load.ts";
import { ConfigError } from "./problems.ts";
import type { ValueSource } from "./values.ts";

const RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const SERVER = '[[server]]\nname = "main"\n';
const LOCAL = '[[storage]]\nname = "disk"\ntype = "local"\npath = "/srv/backup"\n';
const ENCRYPTION = `[encryption]\nrecipients = ["${RECIPIENT}"]\n`;
const MINIMAL = SERVER + LOCAL + ENCRYPTION;
const S3 =
  '[[storage]]\nname = "bucket"\ntype = "s3"\nbucket = "backups"\naccess_key_id = "AK"\nsecret_access_key = "SK"\n';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-config-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function load(toml: string, source: ValueSource = { env: {} }, mode = 0o600) {
  const file = join(directory, "config.toml");
  await writeFile(file, toml);
  await chmod(file, mode);
  return loadConfig(file, source);
}

/** `12 storage[1].bucket: found …` for each mistake. */
async function mistakes(toml: string, source?: ValueSource): Promise<string[]> {
  const error = await load(toml, source).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error === undefined) return [];
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).problems.map(({ line, path, message }) => `${line} ${path}: ${message}`);
}

describe("a minimal config", () => {
  test("takes every default", async () => {
    const config = await load(MINIMAL);
    expect(config).toMatchObject({
      file: join(directory, "config.toml"),
      checksum: new Bun.CryptoHasher("sha256").update(MINIMAL).digest("hex"),
      state_dir: "/var/lib/pg321",
      temp_dir: "/var/lib/pg321/tmp",
      server: [
        {
          name: "main",
          host: undefined,
          port: 5432,
          user: "postgres",
          sslmode: "prefer",
          maintenance_database: "postgres",
          databases: ["*"],
          exclude: [],
          connect_timeout_ms: 10_000,
        },
      ],
      storage: [
        {
          name: "disk",
          type: "local",
          off_site: false,
          path: "/srv/backup",
          min_free: 2 ** 30,
          min_rate: 0,
          stall_timeout_ms: 300_000,
          attempts: 5,
          keep: { days: 30 },
        },
      ],
      encryption: { mode: "age", recipients: [RECIPIENT], signing_key_file: "/var/lib/pg321/signing.key" },
      compression: { algorithm: "zstd", level: 3 },
      catalog: { type: "sqlite", path: "/var/lib/pg321/catalog.db" },
      warnings: [],
    });
  });

  test("paths follow state_dir", async () => {
    const config = await load(`state_dir = "/data/pg321/"\n${MINIMAL}`);
    expect(config.temp_dir).toBe("/data/pg321/tmp");
    expect(config.catalog.path).toBe("/data/pg321/catalog.db");
    expect(config.encryption.signing_key_file).toBe("/data/pg321/signing.key");
  });

  test.each([
    ['algorithm = "gzip"', { algorithm: "gzip", level: 6 }],
    ['algorithm = "gzip"\nlevel = 9', { algorithm: "gzip", level: 9 }],
    ["level = 19", { algorithm: "zstd", level: 19 }],
    ['algorithm = "none"', { algorithm: "none", level: 0 }],
  ] as const)("compression %s", async (lines, expected) => {
    expect((await load(`${MINIMAL}[compression]\n${lines}\n`)).compression).toEqual(expected);
  });

  test("an S3 storage takes what its provider implies, and what is given over it", async () => {
    const { storage } = await load(
      `${SERVER + ENCRYPTION + S3}provider = "aws"\nregion = "eu-central-1"\n` +
        `${S3.replace("bucket", "own")}provider = "minio"\nendpoint = "http://10.0.0.1:9000"\n` +
        'path_style = false\nmax_parallel_parts = 9\nprefix = ""\noff_site = false\nkeep = { days = 5 }\nmin_rate = "1MiB/s"\n',
    );
    expect(storage[0]).toMatchObject({
      endpoint: "https://s3.eu-central-1.amazonaws.com",
      path_style: false,
      max_parallel_parts: 4,
      prefix: "pg321",
      off_site: true,
      keep: { days: 365 },
    });
    expect(storage[1]).toMatchObject({
      endpoint: "http://10.0.0.1:9000",
      region: "us-east-1",
      path_style: false,
      max_parallel_parts: 9,
      max_parts: 10_000,
      prefix: "",
      off_site: false,
      keep: { days: 5 },
      min_rate: 2 ** 20,
    });
  });

  test("a server by URL", async () => {
    const { server } = await load(MINIMAL.replace('"main"\n', '"main"\nurl = "postgres://u:p%40@h:1/d"\n'));
    expect(server[0]).toMatchObject({
      host: "h",
      port: 1,
      user: "u",
      maintenance_database: "d",
      sslmode: "prefer",
    });
    expect(server[0]?.password?.reveal()).toBe("p@");
  });
});

describe("values from outside", () => {
  test("from the environment, files and credentials, each as the schema expects it", async () => {
    const credentialsDirectory = join(directory, "credentials");
    await mkdir(credentialsDirectory, { recursive: true });
    await writeFile(join(credentialsDirectory, "db-password"), "s3cr3t \n");
    await writeFile(join(directory, "recipients"), `# mine\n${RECIPIENT}\n\n`);
    const config = await load(
      `timezone = { env = "ZONE" }\n${SERVER}port = { env = "PORT" }\npassword = { credential = "db-password" }\n` +
        'databases = { env = "DATABASES" }\nexclude = ["a", { env = "EXCLUDED" }]\nuser = { env = "NOBODY", default = "reader" }\n' +
        `connect_timeout = { env = "EMPTY", default = "3s" }\n${LOCAL}off_site = { env = "OFF_SITE" }\nmin_free = { env = "FREE" }\n` +
        `keep.days = { env = "DAYS", default = 7 }\n[encryption]\nrecipients = { file = "${directory}/recipients" }\n` +
        '[compression]\nalgorithm = { env = "ALGORITHM" }\n',
      {
        env: {
          ZONE: "Europe/Berlin",
          PORT: "5433",
          DATABASES: "app, shop_*",
          EXCLUDED: "b",
          EMPTY: "",
          OFF_SITE: "true",
          FREE: "2GiB",
          ALGORITHM: "gzip",
        },
        credentialsDirectory,
      },
    );
    const [server] = config.server;
    expect(config.timezone).toBe("Europe/Berlin");
    expect(server).toMatchObject({
      port: 5433,
      databases: ["app", "shop_*"],
      exclude: ["a", "b"],
      user: "reader",
      connect_timeout_ms: 3000,
    });
    expect(server?.password?.reveal()).toBe("s3cr3t ");
    expect(config.storage[0]).toMatchObject({ off_site: true, min_free: 2 ** 31, keep: { days: 7 } });
    expect(config.encryption.recipients).toEqual([RECIPIENT]);
    expect(config.compression).toEqual({ algorithm: "gzip", level: 6 });
  });

  test.each([
    ['{ env = "NOPE" }', 'environment variable "NOPE" is not set, expected a password'],
    ['{ file = "/nope" }', 'file "/nope" cannot be read (ENOENT), expected a password'],
    ['{ file = "/tmp" }', 'file "/tmp" cannot be read (EISDIR), expected a password'],
    ['{ file = "nope" }', 'file "nope" is not an absolute path, expected a password'],
    ['{ file = "/dev/null" }', 'file "/dev/null" is empty, expected a password'],
    [
      '{ credential = "db" }',
      'credential "db" is not there, because systemd handed over no credentials, expected a password',
    ],
    ['{ credential = "../db" }', 'credential "../db" is not the name of a credential, expected a password'],
    ['{ env = "A", file = "/b" }', "found env and file together, expected one of them, expected a password"],
    [
      '{ env = "A", defualt = "b" }',
      'unknown key "defualt" beside "env", "file" or "credential", expected a password',
    ],
    [
      "{ env = 5 }",
      'found no name after "env", expected { env = "NAME" }, { file = "/path" } or { credential = "name" }, expected a password',
    ],
    [
      '{ envv = "A" }',
      'found a table that is not { env = "NAME" }, { file = "/path" } or { credential = "name" }, expected a password',
    ],
  ])("password = %s", async (written, message) => {
    const toml = MINIMAL.replace("\n[[storage]]", `\npassword = ${written}\n[[storage]]`);
    expect(await mistakes(toml)).toEqual([`3 server[0].password: ${message}`]);
  });

  test("what does not fit is told by where it came from, not by what it is", async () => {
    const toml = MINIMAL.replace("\n[[storage]]", '\nport = { env = "PORT" }\n[[storage]]');
    expect(await mistakes(toml, { env: { PORT: "hunter2" } })).toEqual([
      '3 server[0].port: found something else in environment variable "PORT", expected a whole number from 1 to 65535',
    ]);
  });
});

/** Lines put into the minimal config at the end of a section, and the mistake that they make there. */
const BAD: [section: "top" | "server" | "storage" | "s3" | "end", lines: string, expected: string][] = [
  [
    "top",
    'timezone = "Mars/Olympus"',
    'timezone: found "Mars/Olympus" (text), expected the name of a time zone',
  ],
  ["top", 'timezone = "+02:00"', "timezone: found"],
  ["top", 'state_dir = "pg321"', 'state_dir: found "pg321" (text), expected an absolute path'],
  ["top", "stat_dir = 1", 'stat_dir: not a key of the top level; did you mean "state_dir"?'],
  ["top", "xyz = 1", "xyz: not a key of the top level, expected one of timezone, state_dir"],
  ["top", '"a.b" = 1', '"a.b": not a key of the top level'],
  ["top", "dump = 5", "dump: found a number, expected the [dump] table"],
  ["top", "catalog = [1]", "catalog: found an array, expected the [catalog] table"],
  [
    "top",
    'compression = { env = "X" }',
    "compression: found a value from outside, expected the [compression] table",
  ],
  ["server", "port = 0", "server[0].port: found 0 (number), expected a whole number from 1 to 65535"],
  ["server", 'port = "5432"', 'server[0].port: found "5432" (text), expected a whole number'],
  ["server", "port = 1.5", "server[0].port: found 1.5 (number)"],
  ["server", "port = nan", "server[0].port: found NaN (number)"],
  ["server", "user = 2024-01-01", "server[0].user: found 2024-01-01 (date), expected the name of a role"],
  ["server", 'host = "a b"', 'server[0].host: found "a b" (text), expected a host name'],
  ["server", 'host = "postgres://u:hunter2@h"', "server[0].host: found a text, expected a host name"],
  ["server", "password = 12345", "server[0].password: found a number, expected a password"],
  ["server", 'password = ""', "server[0].password: found a text, expected a password"],
  [
    "server",
    'passwrod = "hunter2"',
    'server[0].passwrod: not a key of a [[server]] table; did you mean "password"?',
  ],
  [
    "server",
    'sslmode = "verify_full"',
    'server[0].sslmode: found "verify_full" (text), expected one of "disable"',
  ],
  ["server", 'sslcert = "/c"', "server[0].sslcert: found alone, expected sslcert and sslkey together"],
  ["server", 'connect_timeout = "0s"', 'server[0].connect_timeout: found "0s" (text), expected a duration'],
  ["server", "connect_timeout = 10", "server[0].connect_timeout: found 10 (number), expected a duration"],
  [
    "server",
    'connect_timeout = "25d"',
    'server[0].connect_timeout: found "25d" (text), expected a duration up to "24d"',
  ],
  ["server", 'databases = "app"', 'server[0].databases: found "app" (text), expected an array such as'],
  ["server", "databases = []", "server[0].databases: found an empty array, expected at least one"],
  [
    "server",
    'databases = ["a", 5]',
    "server[0].databases[1]: found 5 (number), expected the name of a database",
  ],
  ["server", 'url = "postgres://u:hunter2@h:x"', "server[0].url: found a text, expected a URL such as"],
  ["server", 'url = "postgres://h"\nhost = "h"', "server[0].host: found beside url, expected either"],
  ["server", '[[server]]\nname = "main"', 'server[1].name: found "main" twice, expected a name of its own'],
  ["server", '[[server]]\nname = "Main"', 'server[1].name: found "Main" (text), expected a name of up to 40'],
  ["server", `[[server]]\nname = "${"x".repeat(41)}"`, "server[1].name: found"],
  ["server", '[[server]]\nname = "-x"', "server[1].name: found"],
  ["server", "[[server]]", "server[1].name: missing, expected a name of up to 40"],
  ["storage", 'min_free = "1G"', 'storage[0].min_free: found "1G" (text), expected a size such as'],
  ["storage", "min_free = 1", "storage[0].min_free: found 1 (number), expected a size such as"],
  ["storage", 'min_rate = "1MiB"', 'storage[0].min_rate: found "1MiB" (text), expected a rate such as'],
  ["storage", 'off_site = "yes"', 'storage[0].off_site: found "yes" (text), expected true or false'],
  ["storage", "keep = 5", "storage[0].keep: found a number, expected a keep table"],
  [
    "storage",
    "keep.days = 0",
    "storage[0].keep.days: found 0 (number), expected a whole number from 1 to 36500",
  ],
  ["storage", "keep.dasy = 5", 'storage[0].keep.dasy: not a key of a keep table; did you mean "days"?'],
  ["storage", 'bucket = "b"', 'storage[0].bucket: not a key of a [[storage]] of type "local"'],
  [
    "storage",
    '[[storage]]\nname = "x"\ntype = "s4"',
    'storage[1].type: found "s4" (text), expected "local" or "s3"; did you mean "s3"?',
  ],
  ["storage", '[[storage]]\nname = "x"', 'storage[1].type: missing, expected "local" or "s3"'],
  [
    "storage",
    '[[storage]]\nname = "x"\ntype = "local"',
    "storage[1].path: missing, expected an absolute path",
  ],
  [
    "storage",
    '[[storage]]\nname = "x"\ntype = "local"\npath = "/srv/backup/"',
    'storage[1]: the same place as storage "disk"',
  ],
  [
    "s3",
    'provider = "cloudflare"',
    'storage[1].provider: found "cloudflare" (text), expected one of "cloudflare-r2"',
  ],
  ["s3", 'provider = "cloudflare-r2"', 'storage[1].account_id: provider "cloudflare-r2" needs an account_id'],
  ["s3", 'provider = "backblaze-b2"', 'storage[1].region: provider "backblaze-b2" needs a region'],
  ["s3", 'provider = "minio"', 'storage[1].endpoint: provider "minio" needs an endpoint'],
  [
    "s3",
    'provider = "minio"\nendpoint = "https://u:hunter2@h"',
    "storage[1].endpoint: found a text, expected a URL",
  ],
  ["s3", 'provider = "minio"\nendpoint = "https://h/b"', "storage[1].endpoint: an endpoint is a host only"],
  [
    "s3",
    'provider = "aws"\nregion = "x y"',
    'storage[1].region: found "x y" (text), expected the name of a region',
  ],
  [
    "s3",
    'provider = "aws"\nregion = "x"\nprefix = "/a"',
    'storage[1].prefix: found "/a" (text), expected a prefix',
  ],
  ["s3", 'provider = "aws"\nregion = "x"\nprefix = "a/../b"', "storage[1].prefix: found"],
  [
    "s3",
    'provider = "aws"\nregion = "x"\nmax_parallel_parts = 65',
    "storage[1].max_parallel_parts: found 65 (number)",
  ],
  [
    "end",
    '[compression]\nalgorithm = "zsdt"',
    'compression.algorithm: found "zsdt" (text), expected one of "zstd", "gzip", "none"; did you mean "zstd"?',
  ],
  [
    "end",
    "[compression]\nlevel = 20",
    "compression.level: found 20 (number), expected a whole number from 1 to 19",
  ],
  [
    "end",
    '[compression]\nalgorithm = "gzip"\nlevel = 10',
    "compression.level: found 10, expected a whole number from 1 to 9 for gzip",
  ],
  ["end", '[compression]\nalgorithm = "none"\nlevel = 1', "compression.level: found beside algorithm"],
  ["end", '[catalog]\ntype = "postgres"', 'catalog.type: found "postgres" (text), expected "sqlite"'],
  ["end", "[dump]\nnice = -21", "dump.nice: found -21 (number), expected a whole number from -20 to 19"],
  [
    "end",
    '[dump]\nio_class = "idel"',
    'dump.io_class: found "idel" (text), expected one of "idle", "best-effort", "none"; did you mean "idle"?',
  ],
];

describe("one mistake", () => {
  test.each(BAD)("in %s: %s", async (section, lines, expected) => {
    const at = (name: string) => (name === section ? `${lines}\n` : "");
    const s3 = section === "s3" ? `${S3}${lines}\n` : "";
    const toml = at("top") + SERVER + at("server") + LOCAL + at("storage") + s3 + ENCRYPTION + at("end");
    const found = await mistakes(toml);
    expect(found).toHaveLength(1);
    expect(found[0]?.replace(/^\d+ /, "")).toStartWith(expected);
    expect(found[0]).not.toContain("hunter2");
    // The line is that of the key, or of the table that lacks it.
    const line = toml.split("\n")[Number(found[0]?.split(" ")[0]) - 1];
    const key = /([A-Za-z_.]+)"?(?:\[\d\])?:/.exec(expected)?.[1]?.split(".").at(-1);
    expect(line?.includes(key ?? "?") || line?.startsWith("[")).toBe(true);
  });

  test.each([
    ["recipients = []", "encryption.recipients: missing, expected at least one age recipient"],
    ['recipients = "age1"', 'encryption.recipients: found "age1" (text), expected an array'],
    [
      `recipients = ["${RECIPIENT.replace("v", "w")}"]`,
      "encryption.recipients[0]: found a text, expected an age X25519",
    ],
    [
      'recipients = ["AGE-SECRET-KEY-1HUNTER2"]',
      "encryption.recipients[0]: found a text, expected an age X25519",
    ],
    ['recipients = ["age1pq1abc"]', "encryption.recipients[0]: found a text, expected an age X25519"],
    ['recipients = "AGE-SECRET-KEY-1HUNTER2"', "encryption.recipients: found a text, expected an array"],
    ['mode = "age256"', 'encryption.mode: found "age256" (text), expected one of "age", "none"'],
    [
      `recipients = ["${RECIPIENT}"]\nidentity_passphrase = "x"`,
      "encryption.identity_passphrase: found without identity_file",
    ],
  ])("in encryption: %s", async (lines, expected) => {
    const found = await mistakes(`${SERVER}${LOCAL}[encryption]\n${lines}\n`);
    expect(found).toHaveLength(1);
    expect(found[0]?.replace(/^\d+ /, "")).toStartWith(expected);
    expect(found[0]).not.toContain("HUNTER2");
  });
});

describe("all mistakes at once", () => {
  test("an empty file lacks three things", async () => {
    expect(await mistakes("")).toEqual([
      "undefined server: missing, expected at least one [[server]] table",
      "undefined storage: missing, expected at least one [[storage]] table",
      expect.stringContaining(
        "undefined encryption.recipients: missing, expected at least one age recipient",
      ),
    ]);
  });

  test("single tables where arrays of tables belong", async () => {
    expect(await mistakes(`[server]\nname = "a"\n${LOCAL}${ENCRYPTION}`)).toEqual([
      "1 server: found a single table, expected at least one [[server]] table",
    ]);
  });

  test("every one of many, in the order of the file, and the error reads well", async () => {
    const toml = `timezon = "UTC"\n${SERVER}port = "x"\nhots = "h"\n[[server]]\nname = "main"\n${LOCAL}min_free = 7\n${S3}provider = "aws"\n[encryption]\nmode = "aeg"\n`;
    const error = (await load(toml).catch((thrown: unknown) => thrown)) as ConfigError;
    const file = join(directory, "config.toml");
    expect(
      error.message.split("\n").map((line) => line.replace(`  ${file}:`, "").split(" found")[0]),
    ).toEqual([
      "7 mistakes in the config",
      '1: timezon: not a key of the top level; did you mean "timezone"?',
      "4: server[0].port:",
      '5: server[0].hots: not a key of a [[server]] table; did you mean "host"?',
      "7: server[1].name:",
      "12: storage[0].min_free:",
      '13: storage[1].region: provider "aws" needs a region, such as "eu-central-1"',
      "21: encryption.mode:",
    ]);
    expect(error).toBeInstanceOf(Pg321Error);
    expect(error.exitCode).toBe(EXIT_CODES.usage);
  });
});

describe("files", () => {
  test("that are missing", async () => {
    const error = (await loadConfig("/nowhere/config.toml", { env: {} }).catch(
      (thrown) => thrown,
    )) as ConfigError;
    expect(error.message).toBe("/nowhere/config.toml: there is no such config file");
    expect(error.hint).toContain("config.example.toml");
    expect(error.exitCode).toBe(EXIT_CODES.usage);
  });

  test("that are directories, or not text", async () => {
    await expect(loadConfig(directory, { env: {} })).rejects.toThrow("the config cannot be read (EISDIR)");
    const file = join(directory, "binary.toml");
    await writeFile(file, new Uint8Array([0xff, 0xfe, 0x00]));
    await expect(loadConfig(file, { env: {} })).rejects.toThrow("not UTF-8");
  });

  test("that are not TOML: line and column, and nothing of the text", async () => {
    const error = (await load('a = 1\npassword = "hunter2\n').catch((thrown) => thrown)) as ConfigError;
    expect(error.problems).toMatchObject([{ line: 2, column: expect.any(Number), path: "" }]);
    expect(error.message).toMatch(/config\.toml:2:\d+: not valid TOML: /);
    expect(error.message).not.toContain("hunter2");
  });

  test.each(['[x]\n"__proto__" = 1', "constructor = 1"])("with dangerous keys: %p", async (toml) => {
    await expect(load(toml)).rejects.toThrow("unsafe property");
  });

  test("by flag, by environment, by default", () => {
    expect(configPath("/a", { PG321_CONFIG: "/b" })).toBe("/a");
    expect(configPath(undefined, { PG321_CONFIG: "/b" })).toBe("/b");
    expect(configPath(undefined, { PG321_CONFIG: "" })).toBe(DEFAULT_CONFIG_PATH);
    expect(DEFAULT_CONFIG_PATH).toBe("/etc/pg321/config.toml");
  });
});

describe("warnings", () => {
  const withPassword = MINIMAL.replace("\n[[storage]]", '\npassword = "hunter2"\n[[storage]]');

  test("a literal secret in a file that others can read", async () => {
    const { warnings } = await load(withPassword, undefined, 0o644);
    expect(warnings).toEqual([
      expect.stringMatching(/config\.toml:3: server\[0\]\.password: .*everyone can read \(mode 0644\)/),
    ]);
    expect(warnings.join()).not.toContain("hunter2");
    expect((await load(withPassword, undefined, 0o640)).warnings).toEqual([
      expect.stringContaining("its group can read (mode 0640)"),
    ]);
  });

  test("a password in a URL, a default of a secret, keys of S3", async () => {
    const url = MINIMAL.replace("\n[[storage]]", '\nurl = "postgres://u:p@h"\n[[storage]]');
    expect((await load(url, undefined, 0o644)).warnings).toEqual([
      expect.stringContaining("3: server[0].url: "),
    ]);
    const fallback = MINIMAL.replace(
      "\n[[storage]]",
      '\npassword = { env = "X", default = "y" }\n[[storage]]',
    );
    expect((await load(fallback, undefined, 0o644)).warnings).toHaveLength(1);
    expect(
      (await load(`${MINIMAL}${S3}provider = "aws"\nregion = "x"`, undefined, 0o644)).warnings,
    ).toHaveLength(2);
  });

  test("none for a private file, nor for secrets from elsewhere", async () => {
    expect((await load(withPassword)).warnings).toEqual([]);
    const fromEnv = MINIMAL.replace("\n[[storage]]", '\npassword = { env = "X" }\n[[storage]]');
    expect((await load(fromEnv, { env: { X: "y" } }, 0o644)).warnings).toEqual([]);
    const bareUrl = MINIMAL.replace("\n[[storage]]", '\nurl = "postgres://u@h"\n[[storage]]');
    expect((await load(bareUrl, undefined, 0o644)).warnings).toEqual([]);
  });

  test("no encryption, but only when asked for by name", async () => {
    const { warnings, encryption } = await load(`${SERVER}${LOCAL}[encryption]\nmode = "none"\n`);
    expect(encryption.mode).toBe("none");
    expect(warnings).toEqual([expect.stringContaining("8: encryption.mode: backups are not encrypted")]);
    expect(await mistakes(SERVER + LOCAL)).toHaveLength(1);
  });
});
