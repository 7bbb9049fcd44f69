import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB } from "../src/base/limits.ts";
import { encodeIdentityFile, generateIdentity } from "../src/sealed/identity.ts";
import type { BackupNames } from "../src/sealed/metadata.ts";
import { seal } from "../src/sealed/seal.ts";
import { generateSigningKey } from "../src/sealed/signing-key.ts";
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

  test("opens a file of production size, and stock zstd its payload", async () => {
    const dump = Buffer.concat([randomBytes(5 * MIB), Buffer.alloc(MIB, "a")]);
    const frames = [dump.subarray(0, 4 * MIB), dump.subarray(4 * MIB)].map((block) =>
      Bun.zstdCompressSync(block),
    );
    const identity = await generateIdentity();
    const signingKey = generateSigningKey(randomUUID());
    const { installation, signer } = signingKey;
    const key = join(scratch, "identity.txt");
    await Bun.write(
      key,
      await encodeIdentityFile(identity, { installation, signers: [signer], createdAt: new Date() }),
    );
    const names: BackupNames = {
      installation,
      server: "main",
      database: "app",
      backup_id: randomUUID(),
      kind: "dump",
      started_at: new Date().toISOString(),
      compression: "zstd",
    };
    const source = async function* () {
      yield* frames;
    };
    const sealed = seal(source(), names, { recipients: [identity.recipient], signingKey });
    const file = join(scratch, "backup.enc");
    await Bun.write(file, Buffer.concat(await Array.fromAsync(sealed)));
    const pipeline = 'set -o pipefail; "$0" -i "$1" "$2" | zstd -dc';
    const child = Bun.spawn(["bash", "-c", pipeline, PROGRAM, key, file], {
      stdout: "pipe",
      stderr: "ignore",
    });
    expect(dump.equals(await child.stdout.bytes())).toBe(true);
    expect(await child.exited).toBe(0);
  });

  test("is short enough to read through", async () => {
    expect((await Bun.file(PROGRAM).text()).trimEnd().split("\n").length).toBeLessThan(100);
  });
});
