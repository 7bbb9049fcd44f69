import { readFile } from "node:fs/promises";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import type { Secret } from "../base/secret.ts";
import type { IdentityFacts } from "../sealed/identity.ts";
import {
  currentRecipients,
  generateIdentity,
  isPassphraseProtected,
  openIdentityText,
  readIdentityFile,
  withIdentity,
} from "../sealed/identity.ts";
import { replaceKeyFile, withKeyFileLock } from "../sealed/key-file.ts";
import { sealText } from "../sealed/passphrase.ts";

export interface Rotation {
  /** False: the identity was made by an earlier rotation, and the config does not name it yet. */
  isNew: boolean;
  /** The new identity. */
  recipient: string;
  /** The recipients that it replaces. Their identities stay in the file. */
  replaces: string[];
  /** All identities in the file, in its order; the new one is among them. */
  identities: IdentityFacts[];
}

export interface RotationOptions {
  identityFile: string;
  /** The recipients in the config; undefined if the identity file was named without a config. */
  recipients: readonly string[] | undefined;
  /** Called only if the file is protected. */
  passphrase: () => Promise<Secret | undefined>;
  clock: Clock;
}

/**
 * Adds a new identity to an identity file, to which new backups are to be sealed; the identities in it stay. If the
 * config does not yet name the identity of an earlier rotation, that one is returned and nothing is written. Throws
 * code `key`.
 */
export async function rotateIdentity(options: RotationOptions): Promise<Rotation> {
  await readText(options.identityFile);
  // Of two rotations at the same time, one would write a file without the identity of the other.
  return withKeyFileLock(options.identityFile, () => rotateLocked(options));
}

async function rotateLocked(options: RotationOptions): Promise<Rotation> {
  const { identityFile, recipients, clock } = options;
  const before = await readText(identityFile);
  const passphrase = isPassphraseProtected(before) ? await options.passphrase() : undefined;
  const plain = await openIdentityText(before, passphrase);
  const { facts } = await readIdentityFile(plain);
  const pending = recipients && pendingRotation(facts, recipients);
  if (pending) return { isNew: false, ...pending, identities: facts };
  const replaces = replacedBy(identityFile, facts, recipients);
  const pair = await generateIdentity();
  const text = withIdentity(plain, pair, { createdAt: clock.now(), replaces });
  const after = await readIdentityFile(text);
  const expected = [...facts.map((one) => one.recipient), pair.recipient];
  if (after.recipients.join() !== expected.join()) throw new Error("the new identity file lacks an identity");
  await replaceKeyFile(
    identityFile,
    before,
    passphrase === undefined ? text : await sealText(text, passphrase),
  );
  return { isNew: true, recipient: pair.recipient, replaces, identities: after.facts };
}

/** An identity whose recipient is not in the config, although the one that it replaces is. */
export function pendingRotation(
  facts: readonly IdentityFacts[],
  recipients: readonly string[],
): Pick<Rotation, "recipient" | "replaces"> | undefined {
  const pending = facts.findLast(
    ({ recipient, replaces }) =>
      !recipients.includes(recipient) && replaces.some((one) => recipients.includes(one)),
  );
  return pending && { recipient: pending.recipient, replaces: pending.replaces };
}

/** The recipients that seal new backups now, as far as this file opens them. */
function replacedBy(
  identityFile: string,
  facts: readonly IdentityFacts[],
  recipients: readonly string[] | undefined,
): string[] {
  const current = recipients
    ? facts.map(({ recipient }) => recipient).filter((one) => recipients.includes(one))
    : currentRecipients(facts);
  if (current.length > 0) return [...new Set(current)];
  throw new Pg321Error(
    "key",
    `identity file ${identityFile}: has no identity to replace: it belongs to none of encryption.recipients`,
    { hint: "name the identity file of a recipient in the config with --identity" },
  );
}

/** The config's recipients after a rotation: the new one in the place of those that it replaces. */
export function rotatedRecipients(
  recipients: readonly string[],
  { recipient, replaces }: Pick<Rotation, "recipient" | "replaces">,
): string[] {
  const changed = recipients.map((one) => (replaces.includes(one) ? recipient : one));
  return [...new Set(changed)];
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new Pg321Error("key", `identity file ${file}: ${isMissing ? "no such file" : messageOf(cause)}`, {
      hint: isMissing
        ? "run this where the identity is kept, and name its file with --identity"
        : "run it with sudo, or as the owner of the file",
      cause,
    });
  }
}
