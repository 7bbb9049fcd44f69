import { durationText, rateText, sizeText } from "../../src/cli/output/output.ts";
import type { DaemonScene } from "./daemon.ts";
import { showDaemon } from "./daemon.ts";
import { compareWithSource, DATABASE, makeDatabase, makeRole, ROLE, ROLE_STATEMENTS } from "./database.ts";
import type { Narrator } from "./narrator.ts";
import { DemoError } from "./narrator.ts";
import type { Stage } from "./stage.ts";

/** The measurements for the summary. */
interface Measured {
  database_bytes: number;
  verify_ms: number;
  restore_ms: number;
}

/** Runs the demo up to the daemon, which is still running at the end. Throws if anything goes wrong. */
export async function tellStory(
  stage: Stage,
  narrator: Narrator,
  { scale, stay, signal }: { scale: number; stay: boolean; signal: AbortSignal },
): Promise<DaemonScene> {
  const database_bytes = await prepareServer(stage, narrator, scale);
  signal.throwIfAborted();
  await makeKeysAndConfig(stage, narrator);
  const verify_ms = await backUpAndVerify(stage, narrator);
  const restore_ms = await restoreAndCompare(stage, narrator);
  await testRestore(stage, narrator);
  signal.throwIfAborted();
  await damageAndRepair(stage, narrator);
  await sumUp(stage, narrator, { database_bytes, verify_ms, restore_ms });
  return showDaemon(stage, narrator, { stay, signal });
}

export async function prepareServer(stage: Stage, narrator: Narrator, scale: number): Promise<number> {
  const { address } = stage.postgres;
  await narrator.scene(
    "A server with something to lose",
    "A private PostgreSQL gets a database with every kind of object that a dump must contain (foreign keys, jsonb, bytea, arrays, partitions, identity, views, triggers, large objects, extensions, odd names), and a role for pg321 that can read all of it without being a superuser.",
  );
  const startedAtMs = performance.now();
  const bytes = await makeDatabase(address, scale);
  await makeRole(address, await newPassword(stage, "pg321.password"));
  await stage.write("postgres.password", address.password);
  await narrator.say(
    `server    127.0.0.1:${address.port}, data in ${address.data_dir}`,
    `database  ${DATABASE}, ${sizeText(bytes)} on disk, made in ${durationText(performance.now() - startedAtMs)}`,
    ...ROLE_STATEMENTS.map((statement, index) => `${index === 0 ? "role      " : "          "}${statement}`),
  );
  return bytes;
}

async function newPassword(stage: Stage, file: string): Promise<string> {
  const password = crypto.randomUUID();
  await stage.write(file, password);
  return password;
}

/** Makes keys and a config. `storages`: the tables of its storages, whose directories are made too. */
export async function makeKeysAndConfig(
  stage: Stage,
  narrator: Narrator,
  storages: string = TWO_DIRECTORIES,
): Promise<void> {
  await narrator.scene(
    "Keys and a config",
    "Backups are sealed to a public key, so nobody with access to a storage, not even a thief, can read them; the signing key proves later that a backup comes from this installation. The directories of storages must exist already: otherwise a share that is not mounted would look like an empty one.",
  );
  await stage.show("pg321 key generate --identity identity.txt --signing-key signing.key");
  const { recipients } = await stage.json(
    "pg321 key show --identity identity.txt --signing-key signing.key --json",
  );
  await stage.write("config.toml", configText(stage, recipients[0], storages));
  await narrator.say("");
  await stage.show("cat config.toml");
  await narrator.say("");
  const directories = [...storages.matchAll(/^path = "DIRECTORY\/(.+)"$/gm)].map(([, name]) => name);
  await stage.show(`mkdir -m 700 ${directories.join(" ")}`);
  await narrator.say("");
  await stage.show("pg321 check | sed '/storage/,$d'");
}

const TWO_DIRECTORIES = `[[storage]]
name = "disk"
type = "local"
path = "DIRECTORY/disk"
min_free = "100MiB"

[[storage]]
name = "share"
type = "local"
path = "DIRECTORY/share"
min_free = "100MiB"
off_site = true                # in this demo: mounted from another building

`;

function configText({ directory, postgres }: Stage, recipient: string, storages: string): string {
  return `state_dir = "${directory}/state"
timezone = "UTC"

[[server]]
name = "main"
host = "127.0.0.1"
port = ${postgres.address.port}
user = "${ROLE}"
password = { file = "${directory}/pg321.password" }
databases = ["${DATABASE}"]          # names or globs; default: all

${storages.replaceAll("DIRECTORY", directory)}[encryption]
recipients = ["${recipient}"]
identity_file = "${directory}/identity.txt"
signing_key_file = "${directory}/signing.key"
`;
}

async function backUpAndVerify(stage: Stage, narrator: Narrator): Promise<number> {
  await narrator.scene(
    "Back up",
    "The database is read once: dump, compress, seal, and write to both storages at the same time; a copy counts only when its storage has confirmed it. The globals of the server (its roles, with passwords and memberships) are backed up with it.",
  );
  await stage.show("pg321 backup");
  await narrator.say("");
  await stage.show("pg321 list");
  await narrator.say("");
  await stage.show("find disk share -type f -printf '%s bytes  %p\\n' | sort -k3");
  await narrator.scene(
    "Verify",
    "Reads every copy back in full and checks its manifest, its SHA-256 and every sealed segment, opened and decompressed.",
  );
  const { duration_ms } = await stage.show("pg321 verify");
  return duration_ms;
}

