import { plural } from "../../base/text/amounts.ts";
import type { SealedBackups } from "../../catalog/recovery-kits.ts";
import type { Block } from "./blocks.ts";
import type { KitFacts } from "./facts.ts";

/** What a person must have besides the page: every secret, its purpose, and where it is kept. Never a secret itself. */
export function secretBlocks(facts: KitFacts): Block[] {
  return [
    { heading: "What you must have besides this page", level: 2 },
    {
      text: "This page holds **no secret**. Without the secrets below nobody can restore, not even with pg321. If the host is lost, they come from your own copies: the export (`pg321 export-keys`), a password manager, a safe, paper.",
    },
    {
      titles: ["Secret", "Purpose", "Kept on the host at"],
      rows: [...identityRows(facts), ...storageRows(facts)],
    },
    ...(facts.isEncrypted ? identityNotes(facts) : [noEncryption]),
  ];
}

const noEncryption: Block = {
  text: 'New backups are **not encrypted** (`encryption.mode = "none"`): they need no identity, and whoever can read a storage can read them.',
};

/** A row for each identity that a backup needs, or new backups will need. */
function identityRows(facts: KitFacts): string[][] {
  const { recipients, sealed, identities, isEncrypted } = facts;
  const needed = new Set([
    ...(isEncrypted ? recipients : []),
    ...sealed.flatMap((one) => one.recipients ?? []),
    ...(identities ?? []).map(({ recipient }) => recipient),
  ]);
  const rows = [...needed].map((recipient) => [
    `identity of \`${recipient}\``,
    purposeOf(recipient, facts),
    keptAt(recipient, facts),
  ]);
  if (facts.hasPassphrase)
    rows.push([
      "passphrase of the identity file",
      "the age program asks for it",
      "see your password manager",
    ]);
  return rows;
}

function purposeOf(recipient: string, { recipients, sealed, isEncrypted }: KitFacts): string {
  const purposes = sealed
    .filter((one) => one.recipients?.includes(recipient))
    .map((one) => `opens ${sealedText(one)}${(one.recipients?.length ?? 0) > 1 ? ", as others do" : ""}`);
  if (isEncrypted && recipients.includes(recipient)) purposes.push("opens the backups to come");
  return purposes.length === 0 ? "perhaps needed by older backups" : purposes.join("; ");
}

function keptAt(recipient: string, { identityFile, identities }: KitFacts): string {
  if (identityFile === undefined) return "not on this host: kept elsewhere";
  if (identities === undefined) return `\`${identityFile}\` (not checked)`;
  const isHere = identities.some((one) => one.recipient === recipient);
  return isHere ? `\`${identityFile}\`` : "not on this host: kept elsewhere";
}

/** `12 backups (2026-11-01 to 2026-11-23)` */
export function sealedText({ backups, first_started_at, last_started_at }: SealedBackups): string {
  const [first, last] = [first_started_at.slice(0, 10), last_started_at.slice(0, 10)];
  return `${plural(backups, "backup")} (${first === last ? first : `${first} to ${last}`})`;
}

function storageRows({ storages }: KitFacts): string[][] {
  return storages
    .filter(({ settings }) => settings.type === "s3")
    .map(({ settings, secrets }) => [
      `access key of storage ${settings.name}`,
      "fetches the backups from there; a new key from the provider does as well",
      secrets.length === 0 ? "the config" : secrets.join("; "),
    ]);
}

function identityNotes({ sealed, signer }: KitFacts): Block[] {
  const unrecorded = sealed.find((one) => one.recipients === null);
  const period = unrecorded
    ? ` For ${sealedText(unrecorded)} it is not recorded which identity they need: one from that time.`
    : "";
  return [
    {
      text: `An identity is a line \`AGE-SECRET-KEY-1…\`. A file may have several, and the right one is found by itself.${period}`,
    },
    ...(signer === undefined
      ? []
      : [
          {
            text: `Signer of this installation (public; a line \`# signer: …\` of the identity file names it, and \`unseal.py --signer\` trusts it): \`${signer}\``,
          },
        ]),
  ];
}
