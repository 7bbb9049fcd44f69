import type { KeyObject } from "node:crypto";
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { rfc3339 } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import type { SealedVersion } from "./file-key.ts";
import { isInstallation } from "./metadata.ts";

/** The purpose of a signature, put before the signed bytes so that one signature cannot pass for another kind. */
export type SignatureDomain =
  | `pg321 sealed ${SealedVersion} signature\n`
  | "pg321 manifest 1 signature\n"
  | "pg321 restore result 1 signature\n";

export const SIGNATURE_BYTES = 64;

/** The installation's Ed25519 key. The private half stays inside. */
export class SigningKey {
  readonly installation: string;
  /** The public half: base64 of its 32 raw bytes. */
  readonly signer: string;
  readonly #privateKey: KeyObject;

  constructor(installation: string, privateKey: KeyObject) {
    this.installation = installation;
    this.#privateKey = privateKey;
    const { x } = createPublicKey(privateKey).export({ format: "jwk" });
    this.signer = Buffer.from(x ?? "", "base64url").toString("base64");
  }

  sign(domain: SignatureDomain, bytes: Uint8Array): Uint8Array {
    return sign(null, Buffer.concat([Buffer.from(domain), bytes]), this.#privateKey);
  }

  /** The text of its file, which is secret. `createdAt` only informs the reader. */
  encode(createdAt: Date): string {
    return [
      "# pg321 signing key: restores trust what it signs. Keep it on the host that makes the backups.",
      `# created: ${rfc3339(createdAt)}`,
      `# installation: ${this.installation}`,
      `# signer: ${this.signer}`,
      this.#privateKey.export({ type: "pkcs8", format: "pem" }),
    ].join("\n");
  }
}

export function generateSigningKey(installation: string): SigningKey {
  return new SigningKey(installation, generateKeyPairSync("ed25519").privateKey);
}

/** Reads the text of a signing key file. Throws code `key`; no message contains any of the text. */
export function readSigningKey(text: string): SigningKey {
  const pem = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----/.exec(text)?.[0];
  const installation = /^# installation: (\S+)$/m.exec(text)?.[1];
  if (pem === undefined || installation === undefined || !isInstallation(installation)) {
    throw unreadable("has no installation id or no private key");
  }
  const key = new SigningKey(installation, ed25519Key(pem));
  const stated = /^# signer: (\S+)$/m.exec(text)?.[1];
  if (stated !== key.signer) throw unreadable("its signer line and its private key do not belong together");
  return key;
}

function ed25519Key(pem: string): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The cause is omitted because it may quote the text.
  }
  if (key?.asymmetricKeyType !== "ed25519") throw unreadable("its private key is not an Ed25519 key");
  return key;
}

function unreadable(why: string): Pg321Error {
  return new Pg321Error("key", `signing key file: ${why}`, {
    hint: "use the file written by pg321 key generate, or restore it from your own copy",
  });
}

/**
 * Refuses (code `key`) a signer that is not one of `trustedSigners`. Called before the signature is checked,
 * because a signature by a key that anybody may have made proves nothing.
 */
export function requireTrusted(what: string, signer: string, trustedSigners: readonly string[]): void {
  if (trustedSigners.includes(signer)) return;
  throw new Pg321Error("key", `${what}: signed by ${signer}, which is not a trusted signer`, {
    hint: "if one of your installations made it, add its line `# signer: …` to the identity file; otherwise do not restore it",
  });
}

export function isSignedBy(
  signer: string,
  domain: SignatureDomain,
  bytes: Uint8Array,
  signature: Uint8Array,
): boolean {
  const x = Buffer.from(signer, "base64").toString("base64url");
  const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return verify(null, Buffer.concat([Buffer.from(domain), bytes]), publicKey, signature);
}
