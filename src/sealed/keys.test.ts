import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../base/secret.ts";
import {
  currentRecipients,
  encodeIdentityFile,
  generateIdentity,
  readIdentityFile,
  withIdentity,
} from "./identity.ts";
import { writeKeyFile } from "./key-file.ts";
import { isSigner } from "./metadata.ts";
import { generateSigningKey, isSignedBy, readSigningKey } from "./signing-key.ts";

const installation = randomUUID();
const createdAt = new Date("2026-11-23T00:25:00Z");
const thrownBy = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe("an identity file", () => {
  test("is read back as it was written", async () => {
    const identity = await generateIdentity();
    const signers = [generateSigningKey(installation).signer, generateSigningKey(installation).signer];
    const text = await encodeIdentityFile(identity, { installation, signers, createdAt });
    const file = await readIdentityFile(text.replaceAll("\n", "\r\n"));
    expect(file.identities.map((secret) => secret.reveal())).toEqual([identity.identity.reveal()]);
    expect(file).toMatchObject({ installation, signers, recipients: [identity.recipient] });
  });

  test("may be one of plain age, with several identities", async () => {
    const [first, second] = [await generateIdentity(), await generateIdentity()];
    const text = `# mine\n${first.identity.reveal()}\n\n  ${second.identity.reveal()}\n`;
    const file = await readIdentityFile(text);
    expect(file.recipients).toEqual([first.recipient, second.recipient]);
    expect(file).toMatchObject({ signers: [], installation: undefined });
  });

  test("keeps every identity when another one is added, and knows which one is current", async () => {
    const [first, second, third] = [
      await generateIdentity(),
      await generateIdentity(),
      await generateIdentity(),
    ];
    const createdAt = new Date("2026-11-23T00:25:00.000Z");
    const text = await encodeIdentityFile(first, { installation, signers: [], createdAt });
    // A file that an editor left without its last line end.
    const two = withIdentity(text.trimEnd(), second, { createdAt, replaces: [first.recipient] });
    expect(two).toStartWith(text.trimEnd());
    const file = await readIdentityFile(two);
    expect(file.facts).toEqual([
      { recipient: first.recipient, createdAt: "2026-11-23T00:25:00Z", replaces: [] },
      { recipient: second.recipient, createdAt: "2026-11-23T00:25:00Z", replaces: [first.recipient] },
    ]);
    expect(file.installation).toBe(installation);
    expect(currentRecipients(file.facts)).toEqual([second.recipient]);
    // An identity that was added by hand replaces none.
    const three = await readIdentityFile(`${two}${third.identity.reveal()}\n`);
    expect(currentRecipients(three.facts)).toEqual([second.recipient, third.recipient]);
    expect(three.facts[2]).toEqual({ recipient: third.recipient, createdAt: undefined, replaces: [] });
  });

  test("opens only with its passphrase", async () => {
    const identity = await generateIdentity();
    const about = { installation, signers: [], createdAt };
    const text = await encodeIdentityFile(identity, about, new Secret("correct horse"));
    expect(text).not.toContain(identity.recipient);
    expect((await readIdentityFile(text, new Secret("correct horse"))).recipients).toEqual([
      identity.recipient,
    ]);
    const wrong = await thrownBy(readIdentityFile(text, new Secret("battery staple")));
    expect(wrong).toMatchObject({ code: "key" });
    expect(await thrownBy(readIdentityFile(text))).toMatchObject({ code: "key" });
  }, 60_000);

  test("is refused if a line is wrong, and the message quotes none of it", async () => {
    const secret = (await generateIdentity()).identity.reveal();
    const damaged = [
      "",
      "# public key: age1\n",
      `${secret.slice(0, -1)}\n`,
      `AGE-SECRET-KEY-PQ-1${secret.slice(16)}\n`,
      `# signer: c2hvcnQ=\n${secret}\n`,
      `# installation: here\n${secret}\n`,
    ];
    for (const text of damaged) {
      const error = (await thrownBy(readIdentityFile(text))) as Error;
      expect(error).toMatchObject({ code: "key" });
      expect(error.message + String(error.cause)).not.toContain("AGE-SECRET");
    }
  });
});

describe("a signing key", () => {
  test("is read back from its file and signs only for its domain", () => {
    const key = generateSigningKey(installation);
    const back = readSigningKey(key.encode(createdAt));
    expect(back).toMatchObject({ installation, signer: key.signer });
    expect(isSigner(key.signer)).toBe(true);
    const bytes = Buffer.from("bytes");
    const signature = back.sign("pg321 sealed 1 signature\n", bytes);
    expect(isSignedBy(key.signer, "pg321 sealed 1 signature\n", bytes, signature)).toBe(true);
    expect(isSignedBy(key.signer, "pg321 manifest 1 signature\n", bytes, signature)).toBe(false);
    expect(
      isSignedBy(generateSigningKey(installation).signer, "pg321 sealed 1 signature\n", bytes, signature),
    ).toBe(false);
  });

  test("is refused if its file is damaged or pieced together", () => {
    const text = generateSigningKey(installation).encode(createdAt);
    const other = generateSigningKey(installation);
    const damaged = [
      "",
      text.replace(/^# installation.*\n/m, ""),
      text.replace(installation, "here"),
      text.replace(/^# signer.*$/m, `# signer: ${other.signer}`),
      text.replace(/-----BEGIN[\s\S]*/, ""),
      text.replace("MC4CAQ", "MC4CAR"),
    ];
    for (const broken of damaged) expect(() => readSigningKey(broken)).toThrow("signing key file: ");
  });

  test("does not show its private half", () => {
    const key = generateSigningKey(installation);
    const secret = /KEY-----\n(.+)\n/.exec(key.encode(createdAt))?.[1] ?? "";
    expect(secret.length).toBeGreaterThan(40);
    expect(Bun.inspect(key) + JSON.stringify(key)).not.toContain(secret);
  });
});

describe("writeKeyFile", () => {
  let directory = "";
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "pg321-keys-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  test("writes a private file once and never replaces it", async () => {
    const path = join(directory, "identity.txt");
    await writeKeyFile(path, "first");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await thrownBy(writeKeyFile(path, "second"))).toMatchObject({ code: "key" });
    expect(await Bun.file(path).text()).toBe("first");
    expect(await readdir(directory)).toEqual(["identity.txt"]);
  });

  test("reports a missing directory", async () => {
    const error = await thrownBy(writeKeyFile(join(directory, "none", "identity.txt"), "text"));
    expect(error).toMatchObject({ code: "key", hint: "its directory must exist and be writable" });
  });
});
