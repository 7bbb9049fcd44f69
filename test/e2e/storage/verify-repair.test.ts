import { Database } from "bun:sqlite";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { cutTo, extended, flipped, flippedInTheMiddle, LocalCopies } from "../../lab/local-copies.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

/** Verify finds and marks damage, and repair fixes it; neither does harm if nothing can be done. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let backupId: string;
let copies: LocalCopies;

const storages = (directory: string) => ["a", "b", "c"].map((name) => localStorage(name, directory));

async function install(): Promise<void> {
  installation = await Installation.make({ postgres: postgres.address, databases: [source], storages });
  backupId = await installation.backUp();
  copies = new LocalCopies(installation, backupId);
}

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 2);
  await install();
});
afterAll(() => installation[Symbol.asyncDispose]());

/** The status of the backup, and the state of its copy in each storage. */
async function recorded(): Promise<Record<string, string>> {
  const { json } = await installation.ok("show", backupId, "--json");
  const states = json.copies.map(({ storage, state }: { storage: string; state: string }) => [
    storage,
    state,
  ]);
  return { status: json.status, ...Object.fromEntries(states) };
}

const ALL_GOOD = { status: "VERIFIED", a: "CONFIRMED", b: "CONFIRMED", c: "CONFIRMED" };

async function verify(...words: string[]) {
  const { exitCode, stderr, json } = await installation.run(
    "verify",
    "--json",
    ...(words[0] === backupId ? [] : ["--all"]),
    ...words,
  );
  const verdicts = Object.fromEntries(
    json.copies.map(({ storage, verdict }: { storage: string; verdict: string }) => [storage, verdict]),
  );
  return { exitCode, stderr, verdicts, copies: json.copies };
}

async function repair() {
  const { exitCode, json } = await installation.run("repair", "--json");
  const outcomes = json.copies.map((one: { storage: string; outcome: string }) => [one.storage, one.outcome]);
  return { exitCode, outcomes, copies: json.copies };
}

async function expectHealed(): Promise<void> {
  expect(await verify()).toMatchObject({ exitCode: 0, verdicts: { a: "good", b: "good", c: "good" } });
  expect(await recorded()).toEqual(ALL_GOOD);
  for (const storage of ["b", "c"]) {
    expect(readFileSync(copies.object(storage)).equals(readFileSync(copies.object("a")))).toBe(true);
    expect(readFileSync(copies.manifest(storage)).equals(readFileSync(copies.manifest("a")))).toBe(true);
  }
}

describe("verify finds and marks, repair restores from a good copy", () => {
  const SOMEBODYS = Buffer.from("somebody's file");
  test.each<[string, "damaged" | "missing", () => void]>([
    ["a flipped bit", "damaged", () => copies.damage("a", flippedInTheMiddle)],
    ["a flipped bit in the header", "damaged", () => copies.damage("a", flipped(40))],
    ["a truncated object", "damaged", () => copies.damage("a", cutTo(-1))],
    ["an empty object", "damaged", () => copies.damage("a", cutTo(0))],
    ["an extended object", "damaged", () => copies.damage("a", extended)],
    ["a strange object", "damaged", () => copies.damage("a", () => SOMEBODYS)],
    ["a missing object", "missing", () => copies.remove(copies.object("a"))],
    ["a missing manifest", "damaged", () => copies.remove(copies.manifest("a"))],
    [
      "a missing object and manifest",
      "missing",
      () => {
        copies.remove(copies.object("a"));
        copies.remove(copies.manifest("a"));
      },
    ],
    ["a damaged manifest", "damaged", () => copies.change(copies.manifest("a"), flippedInTheMiddle)],
    ["a manifest that is no JSON", "damaged", () => copies.change(copies.manifest("a"), () => SOMEBODYS)],
  ])("%s", async (_, verdict, damage) => {
    damage();
    const found = await verify();
    expect(found).toMatchObject({ exitCode: 14, verdicts: { a: verdict, b: "good", c: "good" } });
    expect(await recorded()).toEqual({ ...ALL_GOOD, status: "PARTIAL", a: verdict.toUpperCase() });
    expect(await repair()).toMatchObject({ exitCode: 0, outcomes: [["a", "filled"]] });
    await expectHealed();
  });

  test("the manifest of another backup", async () => {
    const second = await installation.backUp();
    const others = readFileSync(new LocalCopies(installation, second).manifest("a"));
    copies.change(copies.manifest("a"), () => others);
    const found = await verify(backupId);
    expect(found).toMatchObject({ exitCode: 14, verdicts: { a: "damaged" } });
    expect(found.copies[0].error).toContain("its manifest differs from the recorded one");
    expect((await repair()).exitCode).toBe(0);
    await expectHealed();
  });

  test("several at once, and the backup restores from the remaining copies", async () => {
    copies.damage("a", flipped(-1));
    copies.remove(copies.object("b"));
    expect(await verify()).toMatchObject({
      exitCode: 14,
      verdicts: { a: "damaged", b: "missing", c: "good" },
    });
    const target = postgres.newName();
    await installation.ok("restore", backupId, "-t", `main/${target}`, "--create");
    const { differences } = await compareByName(postgres, source, target);
    expect(differences).toEqual([]);
    expect(await repair()).toMatchObject({
      exitCode: 0,
      outcomes: [
        ["a", "filled"],
        ["b", "filled"],
      ],
    });
    await expectHealed();
  });
});

