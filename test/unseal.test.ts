import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes, randomUUID } from "node:crypto";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB } from "../src/base/limits.ts";
import { Secret } from "../src/base/secret.ts";
import { encodeIdentityFile, generateIdentity, readIdentityFile } from "../src/sealed/identity.ts";
import type { BackupNames } from "../src/sealed/metadata.ts";
import { seal } from "../src/sealed/seal.ts";
import { generateSigningKey } from "../src/sealed/signing-key.ts";
import { bytesOf, streamOf } from "./lab/data/streams.ts";
import { outcome, UNSEAL, unsealAll } from "./lab/unseal-runs.ts";
import identities from "./vectors/identities.json";
import vectors from "./vectors/vectors.json";

const PROGRAM = UNSEAL;
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
  return outcome(await child.exited, stdout, stderr);
}

function namesOf(installation: string, compression: BackupNames["compression"]): BackupNames {
  const backup_id = randomUUID();
  const started_at = new Date().toISOString();
  return { installation, server: "main", database: "app", backup_id, kind: "dump", started_at, compression };
}

const pathOf = (name: string) => join(DIRECTORY, `${name}.sealed`);

describe("contrib/unseal.py", () => {
  const identityOf = (name: string) => join(DIRECTORY, `identities/${name}.txt`);
  let outcomes: Awaited<ReturnType<typeof unsealAll>> = [];
  beforeAll(async () => {
    outcomes = await unsealAll(scratch, [
      ...vectors.map(({ name }) => ["-i", IDENTITY, pathOf(name)]),
      ...identities.map(({ name }) => ["-i", identityOf(name), pathOf("good-200-bytes")]),
    ]);
  }, 120_000);

  function outcomeAt(index: number) {
    const found = outcomes[index];
    if (!found) throw new Error(`no run ${index}`);
    return found;
  }

  test.each(vectors)("vector $name", (vector) => {
    const { exitCode, length, sha256, stderr } = outcomeAt(vectors.indexOf(vector));
    expect(length).toBe(vector.plaintext_bytes);
    expect(sha256).toBe(vector.plaintext_sha256);
    expect(exitCode).toBe(vector.opens ? 0 : 1);
    expect(stderr).toContain(vector.opens ? '"database"' : "unseal: ");
    expect(stderr).not.toContain("Traceback");
    // Nothing in the file may move the cursor of a terminal.
    expect(stderr).not.toMatch(/[^\P{Cc}\n]/u);
  });

  test.each(vectors.filter(({ dump_sha256 }) => dump_sha256 !== undefined))(
    "the stock program opens the payload of $name",
    (vector) => {
      const stock = vector.name.startsWith("gzip") ? "gzip" : "zstd";
      const pipeline = `set -o pipefail; "$0" -i "$1" "$2" | ${stock} -dc | sha256sum`;
      const { stdout } = Bun.spawnSync(["bash", "-c", pipeline, PROGRAM, IDENTITY, pathOf(vector.name)]);
      expect(stdout.toString()).toBe(`${vector.dump_sha256}  -\n`);
    },
  );

  test.each(identities)("identity file $name", (identity) => {
    const { opens } = identity;
    const { exitCode, length, stderr } = outcomeAt(vectors.length + identities.indexOf(identity));
    expect({ exitCode, length }).toEqual(opens ? { exitCode: 0, length: 200 } : { exitCode: 1, length: 0 });
    expect(stderr).not.toContain("Traceback");
    expect(stderr).not.toContain("AGE-SECRET");
  });

  test("reads standard input", async () => {
    const file = await Bun.file(pathOf("good-200-bytes")).bytes();
    const { exitCode, length } = await unseal(["-i", IDENTITY], file);
    expect({ exitCode, length }).toEqual({ exitCode: 0, length: 200 });
  });

  test("opens nothing without a known signer, except with --signer or --any-signer", async () => {
    const { signers } = await readIdentityFile(await Bun.file(IDENTITY).text());
    const trust = signers.flatMap((signer) => ["--signer", signer]);
    const bare = join(DIRECTORY, "identities/no-signer.txt");
    const [forged, good] = [pathOf("signer-unknown"), pathOf("good-200-bytes")];
    const refused = await unseal(["-i", bare, forged]);
    expect(refused).toMatchObject({ exitCode: 1, length: 0 });
    expect(refused.stderr).toContain("not a trusted signer; if it is yours, give it with --signer");
    expect(await unseal(["-i", bare, ...trust, forged])).toMatchObject({ exitCode: 1, length: 0 });
    expect(await unseal(["-i", bare, ...trust, good])).toMatchObject({ exitCode: 0, length: 200 });
    const any = await unseal(["-i", bare, "--any-signer", forged]);
    expect(any).toMatchObject({ exitCode: 0, length: 100 });
    expect(any.stderr).toContain("WARNING: anybody may have made this file");
    // The signature may be anybody's, but must be valid.
    const damaged = await unseal(["-i", bare, "--any-signer", pathOf("flipped-signature")]);
    expect(damaged).toMatchObject({ exitCode: 1, length: 0 });
  });

  test("asks for the passphrase of a protected identity, and reads the signers from it", async () => {
    const identity = await generateIdentity();
    const signingKey = generateSigningKey(randomUUID());
    const { installation, signer } = signingKey;
    const protectedFile = join(scratch, "protected.txt");
    const about = { installation, signers: [signer], createdAt: new Date() };
    await Bun.write(protectedFile, await encodeIdentityFile(identity, about, new Secret("correct horse")));
    const names = namesOf(installation, "none");
    const files: Record<string, string> = {};
    for (const [name, key] of Object.entries({
      ours: signingKey,
      forged: generateSigningKey(installation),
    })) {
      const sealed = seal(streamOf(Buffer.from("dump")), names, {
        recipients: [identity.recipient],
        signingKey: key,
      });
      files[name] = join(scratch, `${name}.enc`);
      await Bun.write(files[name], await bytesOf(sealed));
    }
    const onTerminal = async (file: string) => {
      const output = join(scratch, "output");
      const words = `'${PROGRAM}' -i '${protectedFile}' '${file}' >'${output}'`;
      const child = Bun.spawn(["script", "-qec", words, "/dev/null"], {
        stdin: Buffer.from("correct horse\n"),
        stdout: "pipe",
      });
      const said = await child.stdout.text();
      return { exitCode: await child.exited, output: await Bun.file(output).text(), said };
    };
    expect(await onTerminal(files["ours"] ?? "")).toMatchObject({ exitCode: 0, output: "dump" });
    const forged = await onTerminal(files["forged"] ?? "");
    expect(forged).toMatchObject({ exitCode: 1, output: "" });
    expect(forged.said).toContain("not a trusted signer");
  }, 60_000);

  test.each([
    ["backup_app_20261123_002500_7d3e9b52.dump.zst.enc", 0],
    ["backup_app_20261123_002500_7d3e9b52.dump.enc.1", 0],
    ["renamed by hand.enc", 0],
    ["backup_app_20261123_002501_7d3e9b52.dump.zst.enc", 1],
    ["backup_app_20261123_002500_7d3e9b53.dump.zst.enc", 1],
    ["backup_app_20261123_002500_7d3e9b52.globals.zst.enc", 1],
  ])("compares the file with its name %s", async (name, exitCode) => {
    const file = join(scratch, name);
    await copyFile(pathOf("good-200-bytes"), file);
    expect(await unseal(["-i", IDENTITY, file])).toMatchObject({
      exitCode,
      length: exitCode === 0 ? 200 : 0,
    });
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
    const names = namesOf(installation, "zstd");
    const sealed = seal(streamOf(...frames), names, { recipients: [identity.recipient], signingKey });
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
    expect((await Bun.file(PROGRAM).text()).trimEnd().split("\n").length).toBeLessThan(220);
  });
});
