import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ENCRYPTION,
  LOCAL,
  loadToml,
  MINIMAL,
  mistakes,
  RECIPIENT,
  refusal,
  S3,
  SERVER,
} from "../../test/fixtures/config-file.ts";
import { EXIT_CODES } from "../base/errors.ts";
import { configPath, DEFAULT_CONFIG_PATH, loadConfig, processSource } from "./load.ts";
import type { ConfigError } from "./problems.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-config-"));
});
afterAll(() => rm(directory, { recursive: true }));

/** The signer of another host. */
const SIGNER = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

describe("a minimal config", () => {
  test("takes every default", async () => {
    const config = await loadToml(MINIMAL);
    expect(config).toMatchObject({
      file: expect.stringMatching(/^\/.*\/config\.toml$/),
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
          min_free_bytes: 2 ** 30,
          min_rate_bytes_per_second: 2 ** 20,
          stall_timeout_ms: 300_000,
          attempts: 5,
          keep: { days: 30 },
          expire: "delete",
        },
      ],
      encryption: { mode: "age", recipients: [RECIPIENT], signing_key_file: "/var/lib/pg321/signing.key" },
      compression: { algorithm: "zstd", level: 3 },
      catalog: { type: "sqlite", path: "/var/lib/pg321/catalog.db" },
      guard: { stale_after_ms: undefined, keep: 3, shrunk_percent: 50 },
      rule: {
        ...{ copies: 3, kinds: 2, off_site: 1, immutable: 1, zero_errors: true },
        restore_test_max_age_ms: 30 * 86_400_000,
      },
      cleanup: {
        temp_max_age_ms: 86_400_000,
        upload_max_age_ms: 604_800_000,
        tombstones_ms: 31_536_000_000,
        history_ms: 31_536_000_000,
      },
      warnings: [],
    });
  });

  test("paths follow state_dir", async () => {
    const config = await loadToml(`state_dir = "/data/pg321/"\n${MINIMAL}`);
    expect(config.temp_dir).toBe("/data/pg321/tmp");
    expect(config.catalog).toEqual({ type: "sqlite", path: "/data/pg321/catalog.db" });
    expect(config.encryption.signing_key_file).toBe("/data/pg321/signing.key");
  });

  test.each([
    ['algorithm = "gzip"', { algorithm: "gzip", level: 6 }],
    ['algorithm = "gzip"\nlevel = 9', { algorithm: "gzip", level: 9 }],
    ["level = 19", { algorithm: "zstd", level: 19 }],
    ['algorithm = "none"', { algorithm: "none", level: 0 }],
  ] as const)("compression %s", async (lines, expected) => {
    expect((await loadToml(`${MINIMAL}[compression]\n${lines}\n`)).compression).toEqual(expected);
  });

  test("an S3 storage uses the defaults of its provider unless the config overrides them", async () => {
    const { storage } = await loadToml(
      `${SERVER + ENCRYPTION + S3}provider = "aws"\nregion = "eu-central-1"\n` +
        `${S3.replace("bucket", "own")}provider = "minio"\nendpoint = "http://10.0.0.1:9000"\n` +
        'path_style = false\nmax_parallel_parts = 9\nprefix = ""\noff_site = false\nkeep = { days = 5 }\nmin_rate = "2MiB/s"\n',
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
      min_rate_bytes_per_second: 2 ** 21,
    });
  });

  test("how long copies stay, and what happens to expired ones", async () => {
    const config = await loadToml(
      `${MINIMAL + S3}provider = "aws"\nregion = "x"\nstorage_class = "GLACIER_IR"\nexpire = "provider-lifecycle"\n` +
        '[guard]\nstale_after = "36h"\nkeep = 5\n' +
        '[rule]\ncopies = 4\nkinds = 1\noff_site = 2\nimmutable = 0\nzero_errors = false\nrestore_test_max_age = "90d"\n' +
        `trusted_provers = ["${SIGNER}"]\n` +
        '[cleanup]\ntemp_max_age = "2h"\nupload_max_age = "30d"\ntombstones = 0\nhistory = "30d"\n',
    );
    expect(config.storage[1]).toMatchObject({ expire: "provider-lifecycle", storage_class: "GLACIER_IR" });
    expect(config.guard).toEqual({ stale_after_ms: 36 * 3_600_000, keep: 5, shrunk_percent: 50 });
    expect(config.rule).toEqual({
      ...{ copies: 4, kinds: 1, off_site: 2, immutable: 0, zero_errors: false },
      restore_test_max_age_ms: 90 * 86_400_000,
      trusted_provers: [SIGNER],
    });
    expect(config.cleanup).toEqual({
      temp_max_age_ms: 7_200_000,
      upload_max_age_ms: 30 * 86_400_000,
      tombstones_ms: 0,
      history_ms: 2_592_000_000,
    });
    const counting = await loadToml(
      MINIMAL.replace(
        '"disk"\n',
        '"disk"\nkeep = { last = 1, daily = 7, weekly = 4, monthly = 12, yearly = 3 }\n',
      ),
    );
    expect(counting.storage[0]?.keep).toEqual({
      days: 30,
      last: 1,
      daily: 7,
      weekly: 4,
      monthly: 12,
      yearly: 3,
    });
  });

  test("a server by URL", async () => {
    const { server } = await loadToml(
      MINIMAL.replace('"main"\n', '"main"\nurl = "postgres://u:p%40@h:1/d"\n'),
    );
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
  test("from the environment, files and credentials are converted to the type that the schema expects", async () => {
    const credentialsDirectory = join(directory, "credentials");
    await mkdir(credentialsDirectory, { recursive: true });
    await writeFile(join(credentialsDirectory, "db-password"), "s3cr3t \n");
    await writeFile(join(directory, "recipients"), `# mine\n${RECIPIENT}\n\n`);
    const config = await loadToml(
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
    expect(config.storage[0]).toMatchObject({ off_site: true, min_free_bytes: 2 ** 31, keep: { days: 7 } });
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
      '{ credential = "../db" }',
      'credential "../db" is not a valid name of a credential, expected a password',
    ],
    ['{ env = "A", file = "/b" }', "found env and file together, expected one of them, expected a password"],
    [
      '{ env = "A", defualt = "b" }',
      'unknown key "defualt" next to "env", "file" or "credential", expected a password',
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

  test("an invalid value from outside is reported by its origin, not by its text", async () => {
    const toml = MINIMAL.replace("\n[[storage]]", '\nport = { env = "PORT" }\n[[storage]]');
    expect(await mistakes(toml, { env: { PORT: "hunter2" } })).toEqual([
      '3 server[0].port: found something else in environment variable "PORT", expected a whole number from 1 to 65535',
    ]);
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

  test("that are not TOML: line and column, but not the text", async () => {
    const error = await refusal('a = 1\npassword = "hunter2\n');
    expect(error.problems).toMatchObject([{ line: 2, column: expect.any(Number), path: "" }]);
    expect(error.message).toMatch(/config\.toml:2:\d+: not valid TOML: /);
    expect(error.message).not.toContain("hunter2");
  });

  test.each(['[x]\n"__proto__" = 1', "constructor = 1"])("with dangerous keys: %p", async (toml) => {
    await expect(loadToml(toml)).rejects.toThrow("unsafe property");
  });

  test("by flag, by environment, by default", () => {
    expect(configPath("/a", { PG321_CONFIG: "/b" })).toBe("/a");
    expect(configPath(undefined, { PG321_CONFIG: "/b" })).toBe("/b");
    expect(configPath(undefined, { PG321_CONFIG: "" })).toBe(DEFAULT_CONFIG_PATH);
    expect(DEFAULT_CONFIG_PATH).toBe("/etc/pg321/config.toml");
  });
});

test("the environment of the process, and the credentials directory in it", () => {
  const before = process.env["CREDENTIALS_DIRECTORY"];
  process.env["CREDENTIALS_DIRECTORY"] = "/run/credentials/pg321.service";
  try {
    expect(processSource()).toEqual({
      env: process.env,
      credentialsDirectory: "/run/credentials/pg321.service",
    });
  } finally {
    if (before === undefined) delete process.env["CREDENTIALS_DIRECTORY"];
    else process.env["CREDENTIALS_DIRECTORY"] = before;
  }
});

describe("warnings", () => {
  const withPassword = MINIMAL.replace("\n[[storage]]", '\npassword = "hunter2"\n[[storage]]');

  test("a literal secret in a file that others can read", async () => {
    const { warnings } = await loadToml(withPassword, undefined, 0o644);
    expect(warnings).toEqual([
      expect.stringMatching(/config\.toml:3: server\[0\]\.password: .*everyone can read \(mode 0644\)/),
    ]);
    expect(warnings.join()).not.toContain("hunter2");
    expect((await loadToml(withPassword, undefined, 0o640)).warnings).toEqual([
      expect.stringContaining("its group can read (mode 0640)"),
    ]);
  });

  test("a password in a URL, the default of a secret, S3 keys", async () => {
    const url = MINIMAL.replace("\n[[storage]]", '\nurl = "postgres://u:p@h"\n[[storage]]');
    expect((await loadToml(url, undefined, 0o644)).warnings).toEqual([
      expect.stringContaining("3: server[0].url: "),
    ]);
    const fallback = MINIMAL.replace(
      "\n[[storage]]",
      '\npassword = { env = "X", default = "y" }\n[[storage]]',
    );
    expect((await loadToml(fallback, undefined, 0o644)).warnings).toHaveLength(1);
    expect(
      (await loadToml(`${MINIMAL}${S3}provider = "aws"\nregion = "x"`, undefined, 0o644)).warnings,
    ).toHaveLength(2);
  });

  test("none for a private file, or for secrets from outside the file", async () => {
    expect((await loadToml(withPassword)).warnings).toEqual([]);
    const fromEnv = MINIMAL.replace("\n[[storage]]", '\npassword = { env = "X" }\n[[storage]]');
    expect((await loadToml(fromEnv, { env: { X: "y" } }, 0o644)).warnings).toEqual([]);
    const bareUrl = MINIMAL.replace("\n[[storage]]", '\nurl = "postgres://u@h"\n[[storage]]');
    expect((await loadToml(bareUrl, undefined, 0o644)).warnings).toEqual([]);
  });

  test("no encryption, which must be configured explicitly", async () => {
    const { warnings, encryption } = await loadToml(`${SERVER}${LOCAL}[encryption]\nmode = "none"\n`);
    expect(encryption.mode).toBe("none");
    expect(warnings).toEqual([expect.stringContaining("8: encryption.mode: backups are not encrypted")]);
    expect(await mistakes(SERVER + LOCAL)).toEqual([
      expect.stringContaining("encryption.recipients: missing"),
    ]);
  });
});
