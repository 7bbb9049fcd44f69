import { armor } from "age-encryption";
import { encodeManifest } from "../../src/sealed/manifest.ts";
import type { SigningKey } from "../../src/sealed/signing-key.ts";
import { nested, withUnusedBits } from "./metadata.ts";

type Members = Record<string, unknown>;

export interface ManifestVector {
  name: string;
  bytes: Uint8Array;
  opens: boolean;
  code?: "verification" | "key";
}

const DATABASE = 'Größe "1"\u2028/\u007f\u0001\\';
const fields = {
  backup_id: "7d3e9b52-0c4f-4d8e-8a53-5e2f9d1c6b40",
  server: "main",
  database: DATABASE,
  kind: "dump" as const,
  started_at: "2026-11-23T00:25:00.000Z",
  finished_at: "2026-11-23T00:26:00.000Z",
  object_key: "main/app/backup_app_20261123_002500_7d3e9b52.dump.zst.enc",
  object_bytes: 2 ** 50,
  object_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  dump_bytes: 0,
  compression: "zstd" as const,
  encryption: "age" as const,
  server_version: "15.18",
  pg_dump_version: null,
  pg321_version: "0.1.0",
  previous_id: null,
};

/** `ours` is trusted, `theirs` is not. */
export function manifestVectors(ours: SigningKey, theirs: SigningKey): ManifestVector[] {
  const installation = ours.installation;
  const good = encodeManifest({ installation, ...fields }, ours);
  const members: Members = { manifest: 1, installation, ...fields };
  const signed = (change: Members, key = ours) => signedText({ ...members, ...change }, key);
  const none = { encryption: "none" as const };
  const opens: [string, string][] = [
    ["good", good],
    ["good-not-signed", encodeManifest({ installation, ...fields, ...none }, undefined)],
    ["good-signed-not-encrypted", encodeManifest({ installation, ...fields, ...none }, ours)],
    ["good-unknown-member", signed({ later: JSON.parse(nested(31)) })],
    ["good-other-order", signedText(Object.fromEntries(Object.entries(members).reverse()), ours)],
    // A backup that cannot be opened does not make its manifest invalid.
    ["good-details", signed({ details: armor.encode(Buffer.from("age-encryption.org/v1\n")) })],
  ];
  const untrusted = signed({}, theirs);
  const keys: [string, string][] = [
    ["signer-unknown", untrusted],
    ["signer-unknown-and-changed", untrusted.replace('"dump_bytes":0', '"dump_bytes":1')],
  ];
  return [
    ...opens.map(([name, text]) => ({ name, bytes: Buffer.from(text), opens: true })),
    ...keys.map(([name, text]) => ({ name, bytes: Buffer.from(text), opens: false, code: "key" as const })),
    ...[...badForms(good), ...badSignatures(good, theirs), ...badMembers(signed)].map(([name, text]) => {
      const bytes = typeof text === "string" ? Buffer.from(text) : text;
      return { name, bytes, opens: false, code: "verification" as const };
    }),
  ];
}

function signedText(members: Members, key: SigningKey): string {
  const body = { ...members, signer: key.signer };
  const signature = key.sign("pg321 manifest 1 signature\n", Buffer.from(JSON.stringify(body)));
  return JSON.stringify({ ...body, signature: Buffer.from(signature).toString("base64") });
}

/** A lenient reader would read these as `good`, with a valid signature. */
function badForms(good: string): [string, string | Uint8Array][] {
  return [
    ["empty", ""],
    ["null", "null"],
    ["byte-order-mark", `\ufeff${good}`],
    ["line-end", `${good}\n`],
    ["white-space", good.replace(":", ": ")],
    ["cut", good.slice(0, -1)],
    ["repeated", good.replace('"kind":', '"kind":"dump","kind":')],
    ["escaped-letter", good.replace('"main"', '"m\\u0061in"')],
    ["escaped-slash", good.replace("main/app", "main\\/app")],
    ["escaped-unicode", good.replace("ö", "\\u00f6")],
    ["with-fraction", good.replace('"dump_bytes":0', '"dump_bytes":0.0')],
    ["utf-16", Buffer.from(good, "utf16le")],
  ];
}

function badSignatures(good: string, theirs: SigningKey): [string, string][] {
  const { signature, ...unsigned } = JSON.parse(good);
  const { signer: _, ...bare } = unsigned;
  const digits = signature.slice(0, -3);
  return [
    ["changed", good.replace('"dump_bytes":0', '"dump_bytes":1')],
    [
      "signed-by-another",
      JSON.stringify({ ...unsigned, signature: JSON.parse(signedText(bare, theirs)).signature }),
    ],
    ["not-signed", JSON.stringify(bare)],
    ["without-signature", JSON.stringify(unsigned)],
    ["without-signer", JSON.stringify({ ...bare, signature })],
    [
      "signer-with-unused-bits",
      JSON.stringify({ ...unsigned, signer: withUnusedBits(unsigned.signer), signature }),
    ],
    [
      "signature-with-unused-bits",
      JSON.stringify({ ...unsigned, signature: `${digits}${nextDigit(signature)}==` }),
    ],
    ["signature-with-line-end", JSON.stringify({ ...unsigned, signature: `${signature}\n` })],
    ["signature-without-padding", JSON.stringify({ ...unsigned, signature: signature.slice(0, -2) })],
  ];
}

/** A signature whose last digit differs only in unused bits. */
function nextDigit(signature: string): string {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return digits[digits.indexOf(signature.at(-3) ?? "") + 1] ?? "";
}

/** Manifests that are signed by us exactly as they are. */
function badMembers(signed: (change: Members) => string): [string, string | Uint8Array][] {
  // A lenient decoder would repair it into the signed text.
  const repaired = signed({ server: "\ufffd", database: "app" });
  return [
    ["not-utf-8", Buffer.from(repaired.replace("\ufffd", "\xff"), "latin1")],
    ["version-2", signed({ manifest: 2 })],
    ["version-missing", signed({ manifest: undefined })],
    ["nested-33-levels", signed({ later: JSON.parse(nested(32)) })],
    ["nested-20000-levels", signed({ later: 1 }).replace('"later":1', `"later":${nested(20_000)}`)],
    ["lone-surrogate", signed({ server: "\ud800" })],
    ["lone-surrogate-in-unknown", signed({ later: "\udfff" })],
    ["member-name-a-number", signed({ 1: 1 })],
    ["member-name-with-capital", signed({ Later: 1 })],
    ["number-with-fraction", signed({ later: 0.5 })],
    ["number-too-large", signed({ later: 2 ** 53 })],
    ["time-without-fraction", signed({ finished_at: "2026-11-23T00:26:00Z" })],
    ["time-nonsense", signed({ finished_at: "2026-13-45T99:99:99.999Z" })],
    ["time-february-30", signed({ started_at: "2026-02-30T00:00:00.000Z" })],
    ["size-negative", signed({ object_bytes: -1 })],
    ["size-null", signed({ object_bytes: null })],
    ["sha256-in-capitals", signed({ object_sha256: fields.object_sha256.toUpperCase() })],
    ["previous-id-missing", signed({ previous_id: undefined })],
    ["encryption-unknown", signed({ encryption: "aes" })],
    ["details-an-object", signed({ details: {} })],
    ["object-key-empty", signed({ object_key: "" })],
    ["object-key-of-1025-code-units", signed({ object_key: "k".repeat(1025) })],
  ];
}