async function restoreAndCompare(stage: Stage, narrator: Narrator): Promise<number> {
  await narrator.scene(
    "Restore, next to the original",
    "A backup is worth only as much as its restore: here into a new database, as a superuser, because owners and rights are restored, too.",
  );
  const { duration_ms } = await stage.show(restoreCommand(stage, "shop_restored"));
  await narrator.say("");
  await compare(stage, narrator, "shop_restored");
  return duration_ms;
}

async function testRestore(stage: Stage, narrator: Narrator): Promise<void> {
  await narrator.scene(
    "Test the restore, as the schedule does",
    "A real restore into a private PostgreSQL that exists only for the test. The rows of every table are counted and compared with those counted in the dump's own snapshot; the time until the data was back is the recovery time.",
  );
  await stage.show("pg321 restore-test");
  await narrator.say("");
  const { backups } = await stage.json("pg321 list --json");
  await stage.show(`pg321 show ${String(backups[0].id).slice(0, 8)} | grep -E '^(rows|restore test)'`);
}

function restoreCommand({ postgres }: Stage, database: string): string {
  const target = `postgres://postgres@127.0.0.1:${postgres.address.port}/${database}`;
  return `pg321 restore latest -d ${DATABASE} --create \\\n    --target ${target} --password-file postgres.password`;
}

/** Throws unless the restored database is exactly the source. */
async function compare(stage: Stage, narrator: Narrator, restored: string): Promise<void> {
  const { differences, summary } = await compareWithSource(stage.postgres.address, restored);
  if (differences.length > 0) {
    const shown = differences.slice(0, 20).join("\n  ");
    throw new DemoError(`${restored} differs from ${DATABASE} in ${differences.length}:\n  ${shown}`);
  }
  const { tables, rows, sequences, large_objects, definitions } = summary;
  const equal = narrator.style.good("equal");
  const count = (value: number) => value.toLocaleString("en-US");
  await narrator.say(`${DATABASE} and ${restored}, compared on the server:`);
  await narrator.facts([
    [`${tables} tables, ${count(rows)} rows`, `${equal}: count and content hash of each table`],
    [`${sequences} sequences`, `${equal}: value and settings of each`],
    [`${large_objects} large objects`, `${equal}: content, owner and rights of each`],
    [`${definitions} definitions`, `${equal}: columns, constraints, indexes, functions, triggers, rights …`],
  ]);
}

async function damageAndRepair(stage: Stage, narrator: Narrator): Promise<void> {
  await narrator.scene(
    "Damage",
    "Disks fail. One byte changes in the middle of the copy that a restore reads first; the restore notices before PostgreSQL sees that byte, and continues from the other copy.",
  );
  await stage.show(await flipByteCommand(stage, "disk"));
  await narrator.say("");
  await stage.show(restoreCommand(stage, "shop_after_damage"));
  await narrator.say("");
  await compare(stage, narrator, "shop_after_damage");
  await narrator.scene(
    "Find and repair it",
    "verify names the damaged copy and ends with 14, which monitoring sees; repair replaces it from the good copy, still sealed and without PostgreSQL.",
  );
  const { exitCode } = await stage.show("pg321 verify", 14);
  await narrator.say(narrator.style.dim(`(exit ${exitCode})`), "");
  await stage.show("pg321 repair");
  await narrator.say("");
  await stage.show("pg321 verify");
}

/** A command that changes one byte in the middle of a storage's copy. */
export async function flipByteCommand(stage: Stage, storage: string): Promise<string> {
  const [file] = await stage.sealedDumps(storage);
  if (file === undefined) throw new DemoError(`no sealed dump in ${storage}`);
  const content = Bun.file(stage.path(file));
  const middle = Math.floor(content.size / 2);
  const [byte = 0] = await content.slice(middle, middle + 1).bytes();
  const octal = (byte ^ 1).toString(8).padStart(3, "0");
  return `printf '\\${octal}' | dd conv=notrunc bs=1 seek=${middle} status=none \\\n    of=${file}`;
}

async function sumUp(stage: Stage, narrator: Narrator, measured: Measured): Promise<void> {
  const { backups } = await stage.json("pg321 list --json");
  const { dump_bytes, object_bytes, duration_ms } = backups[0];
  const ratio = (dump_bytes / object_bytes).toFixed(1);
  await narrator.scene(
    "Sizes, times and rates",
    "Measured on this machine with a small database; rates count the bytes of the uncompressed dump.",
  );
  const timed = (ms: number, bytes = dump_bytes) => `${durationText(ms)}, ${rateText(bytes, ms)}`;
  await narrator.facts([
    ["database on disk", sizeText(measured.database_bytes)],
    ["uncompressed dump", sizeText(dump_bytes)],
    ["stored, each copy", `${sizeText(object_bytes)}: compressed ${ratio} times, and sealed`],
    ["backup, two copies", timed(duration_ms)],
    ["verify, two copies", timed(measured.verify_ms, 2 * dump_bytes)],
    ["restore", timed(measured.restore_ms)],
  ]);
}
