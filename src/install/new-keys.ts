import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Secret } from "../base/secret.ts";
import { DEFAULT_STATE_DIR } from "../config/config.ts";
import { encodeIdentityFile, generateIdentity } from "../sealed/identity.ts";
import { writeKeyFile } from "../sealed/key-file.ts";
import { generateSigningKey } from "../sealed/signing-key.ts";

/** Where `key generate` and `install --generate-keys` put the keys. */
export const IDENTITY_FILE = "/etc/pg321/identity.txt";
export const SIGNING_KEY_FILE: string = join(DEFAULT_STATE_DIR, "signing.key");

export interface KeyPaths {
  identityFile: string;
  signingKeyFile: string;
}

export interface NewKeys {
  recipient: string;
  installation: string;
  signer: string;
}

/** Makes the keys of a new installation and writes both files. Throws code `key` if one is there already. */
export async function writeNewKeys(
  { identityFile, signingKeyFile }: KeyPaths,
  passphrase: Secret | undefined,
  clock: Clock,
): Promise<NewKeys> {
  const createdAt = clock.now();
  const installation = crypto.randomUUID();
  const signingKey = generateSigningKey(installation);
  const pair = await generateIdentity();
  const about = { installation, signers: [signingKey.signer], createdAt };
  for (const file of [identityFile, signingKeyFile])
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeKeyFile(identityFile, await encodeIdentityFile(pair, about, passphrase));
  await writeKeyFile(signingKeyFile, signingKey.encode(createdAt));
  return { recipient: pair.recipient, installation, signer: signingKey.signer };
}

/**
 * Makes a signing key for a host that tests what another host backs up: of the same installation, but a key of its own,
 * so that its results show who made them. Throws code `key` if the file is there already.
 */
export async function writeProverKey(
  signingKeyFile: string,
  installation: string,
  clock: Clock,
): Promise<Pick<NewKeys, "installation" | "signer">> {
  const signingKey = generateSigningKey(installation);
  await mkdir(dirname(signingKeyFile), { recursive: true, mode: 0o700 });
  await writeKeyFile(signingKeyFile, signingKey.encode(clock.now()));
  return { installation, signer: signingKey.signer };
}