test("verify marks nothing if a storage does not answer: exit 13", async () => {
  renameSync(join(installation.directory, "b"), join(installation.directory, "elsewhere"));
  expect(await verify()).toMatchObject({
    exitCode: 13,
    verdicts: { a: "good", b: "unreachable", c: "good" },
  });
  expect(await recorded()).toEqual(ALL_GOOD);
  expect(await repair()).toMatchObject({ exitCode: 0, outcomes: [] });
  renameSync(join(installation.directory, "elsewhere"), join(installation.directory, "b"));
  await expectHealed();
});

test("verify --storage checks only that storage; a misspelt one is exit 2, not success", async () => {
  copies.damage("a", flippedInTheMiddle);
  expect(await verify("--storage", "b")).toMatchObject({ exitCode: 0, verdicts: { b: "good" } });
  const { exitCode, stderr } = await installation.run("verify", "--all", "--storage", "bb");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 2 });
  expect(stderr).toContain('no storage is named "bb"');
  copies.heal();
});

describe("keys", () => {
  afterEach(async () => {
    copies.heal();
    await installation.configure({});
    await installation.ok("verify", "--all");
  });

  async function changeConfig(pattern: RegExp, line: string): Promise<void> {
    const config = readFileSync(installation.configFile, "utf8");
    await Bun.write(installation.configFile, config.replace(pattern, line));
  }

  test("without an identity only the hash is checked, which also finds damage", async () => {
    await changeConfig(/^identity_file = .*$/m, "");
    const clean = await verify(backupId);
    expect(clean.exitCode).toBe(0);
    expect(clean.copies.map((copy: { segments_checked: boolean }) => copy.segments_checked)).toEqual([
      false,
      false,
      false,
    ]);
    copies.damage("c", flippedInTheMiddle);
    expect(await verify()).toMatchObject({ exitCode: 14, verdicts: { a: "good", c: "damaged" } });
    // Ciphertext is copied as it is: no key is needed.
    expect(await repair()).toMatchObject({ exitCode: 0, outcomes: [["c", "filled"]] });
  });

  test("a missing identity file ends it at once, and nothing is marked", async () => {
    await changeConfig(/^identity_file = .*$/m, 'identity_file = "/no/identity.txt"');
    const { exitCode, stderr } = await installation.run("verify", "--all");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 12 });
    expect(stderr).toMatch(/^error: no identity file at \/no\/identity.txt\nhint: /);
    expect(await recorded()).toEqual(ALL_GOOD);
  });

  test("an identity that opens no copy is reported (exit 12), and only real damage is marked", async () => {
    await using other = await Installation.make({
      postgres: postgres.address,
      databases: [source],
      storages,
    });
    await changeConfig(/^identity_file = .*$/m, `identity_file = ${JSON.stringify(other.identityFile)}`);
    expect(await verify()).toMatchObject({
      exitCode: 12,
      verdicts: { a: "unopened", b: "unopened", c: "unopened" },
    });
    expect(await recorded()).toEqual(ALL_GOOD);
    copies.damage("b", flippedInTheMiddle);
    expect(await verify()).toMatchObject({ exitCode: 14, verdicts: { a: "unopened", b: "damaged" } });
  });
});

