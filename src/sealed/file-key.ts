import type { KeyObject } from "node:crypto";
import { createHmac, createSecretKey, hkdfSync } from "node:crypto";
import { Decrypter, Encrypter } from "age-encryption";
import { Pg321Error } from "../base/errors.ts";
import { SEALED_AGE_BYTES_MAX } from "../base/limits.ts";
import type { Secret } from "../base/secret.ts";
import { damaged } from "./damage.ts";

export const FILE_KEY_BYTES = 32;
export const MAC_BYTES = 32;
export const NONCE_BYTES = 16;

const X25519_RECIPIENT = /^age1[02-9ac-hj-np-z]{58}$/;

/** The age file with `fileKey` for each recipient. Throws code `usage` for text that is not an X25519 recipient. */
export async function wrapFileKey(fileKey: Uint8Array, recipients: readonly string[]): Promise<Uint8Array> {
  const wrapped = await x25519Encrypter(recipients).encrypt(fileKey);
  if (wrapped.length <= SEALED_AGE_BYTES_MAX) return wrapped;
  throw new Pg321Error("usage", `encryption: ${recipients.length} recipients are too many for one file`, {
    hint: "use fewer recipients",
  });
}

/** Encrypts only to X25519 recipients: a program that runs unattended cannot use a passphrase or a plugin. */
export function x25519Encrypter(recipients: readonly string[]): Encrypter {
  const hint = "give one or more public keys (age1…), as printed by pg321 key generate or age-keygen";
  if (recipients.length === 0) throw new Pg321Error("usage", "encryption: no recipient", { hint });
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    try {
      if (!X25519_RECIPIENT.test(recipient)) throw new Error("not an X25519 recipient");
      encrypter.addRecipient(recipient);
    } catch (cause) {
      const shown = JSON.stringify(recipient.slice(0, 80));
      throw new Pg321Error("usage", `encryption: ${shown} is not an age X25519 recipient`, { hint, cause });
    }
  }
  return encrypter;
}

/** Throws code `key` if none of the identities opens it. */
export async function unwrapFileKey(wrapped: Uint8Array, identities: readonly Secret[]): Promise<Uint8Array> {
  const fileKey = await decryptAge(wrapped, identities);
  if (fileKey.length !== FILE_KEY_BYTES) throw damaged("its file key has the wrong length");
  return fileKey;
}

/** Decrypts an age file. Its bytes are already authenticated, so a failure is due to the identity: code `key`. */
export async function decryptAge(file: Uint8Array, identities: readonly Secret[]): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity.reveal());
  try {
    return await decrypter.decrypt(file);
  } catch (cause) {
    throw new Pg321Error("key", "none of the given identities opens this backup", {
      hint: "use the identity file whose public key was a recipient when the backup was made",
      cause,
    });
  }
}

/**
 * The version of a sealed file: in 1 the plaintext is one archive (or SQL), in 2 a container of several archives. It is in
 * the first line, and in all strings that keys and signatures are made with.
 */
export type SealedVersion = 1 | 2;

/** Binds a header to the key of its payload. */
export function headerMac(
  fileKey: Uint8Array,
  headerBytes: Uint8Array,
  version: SealedVersion = 1,
): Uint8Array {
  const key = derive(fileKey, new Uint8Array(0), `pg321 sealed ${version} header`);
  return createHmac("sha256", key).update(headerBytes).digest();
}

export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array, version: SealedVersion = 1): KeyObject {
  return createSecretKey(derive(fileKey, nonce, `pg321 sealed ${version} payload`));
}

function derive(fileKey: Uint8Array, salt: Uint8Array, info: string): Buffer {
  return Buffer.from(hkdfSync("sha256", fileKey, salt, info, 32));
}
