import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { contentsOf } from "../../lab/data/compare-databases.ts";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { fillSampleDatabase } from "../../lab/data/sample-database.ts";
import { Installation, localStorage, programWords } from "../../lab/installation.ts";
import { flipped, LocalCopies } from "../../lab/local-copies.ts";
import { watched } from "../../lab/machine/running.ts";
import { compareByName, databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";

/** Parts of a backup, parallel jobs, a file instead of a database, and dry runs. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let backupId: string;
let copies: LocalCopies;
/** pg_restore --list of a plain file. */
let pgRestore: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  await fillSampleDatabase(sql, 0.02);
  await fillNoiseDatabase(sql, 16);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backupId = await installation.backUp();
  copies = new LocalCopies(installation, backupId);
  pgRestore = join(postgres.address.bin_dir, "pg_restore");
});
afterAll(() => installation[Symbol.asyncDispose]());

const tempFiles = () => installation.temporaryFiles();

async function relationsOf(database: string): Promise<string[]> {
  const { facts } = await contentsOf(postgres.connect(database));
  return [...facts.keys()]
    .filter((name) => name.startsWith("rows "))
    .map((name) => name.slice("rows ".length));
}

describe("a selection", () => {
  test("of tables leaves the rest out", async () => {
    const target = await postgres.createDatabase();
    await postgres.connect(target).unsafe("create schema log; create table log.mine ()").simple();
    const words = ["--into-existing", "--table", "small", "--table", "session", "--table", "notes"];
    await installation.ok("restore", backupId, "--target", `main/${target}`, ...words);
    expect((await relationsOf(target)).sort()).toEqual([
      "log.mine",
      "public.notes",
      "public.small",
      "shop.session",
    ]);
  });

  test("ends as soon as pg_restore has all it needs, even if the rest is damaged", async () => {
    // The data of "Odd.Table" comes first: nothing after it needs to be read.
    copies.damage("disk", flipped(-1));
    try {
      const target = await postgres.createDatabase();
      await installation.ok("restore", backupId, "--target", `main/${target}`, "--table", 'Odd.Table "x"');
      expect(await relationsOf(target)).toEqual(['"Mixed Case"."Odd.Table ""x"""']);
    } finally {
      copies.heal();
    }
  });

  test("of schemas, with parallel jobs", async () => {
    const target = await postgres.createDatabase();
    const words = ["--schema", "log", "--schema", "Mixed Case", "--jobs", "2"];
    await installation.ok("restore", backupId, "--target", `main/${target}`, ...words);
    const { differences } = await compareByName(postgres, source, target);
    const selected = differences.filter((line) => /\blog\.|Mixed Case/.test(line.split(": ")[0] ?? ""));
    expect(selected).toEqual([]);
    expect((await relationsOf(target)).filter((name) => !/^log\.|^"Mixed Case"\./.test(name))).toEqual([]);
  });

  test.each(["--schema", "--table"])(
    "%s of something that the backup does not contain is an error",
    async (option) => {
      const target = await postgres.createDatabase();
      const { exitCode, stderr } = await installation.run(
        "restore",
        backupId,
        "-t",
        `main/${target}`,
        option,
        "no such",
      );
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 2 });
      expect(stderr).toMatch(/no such/);
      expect(stderr).toMatch(/hint: /);
    },
  );
});

