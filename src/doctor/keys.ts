import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { userName } from "../base/process/become-user.ts";
import { plural } from "../base/text/amounts.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { SealedBackups } from "../catalog/recovery-kits.ts";
import type { Config, EncryptionConfig } from "../config/config.ts";
import { OFF } from "../config/cron.ts";
import { pendingRotation } from "../install/rotate-identity.ts";
import { loadKeys, readIdentityText, requireSigningKey } from "../jobs/keys.ts";
import { isPassphraseProtected, readIdentityFile } from "../sealed/identity.ts";
import { lookAtNeededIdentities } from "./backup-identities.ts";
import type { Seen } from "./finding.ts";
import { failed, ok, warning } from "./finding.ts";

export async function lookAtSigningKey(config: EncryptionConfig): Promise<Seen[]> {
  const keys = await loadKeys(config);
  if (!keys.signingKey && config.mode === "none")
    return [
      warning("no signing key: nothing proves where backups come from", "make one with: pg321 key generate"),
    ];
  const { installation } = requireSigningKey(keys, config);
  return [ok(`signs for installation ${installation}`), ...(await exposed(config.signing_key_file))];
}

/** `identityText`: the text that root read before it gave up its rights. */
export async function lookAtIdentity(
  { encryption, schedule, server }: Config,
  file: string,
  identityText: string | undefined,
  sealed: readonly SealedBackups[] | undefined,
): Promise<Seen[]> {
  const text = identityText ?? (await readIdentityText(encryption));
  if (text === undefined) {
    return [
      failed(
        "key",
        "there is no such file",
        "put the identity file there, or remove identity_file from the config",
      ),
    ];
  }
  const seen = [...(await exposed(file)), ...(await readable(file, schedule.verify !== OFF))];
  if (isPassphraseProtected(text) && !encryption.identity_passphrase) {
    const hint =
      "check it with pg321 key show; with encryption.identity_passphrase, doctor and the service can open it too";
    return [
      warning("not checked: it is protected by a passphrase that is not in the config", hint),
      ...lookAtNeededIdentities(sealed, "protected"),
      ...seen,
    ];
  }
  const identity = await readIdentityFile(text, encryption.identity_passphrase);
  const needed = lookAtNeededIdentities(sealed, identity.facts);
  const opened = encryption.recipients.filter((one) => identity.recipients.includes(one));
  if (encryption.mode === "age" && opened.length === 0) {
    const hint = `add its recipient to encryption.recipients: ${identity.recipients.join(", ")}`;
    return [
      failed("key", "opens no backup: it belongs to none of the recipients in the config", hint),
      ...needed,
      ...seen,
    ];
  }
  const pending = pendingRotation(identity.facts, encryption.recipients);
  if (pending !== undefined && encryption.mode === "age")
    seen.push(
      warning(
        `contains a newer identity, ${pending.recipient}, to which no backup is sealed: the rotation is not finished`,
        "pg321 key rotate prints the change of encryption.recipients that finishes it",
      ),
    );
  const { signingKey } = await loadKeys(encryption).catch(() => ({ signingKey: undefined }));
  // A host that only tests restores signs its results, and no backups.
  if (server.length > 0 && signingKey && !identity.signers.includes(signingKey.signer)) {
    const line = `# signer: ${signingKey.signer}`;
    seen.push(
      warning(
        "does not list this installation's signing key: another host that uses it would not trust these backups",
        `add this line to it, and to its copies: ${line}`,
      ),
    );
  }
  const count = `${opened.length} of ${plural(encryption.recipients.length, "recipient")}`;
  return [
    ok(encryption.mode === "age" ? `opens backups sealed to ${count}` : "backups are not encrypted"),
    ...needed,
    ...seen,
  ];
}

/** Whether the current user, which is the service's, can read the file too. */
async function readable(file: string, isVerified: boolean): Promise<Seen[]> {
  try {
    await access(file, constants.R_OK);
    return [];
  } catch {
    const user = userName();
    const hint = `allow it: chgrp ${user} ${shellQuoted(file)} && chmod 0640 ${shellQuoted(file)}; or leave it, and run verify and restore as root`;
    const message = `user "${user}" cannot read it: the service can make backups but not open them`;
    return [isVerified ? warning(`${message}, so it cannot verify them`, hint) : ok(message)];
  }
}

async function exposed(file: string): Promise<Seen[]> {
  try {
    const { mode } = await stat(file);
    if ((mode & 0o007) === 0) return [];
    return [warning("every user of this host has access to it", `chmod o= ${shellQuoted(file)}`)];
  } catch {
    // A file that we cannot even see is not exposed.
    return [];
  }
}
