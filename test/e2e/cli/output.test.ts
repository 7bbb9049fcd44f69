import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BackupRecord } from "../../../src/catalog/records.ts";
import { Installation, localStorage, NO_POSTGRES, programWords, runProgram } from "../../lab/installation.ts";
import { catalogOf } from "../../lab/leftovers.ts";
import { readSlowly } from "../../lab/machine/slow-reader.ts";
import { onTerminal, screenOf } from "../../lab/machine/terminal.ts";
import { backupRecord, copyRecord } from "../../suites/catalog/records.ts";

const ODD = "evil\u001b[31m\nname\u009b2J";
const IDS = ["aaaaaaaa-1000-4000-8000-000000000000", "aaaaaaab-2000-4000-8000-000000000000"];
const ODD_ID = "bbbbbbbb-3000-4000-8000-000000000000";

let installation: Installation;
beforeAll(async () => {
  installation = await Installation.make({
    postgres: NO_POSTGRES,
    databases: ["*"],
    storages: (directory) => [localStorage("disk", directory)],
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

/** Writes finished backups directly into the catalog. */
async function insert(...changes: Partial<BackupRecord>[]): Promise<void> {
  await using catalog = await catalogOf(installation);
  for (const change of changes) {
    const backup = backupRecord({
      status: "PARTIAL",
      finished_at: "2026-01-01T00:00:02.000Z",
      dump_bytes: 1000,
      object_bytes: 250,
      ...change,
    });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "MISSING", error: "gone" }));
  }
}

test("without any backup list says so", async () => {
  expect(await installation.ok("list")).toMatchObject({
    stdout: "no backups\n",
    // The catalog may be new, or the old one may be lost.
    stderr: expect.stringContaining("pg321 cleanup --adopt"),
  });
  expect((await installation.ok("list", "--json")).json).toEqual({ backups: [] });
});

describe("ids", () => {
  beforeAll(() => insert({ id: IDS[0] as string }, { id: IDS[1] as string, database: "shop" }));

  test.each(["aaaaaaab", "aaaaaaab-2000", "AAAAAAAB", IDS[1] as string])(
    "%s identifies one backup",
    async (prefix) => {
      expect((await installation.ok("show", prefix, "--json")).json).toMatchObject({
        id: IDS[1],
        database: "shop",
      });
    },
  );

  test("a prefix of two ids is refused, with both ids", async () => {
    const { exitCode, stdout, stderr } = await installation.run("show", "aaaa");
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain(`${IDS[0]} (main/app, 2026-01-01 00:00:00 UTC)`);
    expect(stderr).toContain(`${IDS[1]} (main/shop, 2026-01-01 00:00:00 UTC)`);
    expect(stderr).toMatch(/\nhint: give more characters of the id\n$/);
  });

  test.each([
    ["ffff", 'no backup\'s id begins with "ffff"'],
    ["nonsense", '"nonsense" is not a backup\'s id'],
    ["%", '"%" is not a backup\'s id'],
    ["", undefined],
  ])("%p is unknown", async (prefix, error) => {
    for (const command of [
      ["show", prefix],
      ["verify", prefix],
      ["restore", prefix, "--target", "main/x"],
    ]) {
      const { exitCode, stdout, stderr } = await installation.run(...command);
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
      expect(stderr).toStartWith(
        error === undefined
          ? `error: ${command[0]}: an argument is empty\nhint: usage: pg321 ${command[0]} `
          : `error: ${error}\nhint: pg321 list shows the ids`,
      );
    }
  });

  test("list accepts a status in upper or lower case, a database and a limit", async () => {
    const ids = async (...words: string[]) =>
      (await installation.ok("list", "--json", ...words)).json.backups.map(({ id }: { id: string }) => id);
    expect(await ids("-d", "shop")).toEqual([IDS[1]]);
    expect(await ids("--status", "failed")).toEqual([]);
    expect(await ids("-d", "app", "--status", "partial")).toEqual([IDS[0]]);
    expect((await ids("-n", "1")).length).toBe(1);
    for (const [option, value, allowed] of [
      ["--limit", "0", "a whole number from 1 to 1000000"],
      ["--limit", "1e3", "a whole number"],
      ["--status", "partail", "running, complete, partial, failed, interrupted\nhint: did you mean partial?"],
    ] as const) {
      const { exitCode, stdout, stderr } = await installation.run("list", `${option}=${value}`);
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
      expect(stderr).toStartWith(`error: list: ${option} is "${value}", `);
      expect(stderr).toContain(`expected `);
      expect(stderr).toContain(allowed);
    }
    expect(await installation.run("list", "--limit=")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(
        /^error: list: the value of --limit is empty\nhint: write --limit N, or leave the option out\n/,
      ),
    });
  });
});

