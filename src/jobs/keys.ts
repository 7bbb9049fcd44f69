import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { PLACE_MS_MAX, placeAt } from "../base/files/place.ts";
import { userName } from "../base/process/become-user.ts";
import { Secret } from "../base/secret.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { EncryptionConfig } from "../config/config.ts";
import type { IdentityFile } from "../sealed/identity.ts";
import { isPassphraseProtected, readIdentityFile } from "../sealed/identity.ts";
import type { SigningKey } from "../sealed/signing-key.ts";
import { readSigningKey } from "../sealed/signing-key.ts";

/** The keys of this host, each read when it is first needed. */
export interface Keys {
  /** Undefined on a host that only restores, and if nothing is encrypted and no key was generated. */
  signingKey: SigningKey | undefined;
  /** The opened identity file; undefined if the config has none. Throws code `key`. */
  identity(): Promise<IdentityFile | undefined>;
  /** The public keys whose signatures we trust: our own, and those listed in the identity file. */
  trustedSigners(): Promise<string[]>;
}

/** Sources of keys besides the files in the config. */
export interface KeySources {
  /** Asks for the passphrase of a protected identity file if the config has none. */
  askPassphrase?: (() => Promise<string>) | undefined;
  /** The identity file's text, if it was read with rights that have since been given up. */
  identityText?: string | undefined;
}

export async function loadKeys(config: EncryptionConfig, sources: KeySources = {}): Promise<Keys> {
  const signingKey = await loadSigningKey(config.signing_key_file);
  let opened: Promise<IdentityFile | undefined> | undefined;
  const identity = () => {
    opened ??= openIdentity(config, sources);
    return opened;
  };
  return {
    signingKey,
    identity,
    trustedSigners: async () => {
      const named = (await identity())?.signers ?? [];
      return [...new Set([...(signingKey ? [signingKey.signer] : []), ...named])];
    },
  };
}

/** The signing key, which a backup needs and a restore does not. Throws code `key`. */
export function requireSigningKey(keys: Keys, config: EncryptionConfig): SigningKey {
  if (keys.signingKey) return keys.signingKey;
  throw noSigningKey(config);
}

export function noSigningKey({ signing_key_file }: EncryptionConfig): Pg321Error {
  return new Pg321Error("key", `no signing key at ${signing_key_file}`, {
    hint: "make the installation's keys with: pg321 key generate; on a further host that shares the catalog, copy this file from the first host instead (docs/fleet.md). A running daemon reads it after: systemctl reload pg321",
  });
}

async function loadSigningKey(file: string): Promise<SigningKey | undefined> {
  const text = await readKeyFile(file, "signing key");
  return text === undefined ? undefined : readSigningKey(text);
}

async function openIdentity(
  config: EncryptionConfig,
  { askPassphrase, identityText }: KeySources,
): Promise<IdentityFile | undefined> {
  if (config.identity_file === undefined) return undefined;
  const text = identityText ?? (await readIdentityText(config));
  if (text === undefined) {
    throw new Pg321Error("key", `no identity file at ${config.identity_file}`, {
      hint: "put the identity file there, or make a new installation's keys with: pg321 key generate",
    });
  }
  let passphrase = config.identity_passphrase;
  if (isPassphraseProtected(text) && !passphrase && askPassphrase)
    passphrase = new Secret(await askPassphrase());
  return readIdentityFile(text, passphrase);
}

/** The text of the identity file; undefined if there is none. Throws code `key` if it cannot be read. */
export async function readIdentityText({
  identity_file,
}: Pick<EncryptionConfig, "identity_file">): Promise<string | undefined> {
  return identity_file === undefined ? undefined : readKeyFile(identity_file, "identity");
}

async function readKeyFile(file: string, what: string): Promise<string | undefined> {
  try {
    const call = { what: `${what} file ${file}`, limitMs: PLACE_MS_MAX };
    return await placeAt(dirname(file)).run(call, () => readFile(file, "utf8"));
  } catch (error) {
    // Its disk does not answer.
    if (error instanceof Pg321Error)
      throw new Pg321Error("key", error.message, { hint: error.hint ?? "", cause: error });
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    if (code !== "EACCES") throw new Pg321Error("key", `${what} file ${file}: ${code}`, { cause: error });
    const user = userName();
    throw new Pg321Error("key", `${what} file ${file}: user "${user}" cannot read it`, {
      hint:
        what === "identity"
          ? `run this command as root, or let the service open backups too: chgrp ${user} ${shellQuoted(file)} && chmod 0640 ${shellQuoted(file)}`
          : `chown ${user} ${shellQuoted(file)} && chmod 0600 ${shellQuoted(file)}`,
      cause: error,
    });
  }
}