describe("repair does no harm", () => {
  beforeEach(async () => {
    await installation[Symbol.asyncDispose]();
    await install();
  });

  test("if every copy is damaged: all are left alone, and it says so", async () => {
    for (const storage of ["a", "b", "c"]) copies.damage(storage, flippedInTheMiddle);
    expect((await verify()).exitCode).toBe(14);
    expect(await recorded()).toMatchObject({ status: "FAILED", a: "DAMAGED" });
    const before = ["a", "b", "c"].map((storage) => statSync(copies.object(storage)).ino);
    const { exitCode, copies: results } = await repair();
    expect(exitCode).toBe(3);
    expect(results.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      "failed",
      "failed",
      "failed",
    ]);
    expect(results[0].error).toContain("no storage has a good copy");
    expect(["a", "b", "c"].map((storage) => statSync(copies.object(storage)).ino)).toEqual(before);
    // A copy that comes back, from a tape or a snapshot, is found good again and repairs the others.
    copies.heal();
    copies.damage("a", flippedInTheMiddle);
    expect((await verify()).exitCode).toBe(14);
    expect(await recorded()).toEqual({ ...ALL_GOOD, status: "PARTIAL", a: "DAMAGED" });
    expect((await repair()).exitCode).toBe(0);
    await expectHealed();
  });

  test("a damaged copy stays until a source was read completely and found good", async () => {
    copies.damage("a", flippedInTheMiddle);
    expect((await verify("--storage", "a")).exitCode).toBe(14);
    // Damaged too, but not yet checked.
    for (const storage of ["b", "c"]) copies.damage(storage, flipped(-1));
    const before = readFileSync(copies.object("a"));
    const { exitCode, copies: results } = await repair();
    expect({ exitCode, outcome: results[0].outcome }).toEqual({ exitCode: 3, outcome: "failed" });
    expect(results[0].error).toContain("is damaged");
    expect(readFileSync(copies.object("a")).equals(before)).toBe(true);
    expect(existsSync(copies.manifest("a"))).toBe(true);
    expect(await recorded()).toMatchObject({ a: "DAMAGED" });
  });

  test("a source with unnoticed damage is skipped for the next, and filled in the same run", async () => {
    copies.remove(copies.object("a"));
    expect((await verify("--storage", "a")).exitCode).toBe(14);
    copies.damage("b", flipped(-1));
    const outcomes = ["a", "b"].map((storage) => [storage, "filled"]);
    expect(await repair()).toMatchObject({ exitCode: 0, outcomes });
    await expectHealed();
  });

  test("an object that lost only its manifest gets it back, even if no other copy is good", async () => {
    for (const storage of ["a", "b"]) copies.damage(storage, flippedInTheMiddle);
    for (const storage of ["b", "c"]) copies.remove(copies.manifest(storage));
    expect((await verify()).exitCode).toBe(14);
    expect(await recorded()).toMatchObject({ status: "FAILED", c: "DAMAGED" });
    const { ino } = statSync(copies.object("c"));
    expect((await repair()).exitCode).toBe(3);
    expect(statSync(copies.object("c")).ino).toBe(ino);
    expect(await recorded()).toMatchObject({ c: "CONFIRMED" });
    // The others could be repaired only after that one.
    expect((await repair()).exitCode).toBe(0);
    await expectHealed();
  });

  test("nothing to do is reported as success", async () => {
    expect((await installation.ok("repair")).stdout).toContain("nothing to repair");
  });

  test("a backup that was never stored anywhere is ignored", async () => {
    using catalog = new Database(join(installation.directory, "state/catalog.db"));
    catalog.run("update copies set state = 'FAILED'");
    catalog.run("update backups set status = 'FAILED'");
    expect(await repair()).toMatchObject({ exitCode: 0, outcomes: [] });
  });
});