test("copies have words for their state, and an object that is larger than its dump is called so", async () => {
  expect((await installation.ok("list", "-d", "shop")).stdout).toContain("disk (missing)\n");
  expect((await installation.ok("show", IDS[1] as string)).stdout).toContain(
    "250 B (250 bytes, 4 times smaller than the dump)",
  );
  const id = "cccccccc-4000-4000-8000-000000000000";
  await insert({ id, database: "tiny", dump_bytes: 1000, object_bytes: 1100 });
  expect((await installation.ok("show", id)).stdout).toContain("(1100 bytes, larger than the dump)");
});

describe("colour and control characters", () => {
  beforeAll(() => insert({ id: ODD_ID, database: ODD, stderr_tail: "warning: \u001b[2J\nsecond line" }));
  const env = () => ({ PG321_CONFIG: installation.configFile });

  test("without a terminal there are no escape sequences", async () => {
    for (const words of [["list"], ["show", ODD_ID], ["check"], ["--help"], ["key", "show"], ["nonsense"]]) {
      const { stdout, stderr } = await installation.run(...words);
      expect(stdout + stderr).not.toMatch(/[^\P{Cc}\n]/u);
    }
  });

  test("a terminal gets colours, unless NO_COLOR is set or the terminal is dumb", async () => {
    const written = async (more: Record<string, string>) =>
      (await onTerminal(["list"], { ...env(), ...more }).ended).written;
    const coloured = await written({});
    expect(coloured).toContain("\u001b[33mpartial\u001b[0m");
    for (const more of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
      const plain = await written(more);
      expect(plain).not.toContain("\u001b");
      expect(screenOf(plain)[0]).toBe(screenOf(coloured)[0] as string);
    }
  });

  test.each([[["list"]], [["show", ODD_ID]], [["show", "aaaa"]], [["verify", ODD_ID, "--storage", ODD]]])(
    "no name reaches the terminal raw: %p",
    async (words) => {
      const { written } = await onTerminal(words, env()).ended;
      expect(written).not.toContain("evil\u001b");
      // Only pg321's own colours, and the line ends of the terminal.
      expect(written.replaceAll(/\u001b\[\d+m|\r\n/g, "")).not.toMatch(/\p{Cc}/u);
    },
  );

  test("control characters in names are replaced in text, and escaped in JSON", async () => {
    expect((await installation.ok("list")).stdout).toContain("main/evil\ufffd[31m\ufffdname\ufffd2J");
    const { stdout, json } = await installation.ok("show", ODD_ID, "--json");
    expect(json.database).toBe(ODD);
    expect(stdout).not.toMatch(/[^\P{Cc}\n]/u);
    expect((await installation.ok("show", ODD_ID)).stdout).toContain("warning: \ufffd[2J\nsecond line");
  });
});

describe("stdout that is read slowly, closed early or cannot be written", () => {
  async function piped(words: readonly string[], into: string) {
    const command = [...programWords(), ...words].map((word) => `'${word}'`).join(" ");
    const child = Bun.spawn(["bash", "-c", `${command} ${into}; echo \${PIPESTATUS[0]} >&2`], {
      env: { PATH: process.env["PATH"] ?? "", PG321_CONFIG: installation.configFile },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return (await new Response(child.stderr).text()).trimEnd();
  }

  beforeAll(() => insert(...Array.from({ length: 500 }, (_, index) => ({ database: `many_${index}` }))));

  test("a slow reader gets everything", async () => {
    const words = [...programWords(), "list", "-n", "1000", "--json"];
    const { text, code } = await readSlowly("stdout", words, { PG321_CONFIG: installation.configFile });
    expect(code).toBe(0);
    expect(text.length).toBeGreaterThan(100_000);
    expect(JSON.parse(text).backups.length).toBeGreaterThanOrEqual(500);
    const unknown = [...programWords(), "list", "--status", "x".repeat(100_000)];
    const refused = await readSlowly("stderr", unknown, { PG321_CONFIG: installation.configFile });
    expect(refused.code).toBe(2);
    expect(refused.text.length).toBeGreaterThan(100_000);
    expect(refused.text).toMatch(/interrupted\n$/);
  });

  test("a reader that closes the pipe early is not an error", async () => {
    for (const words of [["list", "-n", "1000", "--json"], ["list", "-n", "1000"], ["--help"]]) {
      expect(await piped(words, "| head -c 1")).toBe("0");
      expect(await piped(words, "| true")).toBe("0");
    }
  });

  test("a full disk is an error", async () => {
    expect(await piped(["list", "--json"], "> /dev/full")).toMatch(/^error: stdout: ENOSPC.*\n13$/);
  });
});

describe("check", () => {
  const SECRETS = {
    password: "hunter2-password",
    key: "AKIA-key-id",
    secret: "hunter2-secret-key",
    token: "hunter2-token",
    passphrase: "hunter2-passphrase",
  };
  const CONFIG = () => `
state_dir = "${installation.directory}/state"
[encryption]
recipients = ["${installation.recipient}"]
identity_file = "${installation.identityFile}"
identity_passphrase = "${SECRETS.passphrase}"
[[server]]
name = "main"
password = { env = "SECRET_PASSWORD" }
[[server]]
name = "other"
url = "postgres://u:${SECRETS.password}@h/d"
[[storage]]
name = "b2"
type = "s3"
provider = "backblaze-b2"
region = "us-east-005"
bucket = "backups"
access_key_id = "${SECRETS.key}"
secret_access_key = { file = "${installation.directory}/secret" }
session_token = "${SECRETS.token}"
[[storage]]
name = "disk"
type = "local"
path = "${installation.directory}/none"
`;

  async function check(text: string, mode: number, ...words: string[]) {
    const file = join(installation.directory, "check.toml");
    await writeFile(file, text);
    await chmod(file, mode);
    await writeFile(join(installation.directory, "secret"), SECRETS.secret);
    return runProgram(["check", "-c", file, ...words], { SECRET_PASSWORD: SECRETS.password });
  }

  test.each([[["--json"]], [[]]])("shows the settings in force, and no secret: %p", async (words) => {
    const { exitCode, stdout, stderr } = await check(CONFIG(), 0o600, ...words);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout.match(/\[secret\]/g)?.length).toBe(6);
    expect(stdout).toContain("https://s3.us-east-005.backblazeb2.com");
    for (const secret of Object.values(SECRETS)) expect(stdout).not.toContain(secret);
  });

  test("durations and sizes are printed in the units of the config, in JSON as numbers", async () => {
    const text = (await check(CONFIG(), 0o600)).stdout;
    expect(text).toContain("  stall_timeout = 5m\n");
    expect(text).toContain("  max_duration = no limit\n");
    const { json } = await check(CONFIG(), 0o600, "--json");
    expect(json.storage[0].stall_timeout_ms).toBe(300_000);
    expect(json.dump.max_duration_ms).toBe(0);
  });

  test("storages that do not meet 3-2-1 are warned about, with the next step", async () => {
    const { exitCode, stdout, stderr } = await check(
      CONFIG().split('[[storage]]\nname = "disk"')[0] ?? "",
      0o600,
      "--json",
    );
    expect(exitCode).toBe(0);
    const warning =
      /check\.toml: 3-2-1 is not met: 2 of 3 copies \(the live database is one\); add a \[\[storage\]\]: /;
    expect(JSON.parse(stdout).warnings).toEqual([expect.stringMatching(warning)]);
    expect(stderr).toMatch(warning);
  });

  test("a warning names a secret that others can read, with its line", async () => {
    const { exitCode, stdout, stderr } = await check(CONFIG(), 0o644, "--json");
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout).warnings).toHaveLength(4);
    expect(stderr).toMatch(
      / warning .*check\.toml:6: encryption\.identity_passphrase: a secret in a file that everyone/,
    );
    for (const secret of Object.values(SECRETS)) expect(stdout + stderr).not.toContain(secret);
  });

  test("all mistakes are reported at once, each with its line", async () => {
    const bad = CONFIG()
      .replace('region = "us-east-005"', 'regoin = "us-east-005"')
      .replace('type = "s3"', 'type = "s3"\nattempts = 0')
      .replace("[encryption]", '[compression]\nlevel = "high"\n[encryption]');
    const { exitCode, stdout, stderr } = await check(bad, 0o600);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/^error: 4 mistakes in the config\n/);
    expect(stderr).toMatch(/check\.toml:4: compression\.level: found "high"/);
    expect(stderr).toMatch(/check\.toml:18: storage\[0\]\.attempts: found 0/);
    expect(stderr).toMatch(/check\.toml:20: storage\[0\]\.regoin: .*did you mean "region"\?/);
    expect(stderr).toMatch(/storage\[0\]\.region: provider "backblaze-b2" needs a region/);
    expect(stderr).toEndWith("hint: config.example.toml explains every setting\n");
    for (const secret of Object.values(SECRETS)) expect(stderr).not.toContain(secret);
  });
});
