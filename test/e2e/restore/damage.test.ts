import { Database } from "bun:sqlite";
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { fillNoiseDatabase } from "../../lab/data/noise-database.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { copyStates } from "../../lab/leftovers.ts";
import {
  cutTo,
  extended,
  flipped,
  flippedInTheMiddle,
  LocalCopies,
  payloadOffset,
} from "../../lab/local-copies.ts";
import { compareByName, databaseNames, usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let backupId: string;
let copies: LocalCopies;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillNoiseDatabase(postgres.connect(source), 12);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => ["a", "b"].map((name) => localStorage(name, directory)),
  });
  backupId = await installation.backUp();
  copies = new LocalCopies(installation, backupId);
});
afterEach(async () => {
  copies.heal();
  // A restore records the damage that it finds; a verification finds the copies good again.
  await installation.ok("verify", backupId);
});
afterAll(() => installation[Symbol.asyncDispose]());

async function restore(...words: string[]) {
  const name = postgres.newName(source);
  const target = ["--target", `main/${name}`, "--create"];
  const { exitCode, stderr } = await installation.run("restore", backupId, ...target, ...words);
  return { exitCode, stderr, name };
}

async function expectEqual(name: string): Promise<void> {
  const { differences, summary } = await compareByName(postgres, source, name);
  expect(differences).toEqual([]);
  expect(summary.rows).toBeGreaterThan(1_000);
}

const SEGMENT = 1024 * 1024 + 16;

describe("one copy is damaged: the restore continues from the other", () => {
  test.each([
    ["its first line", flipped(0)],
    ["its metadata", flipped(40)],
    ["its wrapped key", flipped(700)],
    ["its nonce", (bytes: Buffer) => flipped(payloadOffset(bytes) + 3)(bytes)],
    ["its first segment", flipped(5_000)],
    ["a middle segment", flippedInTheMiddle],
    ["its last segment", flipped(-1)],
    ["cut within a segment", cutTo(2 * SEGMENT + 5_000)],
    ["cut by a byte", cutTo(-1)],
    ["cut within its header", cutTo(200)],
    ["empty", cutTo(0)],
    ["extended by a byte", extended],
    ["extended by itself", (bytes: Buffer) => Buffer.concat([bytes, bytes])],
  ])("%s", async (_, damage) => {
    copies.damage("a", damage);
    const { exitCode, stderr, name } = await restore();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringContaining("warning") });
    expect(stderr).toMatch(/a copy (cannot be opened|failed while it was read).*storage=a/);
    await expectEqual(name);
    expect(await copyStates(installation, backupId)).toBe("a:DAMAGED b:CONFIRMED");
  });

  test("missing", async () => {
    copies.remove(copies.object("a"));
    const { exitCode, stderr, name } = await restore();
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 0,
      stderr: expect.stringMatching(/a copy .*storage=a/),
    });
    await expectEqual(name);
    expect(await copyStates(installation, backupId)).toBe("a:MISSING b:CONFIRMED");
    const { alerts } = (await installation.ok("alerts", "--json")).json;
    expect(alerts).toContainEqual(
      expect.objectContaining({ key: `verify main/${source} a`, level: "WARNING", resolved_at: null }),
    );
  });

  test("the same with parallel jobs", async () => {
    copies.damage("a", flippedInTheMiddle);
    const { exitCode, name } = await restore("--jobs", "2");
    expect(exitCode).toBe(0);
    await expectEqual(name);
  });
});

describe("both copies are damaged", () => {
  test("in different places: each provides what the other lacks", async () => {
    copies.damage("a", (bytes) => flipped(-1)(flipped(SEGMENT + 5_000)(bytes)));
    copies.damage("b", (bytes) => flipped(40)(flippedInTheMiddle(bytes)));
    const { exitCode, stderr, name } = await restore();
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr.match(/continuing at this segment/g)).toHaveLength(3);
    await expectEqual(name);
  });

  test("in the same segment: exit 14, with the fault of each", async () => {
    for (const storage of ["a", "b"]) copies.damage(storage, flipped(-1));
    const { exitCode, stderr } = await restore();
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 14 });
    expect(stderr).toMatch(
      /error: backup .*: no copy can be read: a: .*segment \d+, at its end, is damaged.*; b: .*segment \d+/,
    );
    expect(stderr).toMatch(/hint: .*holds what was restored before the failure: drop it/);
  });

  test("before the end of the table of contents: the target is not even created", async () => {
    for (const storage of ["a", "b"]) copies.damage(storage, flipped(5_000));
    const { exitCode, name } = await restore();
    expect(exitCode).toBe(14);
    expect(await databaseNames(postgres)).not.toContain(name);
  });

  test("with parallel jobs: reported before the first SQL", async () => {
    for (const storage of ["a", "b"]) copies.damage(storage, flipped(-1));
    const { exitCode, name } = await restore("--jobs", "2");
    expect(exitCode).toBe(14);
    expect(await databaseNames(postgres)).not.toContain(name);
    expect(await installation.temporaryFiles()).toEqual([]);
  });
});

describe("--from", () => {
  test("reads only that storage", async () => {
    copies.damage("a", flipped(5_000));
    const { exitCode, stderr, name } = await restore("--from", "a");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 14 });
    expect(stderr).not.toContain("storage=b");
    expect(await databaseNames(postgres)).not.toContain(name);
    expect(await restore("--from", "b")).toMatchObject({
      exitCode: 0,
      stderr: expect.not.stringContaining("warning"),
    });
  });

  test("a missing copy: exit 13; an unknown storage: exit 2 with a suggestion", async () => {
    copies.remove(copies.object("b"));
    expect(await restore("--from", "b")).toMatchObject({ exitCode: 13 });
    expect(await restore("--from", "bb")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/no storage is named "bb"\nhint: did you mean (a|b)\?/),
    });
  });
});

test.each(["RUNNING", "INTERRUPTED"])("a backup that is %s cannot be restored: exit 2", async (status) => {
  using catalog = new Database(join(installation.directory, "state/catalog.db"));
  catalog.run("update backups set status = ?", [status]);
  try {
    const { exitCode, stderr } = await restore();
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2 });
    expect(stderr).toContain(`is ${status.toLowerCase()} and cannot be restored`);
    const latest = await installation.run(
      "restore",
      "latest",
      "-d",
      source,
      "-t",
      "main/never_made",
      "--create",
    );
    expect(latest.exitCode).toBe(2);
  } finally {
    catalog.run("update backups set status = 'VERIFIED'");
  }
});

test("a recorded hash that differs from the data read: exit 14 at the end", async () => {
  using catalog = new Database(join(installation.directory, "state/catalog.db"));
  const change = (sha256: string) => catalog.run("update backups set object_sha256 = ?", [sha256]);
  const { object_sha256 } = catalog.query("select object_sha256 from backups").get() as {
    object_sha256: string;
  };
  change("0".repeat(64));
  try {
    const { exitCode, stderr } = await restore();
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 14 });
    expect(stderr).toContain("the SHA-256 of the data read differs from the recorded one");
    expect(stderr).toContain("hint: do not use the restored data");
  } finally {
    change(object_sha256);
  }
});
