import { describe, expect, test } from "bun:test";
import { createHash, randomUUID } from "node:crypto";
import { armor } from "age-encryption";
import fc from "fast-check";
import { openDetails, sealDetails } from "./details.ts";
import { x25519Encrypter } from "./file-key.ts";
import { generateIdentity } from "./identity.ts";
import type { ManifestFields } from "./manifest.ts";
import { decodeManifest, encodeManifest, manifestText } from "./manifest.ts";
import { generateSigningKey } from "./signing-key.ts";

const installation = randomUUID();
const key = generateSigningKey(installation);
const trusted = [key.signer];
const fields: ManifestFields = {
  installation,
  backup_id: randomUUID(),
  server: "main",
  database: 'Größe "1"\u2028/\u007f\u0001\\',
  kind: "dump",
  started_at: "2026-11-23T00:25:00.000Z",
  finished_at: "2026-11-23T00:26:00.000Z",
  object_key: "main/app/backup_app_20261123_002500_7d3e9b52.dump.zst.enc",
  object_bytes: 2 ** 50,
  object_sha256: createHash("sha256").digest("hex"),
  dump_bytes: 0,
  compression: "zstd",
  encryption: "age",
  server_version: "15.18",
  pg_dump_version: null,
  pg321_version: "0.1.0",
  previous_id: null,
};
const unencrypted: ManifestFields = { ...fields, encryption: "none" };

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

/** The text that anyone can make by changing a member after signing. */
function changed(encoded: string, change: Record<string, unknown>): string {
  return JSON.stringify({ ...JSON.parse(encoded), ...change });
}

describe("a manifest", () => {
  test("is read back as it was signed", () => {
    const details = "-----BEGIN AGE ENCRYPTED FILE-----\n…";
    const encoded = encodeManifest({ ...fields, details }, key);
    expect(decodeManifest(encoded, trusted)).toEqual({
      ...fields,
      details,
      signer: key.signer,
      signed: true,
    });
  });

  test("is the same text in any order of its fields", () => {
    const reversed = Object.fromEntries(Object.entries(fields).reverse()) as unknown as ManifestFields;
    expect(encodeManifest(reversed, key)).toBe(encodeManifest(fields, key));
  });

  test("shows if it is not signed, which is allowed only for an unencrypted backup", () => {
    expect(decodeManifest(encodeManifest(unencrypted, undefined), trusted)).toEqual({
      ...unencrypted,
      signer: undefined,
      signed: false,
    });
    expect(decodeManifest(encodeManifest(unencrypted, key), trusted).signed).toBe(true);
    expect(() => encodeManifest(fields, undefined)).toThrow("needs a signing key");
    const { signer: _, signature: __, ...stripped } = JSON.parse(encodeManifest(fields, key));
    expect(() => decodeManifest(JSON.stringify(stripped), trusted)).toThrow("must be signed");
  });

  test("is refused if any member was changed, added or removed", () => {
    const encoded = encodeManifest(fields, key);
    const changes: Record<string, unknown>[] = [
      { backup_id: randomUUID() },
      { database: "other" },
      { object_sha256: "0".repeat(64) },
      { object_bytes: 1 },
      { previous_id: randomUUID() },
      { encryption: "none" },
      { server_version: null },
      { added: true },
      { signature: `${"A".repeat(86)}==` },
      { signature: undefined },
      { signer: undefined },
      { details: "x" },
    ];
    for (const change of changes) {
      const decode = () => decodeManifest(changed(encoded, change), trusted);
      expect(decode).toThrow(expect.objectContaining({ code: "verification" }));
    }
  });

  test("is refused from a signer that is not trusted", () => {
    const encoded = encodeManifest(fields, generateSigningKey(installation));
    expect(() => decodeManifest(encoded, trusted)).toThrow(expect.objectContaining({ code: "key" }));
  });

  test("is refused with an error, and never fails otherwise, whatever the text", () => {
    const encoded = encodeManifest(fields, key);
    const texts = [
      "",
      "null",
      "[]",
      "1",
      `${encoded} `,
      encoded.slice(0, -1),
      encoded.replace("{", "{ "),
      encoded.replace('"kind"', '"kind":"dump","kind"'),
      changed(encoded, { manifest: 2 }),
      changed(encoded, { manifest: 0 }),
      changed(encoded, { dump_bytes: -1 }),
      changed(encoded, { object_bytes: 2 ** 53 }),
      changed(encoded, { padding: "x".repeat(2 ** 20) }),
    ];
    // Deeper than any stack: a recursive parser would fail here.
    for (const deep of [nested(400_000), "[".repeat(400_000), '{"a":'.repeat(100_000)])
      texts.push(encoded.replace("{", `{"later":${deep},`));
    // Another form of the same signature: the last digit of the base64 has four unused bits.
    const [, last = ""] = /(.)=="\}$/.exec(encoded) ?? [];
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const twin = alphabet[alphabet.indexOf(last) ^ 1];
    texts.push(encoded.replace(/.=="\}$/, `${twin}=="}`));
    for (const text of texts) {
      expect(() => decodeManifest(text, trusted)).toThrow(expect.objectContaining({ code: "verification" }));
    }
    fc.assert(
      fc.property(fc.nat(encoded.length - 1), fc.string({ maxLength: 3 }), (at, inserted) => {
        const text = encoded.slice(0, at) + inserted + encoded.slice(at + 1);
        fc.pre(text !== encoded);
        expect(() => decodeManifest(text, trusted)).toThrow(expect.objectContaining({ name: "Pg321Error" }));
      }),
    );
  });
});

test("bytes that are not UTF-8, or too many, are not a manifest", () => {
  const encoded = encodeManifest(fields, key);
  expect(manifestText(Buffer.from(encoded))).toBe(encoded);
  const marked = manifestText(Buffer.from(`\ufeff${encoded}`));
  expect(() => decodeManifest(marked, trusted)).toThrow(expect.objectContaining({ code: "verification" }));
  const invalid = Buffer.from(encoded.replace('"main"', '"\xff"'), "latin1");
  for (const bytes of [invalid, Buffer.alloc(2 ** 20 + 1)])
    expect(() => manifestText(bytes)).toThrow(expect.objectContaining({ code: "verification" }));
});

test("damaged details are reported as damaged, whatever they contain", async () => {
  const identity = await generateIdentity();
  const contents = ['"\xff"', "\xef\xbb\xbf{}", "[]", "", "null", `{"a":${nested(400_000)}}`];
  for (const content of contents) {
    const sealed = armor.encode(
      await x25519Encrypter([identity.recipient]).encrypt(Buffer.from(content, "latin1")),
    );
    await expect(openDetails(sealed, [identity.identity])).rejects.toMatchObject({ code: "verification" });
  }
  const sealed = await sealDetails({}, [identity.recipient]);
  for (const damaged of ["", sealed.slice(1), sealed.replace("AGE", "AGF"), sealed.slice(0, -40)])
    await expect(openDetails(damaged, [identity.identity])).rejects.toMatchObject({ code: "verification" });
});

test("details open only with the identity", async () => {
  const identity = await generateIdentity();
  const details = { tables: { "public.größe": 12 } };
  const sealed = await sealDetails(details, [identity.recipient]);
  expect(sealed).not.toContain("public");
  expect(await openDetails(sealed, [identity.identity])).toEqual(details);
  const { identity: other } = await generateIdentity();
  expect(await openDetails(sealed, [other]).catch((error: unknown) => error)).toMatchObject({ code: "key" });
});
