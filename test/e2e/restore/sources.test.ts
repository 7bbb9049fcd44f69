import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage, programWords, runProgram } from "../../lab/installation.ts";
import { cutTo, flipped, flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import { compareByName, databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";

/** The ways to make a backup, and what is needed to open it. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const storages = (directory: string) => ["a", "b"].map((name) => localStorage(name, directory));
let source: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 3);
});

function install(options: Partial<Parameters<typeof Installation.make>[0]> = {}): Promise<Installation> {
  return Installation.make({ postgres: postgres.address, databases: [source], storages, ...options });
}

async function backUp(installation: Installation): Promise<{ id: string; copies: LocalCopies }> {
  const id = await installation.backUp();
  return { id, copies: new LocalCopies(installation, id) };
}

async function expectEqual(name: string): Promise<void> {
  const { differences } = await compareByName(postgres, source, name);
  expect(differences).toEqual([]);
}

const COMPRESSIONS = [
  ["zstd", 'algorithm = "zstd"\nlevel = 1', ".dump.zst"],
  ["gzip", 'algorithm = "gzip"\nlevel = 1', ".dump.gz"],
  ["none", 'algorithm = "none"', ".dump"],
] as const;

describe.each(COMPRESSIONS)("compression %s", (_, settings, suffix) => {
  test.each(["age", "none"] as const)("with encryption %s is restored unchanged", async (encryption) => {
    await using installation = await install({ encryption, more: `[compression]\n${settings}` });
    const { id, copies } = await backUp(installation);
    expect(copies.object("a")).toEndWith(encryption === "age" ? `${suffix}.enc` : suffix);
    const [target, second] = [postgres.newName(), postgres.newName()];
    await installation.ok("restore", id, "-t", `main/${target}`, "--create");
    await expectEqual(target);
    copies.damage("a", flippedInTheMiddle);
    const again = await installation.run("restore", id, "-t", `main/${second}`, "--create", "-j", "2");
    expect({ exitCode: again.exitCode, stderr: again.stderr }).toMatchObject({ exitCode: 0 });
    await expectEqual(second);
    expect(await installation.temporaryFiles()).toEqual([]);
  });
});

describe("an unencrypted backup is read completely before PostgreSQL sees any of it", () => {
  let installation: Installation;
  let backup: { id: string; copies: LocalCopies };
  beforeAll(async () => {
    installation = await install({ encryption: "none" });
    backup = await backUp(installation);
  });
  afterAll(() => installation[Symbol.asyncDispose]());

  test.each([
    ["a flipped bit at its end", flipped(-1)],
    ["a flipped bit in its middle", flippedInTheMiddle],
    ["a cut end", cutTo(-1)],
    ["an added byte", (bytes: Buffer) => Buffer.concat([bytes, Buffer.from([0])])],
    ["another file", () => Buffer.from("something else")],
  ])("%s: in one copy, the other is used; in both, exit 14 and no database", async (_, damage) => {
    const { id, copies } = backup;
    copies.damage("a", damage);
    const target = postgres.newName();
    const healed = await installation.run("restore", id, "-t", `main/${target}`, "--create");
    expect({ exitCode: healed.exitCode, stderr: healed.stderr }).toMatchObject({ exitCode: 0 });
    expect(healed.stderr).toMatch(/warning a copy cannot be read.*storage=a/);
    await expectEqual(target);
    copies.damage("b", damage);
    const refused = postgres.newName();
    const { exitCode, stderr } = await installation.run("restore", id, "-t", `main/${refused}`, "--create");
    copies.heal();
    await installation.ok("verify", id);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 14 });
    // The copy that the previous restore found damaged comes last.
    expect(stderr).toMatch(/no copy can be read: b: .* is damaged: .*; a: .* is damaged: /);
    expect(await databaseNames(postgres)).not.toContain(refused);
    expect(await installation.temporaryFiles()).toEqual([]);
  });
});

describe("keys", () => {
  async function newIdentity(directory: string, name: string, passphrase?: string): Promise<string> {
    const words = [
      "--identity",
      join(directory, `${name}.txt`),
      "--signing-key",
      join(directory, `${name}.key`),
    ];
    const passwordFile = join(directory, `${name}.passphrase`);
    if (passphrase !== undefined) writeFileSync(passwordFile, `${passphrase}\n`, { mode: 0o600 });
    const more = passphrase === undefined ? [] : ["--passphrase-file", passwordFile];
    const ended = await runProgram(["key", "generate", ...words, ...more, "--json"], {});
    if (ended.exitCode !== 0) throw new Error(ended.stderr);
    return ended.json.recipient;
  }

  test("each of several recipients opens a backup alone; another identity or none does not", async () => {
    await using installation = await install();
    const { directory } = installation;
    const second = await newIdentity(directory, "second");
    await newIdentity(directory, "stranger");
    await installation.configure({ recipients: [installation.recipient, second] });
    const { id } = await backUp(installation);
    const restoreWith = async (identity: string) => {
      const config = readFileSync(installation.configFile, "utf8");
      writeFileSync(
        installation.configFile,
        config.replace(/^identity_file = .*$/m, `identity_file = "${identity}"`),
      );
      const target = postgres.newName();
      const { exitCode, stderr } = await installation.run("restore", id, "-t", `main/${target}`, "--create");
      return { exitCode, stderr, target };
    };
    for (const identity of [installation.identityFile, join(directory, "second.txt")]) {
      const { exitCode, stderr, target } = await restoreWith(identity);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
      await expectEqual(target);
    }
    for (const [identity, message] of [
      [join(directory, "stranger.txt"), /none of the given identities opens this backup/],
      [join(directory, "missing.txt"), /no identity file at .*missing\.txt/],
      [join(directory, "config.toml"), /identity file: /],
    ] as const) {
      const { exitCode, stderr, target } = await restoreWith(identity);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 12 });
      expect(stderr).toMatch(message);
      expect(stderr).toMatch(/\nhint: /);
      expect(await databaseNames(postgres)).not.toContain(target);
    }
    const dump = join(directory, "out.dump");
    expect((await installation.run("restore", id, "--output", dump)).exitCode).toBe(12);
  });

  test("a host without the signing key restores only backups of signers in the identity file", async () => {
    await using installation = await install();
    const { id } = await backUp(installation);
    rmSync(join(installation.directory, "signing.key"));
    const [target, refused] = [postgres.newName(), postgres.newName()];
    await installation.ok("restore", id, "-t", `main/${target}`, "--create");
    await expectEqual(target);
    const identity = readFileSync(installation.identityFile, "utf8");
    writeFileSync(installation.identityFile, identity.replace(/^# signer: .*\n/m, ""));
    const { exitCode, stderr } = await installation.run("restore", id, "-t", `main/${refused}`, "--create");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 12 });
    expect(stderr).toMatch(/is not a trusted signer\nhint: .*# signer: /);
    expect(await databaseNames(postgres)).not.toContain(refused);
  });

  test("the passphrase of an identity is read from a file; a wrong one opens nothing", async () => {
    await using installation = await install();
    const { directory } = installation;
    const recipient = await newIdentity(directory, "locked", "correct horse");
    const identity = join(directory, "locked.txt");
    expect(readFileSync(identity, "utf8")).toStartWith("-----BEGIN AGE ENCRYPTED FILE-----");
    await installation.configure({ recipients: [recipient] });
    const { id } = await backUp(installation);
    const restoreWith = async (passphrase: string | undefined) => {
      const file = join(directory, "passphrase");
      if (passphrase !== undefined) writeFileSync(file, passphrase, { mode: 0o600 });
      const encryptionMore = passphrase === undefined ? "" : `identity_passphrase = { file = "${file}" }`;
      await installation.configure({ encryptionMore });
      const config = readFileSync(installation.configFile, "utf8");
      writeFileSync(
        installation.configFile,
        config.replace(/^identity_file = .*$/m, `identity_file = "${identity}"`),
      );
      const target = postgres.newName();
      const { exitCode, stderr } = await installation.run("restore", id, "-t", `main/${target}`, "--create");
      return { exitCode, stderr, target };
    };
    const { exitCode, stderr, target } = await restoreWith("correct horse\n");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    await expectEqual(target);
    const wrong = await restoreWith("wrong horse\n");
    expect(wrong.exitCode).toBe(12);
    expect(wrong.stderr).toContain("identity file: the passphrase does not open it\nhint: ");
    expect(wrong.stderr).not.toContain("wrong horse");
    const none = await restoreWith(undefined);
    expect(none.exitCode).toBe(12);
    expect(none.stderr).toContain(
      "protected by a passphrase, and none was given\nhint: set encryption.identity_passphrase",
    );
  });
});

describe("without catalog and config", () => {
  const unsealPy = join(import.meta.dir, "../../../contrib/unseal.py");
  let installation: Installation;
  let copies: LocalCopies;
  beforeAll(async () => {
    installation = await install();
    copies = (await backUp(installation)).copies;
  });
  afterAll(() => installation[Symbol.asyncDispose]());

  function shell(script: string, ...args: string[]) {
    const env = { PATH: process.env["PATH"] ?? "", PGDATABASE: "", HOME: tmpdir() };
    return Bun.spawnSync(["bash", "-c", `set -o pipefail; ${script}`, "bash", ...args], { env });
  }

  test.each([
    ["zstd", 'algorithm = "zstd"', "zstd -dc"],
    ["gzip", 'algorithm = "gzip"', "gzip -dc"],
  ])("unseal.py, stock %s and stock pg_restore restore a backup", async (_, settings, program) => {
    await using one = await install({ more: `[compression]\n${settings}` });
    const object = (await backUp(one)).copies.object("a");
    const target = await postgres.createDatabase();
    const pgRestore = join(postgres.address.bin_dir, "pg_restore");
    const url = postgres.url(target);
    const script = `"$1" -i "$2" "$3" | ${program} | "$4" --exit-on-error -d "$5"`;
    const run = shell(script, unsealPy, one.identityFile, object, pgRestore, url);
    expect({ exitCode: run.exitCode, stderr: run.stderr.toString() }).toMatchObject({ exitCode: 0 });
    await expectEqual(target);
  });

  /** Only the program, the file and the identity: no PG321_CONFIG, and an empty HOME. */
  async function unseal(words: string[], stdin?: Buffer) {
    const child = Bun.spawn([...programWords(), "unseal", ...words, "-i", installation.identityFile], {
      env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" },
      stdin: stdin ?? "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
    return { exitCode: await child.exited, stdout: Buffer.from(stdout), stderr };
  }

  test("pg321 unseal writes the dump from a file and from stdin, for stock pg_restore", async () => {
    const object = copies.object("a");
    const fromFile = await unseal([object]);
    expect({ exitCode: fromFile.exitCode, stderr: fromFile.stderr }).toMatchObject({ exitCode: 0 });
    expect(fromFile.stderr).toContain(`main/${source}`);
    const fromStdin = await unseal(["-"], readFileSync(object));
    expect(fromStdin.exitCode).toBe(0);
    expect(fromStdin.stdout.equals(fromFile.stdout)).toBe(true);
    const raw = await unseal([object, "--compressed"]);
    expect(Buffer.from(Bun.zstdDecompressSync(raw.stdout)).equals(fromFile.stdout)).toBe(true);

    const target = await postgres.createDatabase();
    const file = join(installation.directory, "unsealed.dump");
    writeFileSync(file, fromFile.stdout);
    const run = shell(
      `"$1" -e -d "$2" "$3"`,
      join(postgres.address.bin_dir, "pg_restore"),
      postgres.url(target),
      file,
    );
    expect({ exitCode: run.exitCode, stderr: run.stderr.toString() }).toMatchObject({ exitCode: 0 });
    await expectEqual(target);
  });

  test.each([
    ["its header", flipped(40), 14],
    ["its first segment", flipped(5_000), 14],
    ["its middle", flippedInTheMiddle, 14],
    ["its end", flipped(-1), 14],
    ["its length", cutTo(-1_000_000), 14],
  ])("damage of %s: exit 14, and only authentic plaintext before it", async (_, damage, code) => {
    const object = readFileSync(copies.object("a"));
    const whole = (await unseal(["-", "--compressed"], object)).stdout;
    const damagedObject = damage(Buffer.from(object));
    const { exitCode, stdout, stderr } = await unseal(["-", "--compressed"], damagedObject);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: code });
    expect(stderr).toMatch(/error: sealed file: .*\nhint: /);
    expect(stdout.length).toBeLessThan(whole.length);
    expect(whole.subarray(0, stdout.length).equals(stdout)).toBe(true);
    expect((await unseal(["-"], damagedObject)).exitCode).toBe(code);
  });

  test("a file named like another backup is refused, whoever put it there", async () => {
    const [object, newer] = [copies.object("a"), (await backUp(installation)).copies.object("a")];
    const swapped = join(installation.directory, basename(newer));
    copyFileSync(object, swapped);
    const refused = await unseal([swapped]);
    expect({ exitCode: refused.exitCode, bytes: refused.stdout.length }).toEqual({ exitCode: 14, bytes: 0 });
    expect(refused.stderr).toMatch(/another backup than its name says: .*\nhint: .*standard input/);
    const byHand = shell(`"$1" -i "$2" "$3"`, unsealPy, installation.identityFile, swapped);
    expect({ exitCode: byHand.exitCode, bytes: byHand.stdout.length }).toEqual({ exitCode: 1, bytes: 0 });
    expect((await unseal(["-"], readFileSync(swapped))).exitCode).toBe(0);
    const own = join(installation.directory, "renamed by hand.enc");
    copyFileSync(object, own);
    expect((await unseal([own])).exitCode).toBe(0);
  });

  test("an invalid --signer is a usage error", async () => {
    const refused = await unseal([copies.object("a"), "--signer", "AAAA"]);
    expect({ exitCode: refused.exitCode, bytes: refused.stdout.length }).toEqual({ exitCode: 2, bytes: 0 });
  });

  test("a wrong identity, a missing file, or a file that is not sealed: no byte is written", async () => {
    await using other = await install();
    const object = copies.object("a");
    const run = (...words: string[]) => runProgram(["unseal", ...words], { PG321_CONFIG: "/nonexistent" });
    const wrong = await run(object, "-i", other.identityFile);
    expect({ exitCode: wrong.exitCode, stdout: wrong.stdout }).toEqual({ exitCode: 12, stdout: "" });
    expect(wrong.stderr).toMatch(/error: .*\nhint: /);
    const missing = await run("/no/such.enc", "-i", installation.identityFile);
    expect({ exitCode: missing.exitCode, stdout: missing.stdout }).toEqual({ exitCode: 13, stdout: "" });
    const plain = await run(installation.configFile, "-i", installation.identityFile);
    expect({ exitCode: plain.exitCode, stdout: plain.stdout }).toEqual({ exitCode: 14, stdout: "" });
    const noIdentity = await run(object, "-i", "/no/identity.txt");
    expect({ exitCode: noIdentity.exitCode, stdout: noIdentity.stdout }).toEqual({
      exitCode: 12,
      stdout: "",
    });
  });
});