describe("parallel jobs", () => {
  test("restore the same, using a private file that is removed afterwards", async () => {
    const target = postgres.newName();
    const child = watched(
      installation.start("restore", backupId, "-t", `main/${target}`, "--create", "-j", "4"),
    );
    const tmp = join(installation.directory, "state/tmp");
    const spools = () => readdirSync(tmp).filter((name) => name.startsWith("pg321-spool-"));
    await child.until("it spools", () => spools().some((name) => existsSync(join(tmp, name, "spool"))));
    for (const name of spools()) {
      expect(statSync(join(tmp, name)).mode & 0o777).toBe(0o700);
      expect(statSync(join(tmp, name, "spool")).mode & 0o777).toBe(0o600);
    }
    expect(await child.ended).toMatchObject({ exitCode: 0 });
    const { differences } = await compareByName(postgres, source, target);
    expect(differences).toEqual([]);
    expect(await tempFiles()).toEqual([]);
  });

  test("leave no file if the restore fails", async () => {
    const target = await postgres.createDatabase();
    await postgres.connect(target).unsafe("create schema shop");
    const words = ["--into-existing", "-j", "2"];
    const { exitCode, stderr } = await installation.run(
      "restore",
      backupId,
      "-t",
      `main/${target}`,
      ...words,
    );
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
    expect(stderr).toContain('schema "shop" already exists');
    expect(await tempFiles()).toEqual([]);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("leave no file on %s", async (signal, exitCode) => {
    const child = watched(
      installation.start("restore", backupId, "-t", `main/${postgres.newName()}`, "--create", "-j", "2"),
    );
    await child.until("it spools", async () => (await tempFiles()).some((name) => name.endsWith("/spool")));
    child.kill(signal);
    expect(await child.ended).toMatchObject({ exitCode, stdout: "" });
    expect(child.stderr()).not.toContain("    at ");
    expect(await tempFiles()).toEqual([]);
  });

  test("a file left by kill -9 is removed by the next job", async () => {
    const child = watched(
      installation.start("restore", backupId, "-t", `main/${postgres.newName()}`, "--create", "-j", "2"),
    );
    await child.until("it spools", async () => (await tempFiles()).some((name) => name.endsWith("/spool")));
    child.kill("SIGKILL");
    await child.ended;
    expect(await tempFiles()).toHaveLength(1);
    await installation.ok("verify", backupId);
    expect(await tempFiles()).toEqual([]);
  });
});

describe("--output", () => {
  test("writes a private file that stock pg_restore reads", async () => {
    const file = join(installation.directory, "plain.dump");
    await installation.ok("restore", backupId, "--output", file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const target = await postgres.createDatabase();
    const url = postgres.url(target);
    const run = Bun.spawn([pgRestore, "--exit-on-error", `--dbname=${url}`, file], { stderr: "inherit" });
    expect(await run.exited).toBe(0);
    expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  });

  test("never overwrites a file, and says so before it reads anything", async () => {
    const file = join(installation.directory, "mine.txt");
    writeFileSync(file, "mine");
    copies.remove(copies.object("disk"));
    try {
      const { exitCode, stderr } = await installation.run("restore", backupId, "--output", file);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 2 });
      expect(stderr).toContain(`${file}: exists already`);
      expect(await Bun.file(file).text()).toBe("mine");
    } finally {
      copies.heal();
    }
  });

  test.each([
    ["a damaged backup", 14, () => copies.damage("disk", flipped(-1))],
    ["a missing one", 13, () => copies.remove(copies.object("disk"))],
  ])("of %s leaves no file", async (_, exitCode, damage) => {
    damage();
    try {
      const file = join(installation.directory, "broken.dump");
      expect((await installation.run("restore", backupId, "--output", file)).exitCode).toBe(exitCode);
      expect(readdirSync(installation.directory).filter((name) => name.includes("broken"))).toEqual([]);
    } finally {
      copies.heal();
    }
  });

  test("into a missing directory: exit 13", async () => {
    const { exitCode, stderr } = await installation.run(
      "restore",
      backupId,
      "--output",
      "/no/such/dir/x.dump",
    );
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 13 });
    expect(stderr).toMatch(/error: \/no\/such\/dir\/x\.dump: .*\nhint: /);
  });

  const piped = (tail: string) => {
    const words = [...programWords(), "restore", backupId, "--output", "-"];
    const quoted = words.map((word) => `'${word}'`).join(" ");
    return Bun.spawn(["bash", "-c", `set -o pipefail; ${quoted} | ${tail}; echo "\${PIPESTATUS[*]}" >&2`], {
      env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir(), PG321_CONFIG: installation.configFile },
      stdio: ["ignore", "pipe", "pipe"],
    });
  };

  test("- writes the whole dump to a pipe", async () => {
    const list = piped(`'${pgRestore}' --list`);
    expect(await new Response(list.stdout).text()).toContain("TABLE DATA shop Order");
    const sizes = piped("wc -c");
    const { backups } = (await installation.ok("list", "--json")).json;
    expect(Number(await new Response(sizes.stdout).text())).toBe(backups[0].dump_bytes);
  });

  test("- into a reader that stops early ends quietly", async () => {
    const head = piped("head -c 10");
    const [bytes, stderr] = [await new Response(head.stdout).text(), await new Response(head.stderr).text()];
    expect(bytes).toStartWith("PGDMP");
    expect(stderr).not.toContain("a bug in pg321");
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stderr.trim()).not.toStartWith("0 ");
  });
});

test("--dry-run changes nothing, neither in the target nor on disk", async () => {
  const target = await postgres.createDatabase();
  const before = await contentsOf(postgres.connect(target));
  const made = postgres.newName();
  const { json } = await installation.ok("restore", backupId, "-t", `main/${target}`, "--dry-run", "--json");
  expect(json).toMatchObject({
    dry_run: true,
    lacks: [],
    target_contents: [],
    obstacle: null,
    errors_ignored: 0,
  });
  expect(
    (await installation.ok("restore", backupId, "-t", `main/${made}`, "--create", "--dry-run")).stdout,
  ).toContain("nothing prevents the restore");
  expect(await databaseNames(postgres)).not.toContain(made);
  expect((await contentsOf(postgres.connect(target))).facts).toEqual(before.facts);
  expect(await tempFiles()).toEqual([]);
});

test("an error of pg_restore is fatal; with --keep-going it is counted, and the exit code is 3", async () => {
  const target = await postgres.createDatabase();
  await postgres.connect(target).unsafe("create table small (other int)");
  const run = (...words: string[]) =>
    installation.run("restore", backupId, "-t", `main/${target}`, "--into-existing", ...words);
  const fatal = await run();
  expect({ exitCode: fatal.exitCode, stderr: fatal.stderr }).toMatchObject({ exitCode: 10 });
  expect(fatal.stderr).toContain('relation "small" already exists');
  expect(fatal.stderr).toMatch(/hint: .*nothing of database ".*" was changed/);
  const going = await run("--keep-going", "--json");
  expect(going.exitCode).toBe(3);
  expect(going.json).toMatchObject({ outcome: "PARTIAL" });
  expect(going.json.errors_ignored).toBeGreaterThan(0);
});
