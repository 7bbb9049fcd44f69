import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BackupNames } from "../../../src/sealed/metadata.ts";
import { seal } from "../../../src/sealed/seal.ts";
import type { SigningKey } from "../../../src/sealed/signing-key.ts";
import { generateSigningKey } from "../../../src/sealed/signing-key.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { LocalCopies, payloadOffset } from "../../lab/local-copies.ts";
import { databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";

/** Files that somebody with write access to every storage could put in place of a backup. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let copies: LocalCopies;
let backup: { id: string; started_at: string };
let other: { id: string; path: string };
let stranger: { object: Buffer };

beforeAll(async () => {
  const [database, second] = [await postgres.createDatabase(), await postgres.createDatabase()];
  source = database;
  for (const name of [database, second]) await postgres.connect(name)`create table t as select 1 as i`;
  const options = {
    postgres: postgres.address,
    databases: [database, second],
    storages: (directory: string) => ["a", "b"].map((name) => localStorage(name, directory)),
  };
  installation = await Installation.make(options);
  const { backups } = (await installation.ok("backup", "--json")).json;
  const idOf = (name: string): string =>
    backups.find((one: { database: string }) => one.database === name).backup_id;
  const { json } = await installation.ok("show", idOf(database), "--json");
  backup = { id: idOf(database), started_at: json.manifest.started_at };
  copies = new LocalCopies(installation, backup.id);
  other = { id: idOf(second), path: new LocalCopies(installation, idOf(second)).object("a") };

  await using elsewhere = await Installation.make({ ...options, databases: [database] });
  await elsewhere.configure({ recipients: [installation.recipient] });
  const foreign = await elsewhere.backUp();
  stranger = { object: readFileSync(new LocalCopies(elsewhere, foreign).object("a")) };
});
afterEach(() => copies.heal());
afterAll(() => installation[Symbol.asyncDispose]());

async function restore(...words: string[]) {
  const name = postgres.newName(source);
  const target = ["--target", `main/${name}`, "--create"];
  const { exitCode, stderr } = await installation.run("restore", backup.id, ...target, ...words);
  return { exitCode, stderr, name };
}

/** A sealed file with a real dump and the same metadata as the backup. */
async function sealed(signingKey: SigningKey, signer = signingKey.signer): Promise<Buffer> {
  const file = join(installation.directory, `${randomUUID()}.dump`);
  await installation.ok("restore", backup.id, "--output", file);
  const names: BackupNames = {
    installation: signingKey.installation,
    server: "main",
    database: source,
    backup_id: backup.id,
    kind: "dump",
    started_at: backup.started_at,
    compression: "zstd",
  };
  const payload = (async function* () {
    yield Bun.zstdCompressSync(readFileSync(file));
  })();
  const key = { ...signingKey, signer, sign: signingKey.sign.bind(signingKey) } as unknown as SigningKey;
  return Buffer.concat(
    await Array.fromAsync(seal(payload, names, { recipients: [installation.recipient], signingKey: key })),
  );
}

function ourInstallation() {
  const identity = readFileSync(installation.identityFile, "utf8");
  return {
    id: /^# installation: (.*)$/m.exec(identity)?.[1] as string,
    signer: /^# signer: (.*)$/m.exec(identity)?.[1] as string,
  };
}

const FORGERIES: [string, 12 | 14, string, () => Promise<Buffer>][] = [
  [
    "sealed to our recipient by somebody else, under our names",
    12,
    "not a trusted signer",
    async () => sealed(generateSigningKey(ourInstallation().id)),
  ],
  [
    "the same, claiming our signer",
    14,
    "the signature does not match",
    async () => sealed(generateSigningKey(ourInstallation().id), ourInstallation().signer),
  ],
  [
    "a backup of another installation to our recipient",
    12,
    "not a trusted signer",
    async () => stranger.object,
  ],
  ["another backup of ours", 14, "was expected", async () => readFileSync(other.path)],
  [
    "our header on the payload of another backup of ours",
    14,
    "segment 0",
    async () => {
      const [ours, others] = [readFileSync(copies.object("a")), readFileSync(other.path)];
      return Buffer.concat([ours.subarray(0, payloadOffset(ours)), others.subarray(payloadOffset(others))]);
    },
  ],
  [
    "the header of another backup of ours on our payload",
    14,
    "was expected",
    async () => {
      const [ours, others] = [readFileSync(copies.object("a")), readFileSync(other.path)];
      return Buffer.concat([others.subarray(0, payloadOffset(others)), ours.subarray(payloadOffset(ours))]);
    },
  ],
  [
    "a plain dump",
    14,
    "does not begin like a file sealed by pg321",
    async () => Buffer.from("PGDMP\x01\x0e\x00"),
  ],
];

describe.each(FORGERIES)("%s", (_, exitCode, message, forge) => {
  test(`in every storage: exit ${exitCode} before the first SQL`, async () => {
    const object = await forge();
    for (const storage of ["a", "b"]) copies.damage(storage, () => object);
    for (const words of [[], ["--jobs", "2"]]) {
      const restored = await restore(...words);
      expect(restored.exitCode).toBe(exitCode);
      expect(restored.stderr).toContain(message);
      expect(restored.stderr).toContain("hint: ");
      expect(await databaseNames(postgres)).not.toContain(restored.name);
    }
    const output = join(installation.directory, "forged.dump");
    expect((await installation.run("restore", backup.id, "--output", output)).exitCode).toBe(exitCode);
    expect((await installation.files(".")).filter((name) => name.includes("forged.dump"))).toEqual([]);
  });

  test("in one storage: reported, and the other copy is used; verify marks it", async () => {
    const object = await forge();
    copies.damage("a", () => object);
    const { exitCode: restored, stderr } = await restore();
    expect({ restored, stderr }).toEqual({ restored: 0, stderr: expect.stringContaining(message) });
    const verified = await installation.run("verify", "--json", backup.id);
    expect(verified.exitCode).toBe(14);
    const verdicts = verified.json.copies.map((copy: { verdict: string }) => copy.verdict);
    expect(verdicts).toEqual(["damaged", "good"]);
    copies.heal();
    await installation.ok("verify", "--all");
  });
});

test("an existing target keeps its contents if a forgery is refused", async () => {
  const name = await postgres.createDatabase();
  const object = readFileSync(other.path);
  for (const storage of ["a", "b"]) copies.damage(storage, () => object);
  const { exitCode } = await installation.run("restore", backup.id, "--target", `main/${name}`, "--clean");
  expect(exitCode).toBe(14);
  expect(await postgres.connect(name)`select 1 from pg_class where relname = 't'`).toHaveLength(0);
});
