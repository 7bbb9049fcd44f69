import { describe, expect, test } from "bun:test";
import {
  ENCRYPTION,
  LOCAL,
  loadToml,
  mistakes,
  RECIPIENT,
  refusal,
  S3,
  SERVER,
} from "../../test/fixtures/config-file.ts";
import { EXIT_CODES, Pg321Error } from "../base/errors.ts";

/** Lines added to the minimal config at the end of a section, and the mistake that they cause. */
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
  ["server", 'url = "postgres://h"\nhost = "h"', "server[0].host: found together with url, expected either"],
  ["server", '[[server]]\nname = "main"', 'server[1].name: found "main" twice, expected a unique name'],
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
  ["storage", "keep.weekly = 0", "storage[0].keep.weekly: found 0 (number), expected a whole number"],
  [
    "storage",
    'expire = "delet"',
    'storage[0].expire: found "delet" (text), expected "delete" or { archive_to = "NAME" }; did you mean "delete"?',
  ],
  [
    "storage",
    'expire = "provider-lifecycle"',
    'storage[0].expire: found "provider-lifecycle" (text), expected "delete"',
  ],
  [
    "storage",
    'expire = { archiv_to = "x", archive_to = "y" }',
    'storage[0].expire.archiv_to: not a key of an expire table; did you mean "archive_to"?',
  ],
  ["storage", "[storage.expire]", "storage[0].expire.archive_to: missing, expected a name of up to 40"],
  [
    "storage",
    'expire = { archive_to = "disk" }',
    'storage[0].expire.archive_to: found "disk", expected the name of another [[storage]]',
  ],
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
  [
    "s3",
    'provider = "minio"\nendpoint = "https://h/b"',
    "storage[1].endpoint: an endpoint must not contain a path",
  ],
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
    "s3",
    'provider = "aws"\nregion = "x"\nexpire = { archive_to = "dsik" }',
    'storage[1].expire.archive_to: found "dsik", expected the name of another [[storage]]: "disk"',
  ],
  [
    "s3",
    'provider = "aws"\nregion = "x"\nexpire = "provider-lifecycle"\nkeep = { days = 5, weekly = 4 }',
    'storage[1].keep.weekly: not allowed with expire = "provider-lifecycle", which deletes by age only',
  ],
  [
    "s3",
    'provider = "aws"\nregion = "x"\nstorage_class = "DEEP_ARCHIVE"',
    'storage[1].storage_class: found "DEEP_ARCHIVE" (text), expected a storage class whose objects can be read at once',
  ],
  [
    "s3",
    'provider = "aws"\nregion = "x"\nstorage_class = "GLACIER"',
    'storage[1].storage_class: found "GLACIER" (text), expected a storage class whose objects can be read at once',
  ],
  [
    "end",
    '[guard]\nstale_after = "5m"',
    'guard.stale_after: found "5m" (text), expected a duration from "1h" to "36500d", such as "36h" or "90d"',
  ],
  ["end", "[guard]\nkeep = 0", "guard.keep: found 0 (number), expected a whole number from 1 to 1000"],
  ["end", "[rule]\nkinds = 3", "rule.kinds: found 3 (number), expected a whole number from 0 to 2"],
  ["end", "[rule]\nzero_errors = 0", "rule.zero_errors: found 0 (number), expected true or false"],
  [
    "end",
    '[rule]\nrestore_test_max_age = "5m"',
    'rule.restore_test_max_age: found "5m" (text), expected a duration from "1d" to "36500d", such as "36h" or "90d"',
  ],
  ["end", "[rule]\noffsite = 1", 'rule.offsite: not a key of the [rule] table; did you mean "off_site"?'],
  [
    "end",
    '[cleanup]\ntemp_max_age = "0"',
    'cleanup.temp_max_age: found "0" (text), expected a duration from "1h"',
  ],
  [
    "end",
    '[cleanup]\nupload_max_age = "2h"',
    'cleanup.upload_max_age: found "2h" (text), expected a duration from "1d"',
  ],
  ["end", "[cleanup]\ntombstones = 365", "cleanup.tombstones: found 365 (number), expected a duration"],
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
  ["end", '[compression]\nalgorithm = "none"\nlevel = 1', "compression.level: not allowed with algorithm"],
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
    // The line of the key, or of the table in which it is missing.
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

describe("where expired copies go", () => {
  const disk = (name: string, to?: string) =>
    `${LOCAL.replace("disk", name).replace("/srv/backup", `/srv/${name}`)}${to ? `expire = { archive_to = "${to}" }\n` : ""}`;

  test("a chain is accepted if it ends", async () => {
    const keeping = (days: number) => `keep = { days = ${days} }\n`;
    const { storage } = await loadToml(
      SERVER +
        (disk("a", "b") + keeping(1)) +
        (disk("b", "c") + keeping(2)) +
        (disk("c") + keeping(3)) +
        (disk("d", "b") + keeping(1)) +
        ENCRYPTION,
    );
    expect(storage.map(({ expire }) => expire)).toEqual([
      { archive_to: "b" },
      { archive_to: "c" },
      "delete",
      { archive_to: "b" },
    ]);
  });

  test("an archive that keeps copies no longer is refused: they would expire there at once", async () => {
    const keeping = (days: number) => `keep = { days = ${days} }\n`;
    const toml = (days: number) =>
      SERVER + disk("a", "b") + keeping(30) + disk("b") + keeping(days) + ENCRYPTION;
    expect(await mistakes(toml(30))).toEqual([
      '7 storage[0].expire.archive_to: found "b", whose keep.days (30) is not more than that of this storage (30): archived copies would expire there at once',
    ]);
    expect(await mistakes(toml(29))).toHaveLength(1);
    await loadToml(toml(31));
  });

  test("a circle is reported at each of its members, and only there", async () => {
    const briefly = "keep = { days = 1 }\n";
    const toml = SERVER + disk("a", "b") + briefly + disk("b", "c") + disk("c", "b") + ENCRYPTION;
    expect(await mistakes(toml)).toEqual([
      "13 storage[1].expire.archive_to: found a circle: b to c to b",
      "18 storage[2].expire.archive_to: found a circle: c to b to c",
    ]);
  });
});

describe("all mistakes at once", () => {
  test("an empty file misses three things", async () => {
    expect(await mistakes("")).toEqual([
      "undefined storage: missing, expected at least one [[storage]] table",
      expect.stringContaining(
        "undefined encryption.recipients: missing, expected at least one age recipient",
      ),
      "undefined server: missing, expected at least one [[server]] table",
    ]);
  });

  test("a single table instead of an array of tables", async () => {
    expect(await mistakes(`[server]\nname = "a"\n${LOCAL}${ENCRYPTION}`)).toEqual([
      "1 server: found a single table, expected at least one [[server]] table",
    ]);
  });

  test("many mistakes are reported in the order of the file", async () => {
    const toml = `timezon = "UTC"\n${SERVER}port = "x"\nhots = "h"\n[[server]]\nname = "main"\n${LOCAL}min_free = 7\n${S3}provider = "aws"\n[encryption]\nmode = "aeg"\n`;
    const error = await refusal(toml);
    expect(
      error.message.split("\n").map((line) => line.replace(`  ${error.file}:`, "").split(" found")[0]),
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
