import type { SealedBackups } from "../catalog/recovery-kits.ts";
import { sealedText } from "../jobs/recovery-kit/secrets-page.ts";
import type { IdentityFacts } from "../sealed/identity.ts";
import type { Seen } from "./finding.ts";
import { ok, warning } from "./finding.ts";

/** Where the identity is: opened, protected by a passphrase that is not known here, or not on this host. */
export type KnownIdentity = readonly IdentityFacts[] | "protected" | "elsewhere";

/** Which backups need which identity, and whether it is here. `sealed`: undefined in a catalog of an older version. */
export function lookAtNeededIdentities(
  sealed: readonly SealedBackups[] | undefined,
  identity: KnownIdentity,
): Seen[] {
  return (sealed ?? []).map((one) =>
    one.recipients === null ? unrecorded(one, identity) : needed(one, one.recipients, identity),
  );
}

function needed(of: SealedBackups, recipients: readonly string[], identity: KnownIdentity): Seen {
  const need = `${sealedText(of)} ${of.backups === 1 ? "needs" : "need"} the identity of ${recipients.join(" or ")}`;
  if (identity === "elsewhere") return ok(`${need}, which is not on this host`);
  if (identity === "protected")
    return ok(`${need}; not checked: the identity file is protected by a passphrase`);
  const isHere = recipients.some((one) => identity.some(({ recipient }) => recipient === one));
  if (isHere) return ok(`${need}, which is here`);
  return warning(
    `${need}, which is not in the identity file: nobody can restore them with it`,
    "add the line AGE-SECRET-KEY-1… of that identity from your copy (safe, paper, export) to the identity file",
  );
}

/**
 * Backups from before the recipients were recorded, or adopted from a storage: an identity that is newer than a backup
 * cannot be the one that it was sealed to.
 */
function unrecorded(of: SealedBackups, identity: KnownIdentity): Seen {
  const start = `${sealedText(of)} without recorded recipients`;
  if (typeof identity === "string") return ok(`${start}: they need an identity from that time`);
  const candidates = identity.filter(
    ({ createdAt }) => createdAt === undefined || new Date(createdAt) <= new Date(of.last_started_at),
  );
  if (candidates.length > 0)
    return ok(
      `${start}: by their time they need the identity of ${candidates.map((one) => one.recipient).join(" or ")}`,
    );
  return warning(
    `${start}: every identity in the file is newer than they are`,
    "add the identity from that time to the identity file; pg321 verify --all shows which backups open",
  );
}
