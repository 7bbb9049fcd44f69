/**
 * `bun scripts/make-release-fixture.ts EXECUTABLE`: writes `test/releases/VERSION.tar.gz`, an installation that a released
 * version left behind: config, keys, catalog, and a local storage with its sealed files. Every later version must open it
 * (`test/releases.test.ts`). Run it with the executable of a release, once; fixtures that exist stay as they are.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sql } from "postgres";
import { fillSampleDatabase } from "../test/lab/data/sample-database.ts";
import { tableDigests } from "../test/lab/data/table-digests.ts";
import { connectTo, type PostgresAddress, startPostgres } from "../test/lab/servers/postgres.ts";

const DIRECTORY = join(import.meta.dir, "../test/releases");
/** In the config of a fixture, instead of the directory that it was made in. */
const PLACE = "@directory@";

async function run(words: readonly string[], env: Record<string, string>): Promise<string> {
  const child = Bun.spawn([...words], {
    env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: exit ${exitCode}\n${stdout}${stderr}`);
  return stdout;
}

async function inDatabase<T>(
  address: PostgresAddress,
  database: string,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const sql = connectTo(address, database);
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

async function makeFixture(executable: string): Promise<string> {
  const version = /^pg321 (\S+)/.exec(await run([executable, "--version"], {}))?.[1];
  if (!version) throw new Error(`${executable} prints no version`);
  const path = join(DIRECTORY, `${version}.tar.gz`);
  if (existsSync(path)) throw new Error(`${path} exists: the fixture of a release never changes`);
  const directory = await mkdtemp(join(tmpdir(), "pg321-release-"));
  try {
    await using server = await startPostgres();
    await inDatabase(server.address, "postgres", (sql) =>
      sql.unsafe("create database shop template template0"),
    );
    await inDatabase(server.address, "shop", (sql) => fillSampleDatabase(sql, 0.002));
    const configFile = join(directory, "config.toml");
    const pg321 = (...words: string[]) => run([executable, ...words], { PG321_CONFIG: configFile });
    const keys = [
      "--identity",
      join(directory, "identity.txt"),
      "--signing-key",
      join(directory, "signing.key"),
    ];
    const { recipient } = JSON.parse(await pg321("key", "generate", ...keys, "--json"));
    await mkdir(join(directory, "disk"));
    const config = configText(directory, recipient, server.address);
    await writeFile(configFile, config);
    await pg321("backup");
    await pg321("backup");
    await pg321("verify");
    await pg321("cleanup");
    const { backups } = JSON.parse(await pg321("list", "--json"));
    await pg321("hold", backups[0].id);
    const list = await pg321("list", "--json");
    await writeFile(join(directory, "list.json"), list);
    const tables = await inDatabase(server.address, "shop", tableDigests);
    await writeFile(join(directory, "tables.json"), JSON.stringify(tables, null, 2));
    await writeFile(configFile, (await readFile(configFile, "utf8")).replaceAll(directory, PLACE));
    await mkdir(DIRECTORY, { recursive: true });
    await run(
      ["tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf", path, "-C", directory, "."],
      {},
    );
    return path;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function configText(
  directory: string,
  recipient: string,
  { port, user, password }: { port: number; user: string; password: string },
): string {
  return `state_dir = "${directory}/state"
[encryption]
mode = "age"
recipients = ["${recipient}"]
identity_file = "${directory}/identity.txt"
signing_key_file = "${directory}/signing.key"
[[server]]
name = "main"
host = "127.0.0.1"
port = ${port}
user = "${user}"
password = "${password}"
databases = ["shop"]
[[storage]]
name = "disk"
type = "local"
path = "${directory}/disk"
min_free = "1MiB"
`;
}

const [executable] = process.argv.slice(2);
if (!executable) throw new Error("expected: bun scripts/make-release-fixture.ts EXECUTABLE");
console.log(await makeFixture(executable));
