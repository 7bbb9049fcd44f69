import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pg321Error } from "../src/base/errors.ts";
import { decompressed } from "../src/jobs/copies/read-backup.ts";
import { openDump } from "../src/jobs/load/dump-form.ts";
import { readIdentityFile } from "../src/sealed/identity.ts";
import { openSealed } from "../src/sealed/open.ts";
import { UNSEAL, unsealAll } from "./lab/unseal-runs.ts";
import containers from "./vectors/containers.json";

const DIRECTORY = join(import.meta.dir, "vectors");
const IDENTITY = join(DIRECTORY, "identity.txt");
const identity = await readIdentityFile(await Bun.file(IDENTITY).text());
const pathOf = (name: string) => join(DIRECTORY, "containers", `${name}.sealed`);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function* inPieces(bytes: Uint8Array, pieceBytes: number) {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/** A vector that does not open says why: it must not be refused for another reason. */
function whyOf(why: string | undefined): string {
  if (!why) throw new Error("the list does not say why the vector is refused");
  return why;
}

/** All members of a file of version 2, read at the same time. */
async function membersOf(source: AsyncIterable<Uint8Array>) {
  const trust = { trustedSigners: identity.signers };
  const { version, metadata, plaintext } = await openSealed(source, trust, identity.identities);
  const { container } = await openDump(decompressed(plaintext, metadata.compression), version);
  if (!container) throw new Error("one archive");
  await using _ = container;
  const reading = [];
  for await (const { name, kind, bytes } of container.members) {
    const one = Array.fromAsync(bytes).then((pieces) => {
      const whole = Buffer.concat(pieces);
      return { name, kind, bytes: whole.length, sha256: sha256(whole) };
    });
    one.catch(() => {});
    reading.push(one);
  }
  return Promise.all(reading);
}

describe.each(containers)("container $name", (vector) => {
  test.each([
    ["whole", 1 << 20],
    ["in pieces", 97],
    ["byte by byte", 1],
  ])("read %s", async (_way, pieceBytes) => {
    const bytes = await Bun.file(pathOf(vector.name)).bytes();
    const found = await membersOf(inPieces(bytes, pieceBytes)).catch((error: unknown) => error);
    if (vector.opens) return expect(found).toEqual(vector.members ?? []);
    expect(found).toBeInstanceOf(Pg321Error);
    expect((found as Pg321Error).code).toBe("verification");
    expect((found as Pg321Error).message).toContain(whyOf(vector.why));
    expect((found as Pg321Error).hint).toBeString();
    expect((found as Pg321Error).message).not.toMatch(/\p{Cc}/u);
  });
});

test("every file in test/vectors/containers is in the list", async () => {
  const files = await readdir(join(DIRECTORY, "containers"));
  expect(files.sort()).toEqual(containers.map(({ name }) => `${name}.sealed`).sort());
});

describe("contrib/unseal.py --members", () => {
  let scratch = "";
  let outcomes: Awaited<ReturnType<typeof unsealAll>> = [];
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), "pg321-containers-"));
    const words = ({ name }: { name: string }) => ["--members", join(scratch, name), pathOf(name)];
    outcomes = await unsealAll(
      scratch,
      containers.map((vector) => ["-i", IDENTITY, ...words(vector)]),
    );
  }, 120_000);
  afterAll(() => rm(scratch, { recursive: true, force: true }));

  test("splits a container that was never sealed, from standard input", async () => {
    const sealed = await Bun.file(pathOf("good-in-turns")).bytes();
    const trust = { trustedSigners: identity.signers };
    const { metadata, plaintext } = await openSealed(inPieces(sealed, 97), trust, identity.identities);
    const dump = Buffer.concat(await Array.fromAsync(decompressed(plaintext, metadata.compression)));
    const directory = join(scratch, "never-sealed");
    const split = async (bytes: Uint8Array) => {
      await rm(directory, { recursive: true, force: true });
      return await Bun.spawn([UNSEAL, "--members", directory], { stdin: bytes, stderr: "ignore" }).exited;
    };
    expect(await split(dump)).toBe(0);
    expect((await readdir(directory)).sort()).toEqual(["data-1.dump", "data-2.dump", "schema.dump"]);
    expect(await Bun.file(join(directory, "data-1.dump")).text()).toBe("abcd");
    expect(await split(dump.subarray(0, -1))).toBe(1);
    expect((await readdir(scratch)).filter((name) => name.startsWith("never-sealed"))).toEqual([]);
    // What another has put there stays.
    await mkdir(directory);
    await Bun.write(join(directory, "data-1.dump.part"), "of another");
    expect(await Bun.spawn([UNSEAL, "--members", directory], { stdin: dump, stderr: "ignore" }).exited).toBe(
      1,
    );
    expect(await Bun.file(join(directory, "data-1.dump.part")).text()).toBe("of another");
  });

  test.each(containers.map((vector, i) => [vector.name, i] as const))("%s", async (_name, i) => {
    const { name, opens, members = [], unseal_why } = containers[i] ?? { name: "", opens: false };
    const { exitCode, stderr } = outcomes[i] ?? { exitCode: -1, stderr: "" };
    const files = await readdir(join(scratch, name)).catch(() => []);
    expect({ exitCode, stderr }).toEqual({
      exitCode: opens ? 0 : 1,
      stderr: expect.stringContaining(opens ? "unseal: {" : whyOf(unseal_why)),
    });
    expect(stderr).not.toContain("Traceback");
    // Only a complete archive gets a name that somebody would restore.
    const complete = files.filter((file) => file.endsWith(".dump"));
    expect(complete.sort()).toEqual(members.map((member) => `${member.name}.dump`).sort());
    // Nothing is left of a damaged one: its archives are rows in plaintext.
    expect(existsSync(join(scratch, name))).toBe(opens);
    for (const member of members)
      expect(sha256(await Bun.file(join(scratch, name, `${member.name}.dump`)).bytes())).toBe(member.sha256);
  });
});
