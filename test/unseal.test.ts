import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import vectors from "./vectors/vectors.json";

const PROGRAM = join(import.meta.dir, "../contrib/unseal.py");
const DIRECTORY = join(import.meta.dir, "vectors");
const IDENTITY = join(DIRECTORY, "identity.txt");

let scratch = "";
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "pg321-unseal-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function unseal(args: string[], stdin?: Uint8Array) {
  const child = Bun.spawn([PROGRAM, ...args], { stdin: stdin ?? "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
  const sha256 = createHash("sha256").update(stdout).digest("hex");
  return { exitCode: await child.exited, length: stdout.length, sha256, stderr };
}

const pathOf = (name: string) => join(DIRECTORY, `${name}.sealed`);

describe("contrib/unseal.py", () => {
  test.each(vectors)("vector $name", async (vector) => {
    const { exitCode, length, sha256, stderr } = await unseal(["-i", IDENTITY, pathOf(vector.name)]);
    expect(length).toBe(vector.plaintext_bytes);
    expect(sha256).toBe(vector.plaintext_sha256);
    expect(exitCode).toBe(vector.opens ? 0 : 1);
    expect(stderr).toContain(vector.opens ? '"database"' : "unseal: ");
    expect(stderr).not.toContain("Traceback");
  });

  test("reads standard input", async () => {
    const file = await Bun.file(pathOf("good-200-bytes")).bytes();
    const { exitCode, length } = await unseal(["-i", IDENTITY], file);
    expect({ exitCode, length }).toEqual({ exitCode: 0, length: 200 });
  });

  test("warns without a trusted signer, and refuses the wrong one with --signer", async () => {
    const lines = (await Bun.file(IDENTITY).text()).split("\n");
    const signer = lines.find((line) => line.startsWith("# signer: "))?.slice("# signer: ".length) ?? "";
    const bare = join(scratch, "bare.txt");
    await Bun.write(bare, lines.filter((line) => !line.startsWith("#")).join("\n"));
    const file = pathOf("signer-unknown");
    const unchecked = await unseal(["-i", bare, file]);
    expect(unchecked).toMatchObject({ exitCode: 0, length: 100 });
    expect(unchecked.stderr).toContain("WARNING: no trusted signer");
    expect(await unseal(["-i", bare, "--signer", signer, file])).toMatchObject({ exitCode: 1, length: 0 });
  });

  test("is short enough to read through", async () => {
    expect((await Bun.file(PROGRAM).text()).trimEnd().split("\n").length).toBeLessThan(100);
  });
});
