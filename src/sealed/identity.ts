import { armor, Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { rfc3339 } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { Secret } from "../base/secret.ts";
import { isInstallation, isSigner } from "./metadata.ts";
import { isArmored, sealText } from "./passphrase.ts";

const IDENTITY_PREFIX = "AGE-SECRET-KEY-1";
const IDENTITY_CHARACTERS = 74;
/** The characters after the prefix (Bech32). */
const IDENTITY_ALPHABET = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

/** An age X25519 key pair. */
export interface Identity {
  /** `AGE-SECRET-KEY-1…` */
  identity: Secret;
  /** `age1…`, which is not secret. */
  recipient: string;
}

/** The public facts about one identity of an identity file. */
export interface IdentityFacts {
  recipient: string;
  /** RFC 3339, as its comment `# created: …` says; undefined without such a comment. */
  createdAt: string | undefined;
  /** The recipients that it replaced (`# replaces: …`): their identities stay for older backups. */
  replaces: string[];
}

/** The contents of an identity file. A file of plain age has identities only. */
export interface IdentityFile {
  identities: Secret[];
  /** The public half of each identity, in the same order. */
  recipients: string[];
  /** The public facts about each identity, in the same order. */
  facts: IdentityFacts[];
  /** Public keys of the installations whose backups to trust. */
  signers: string[];
  installation: string | undefined;
}

export async function generateIdentity(): Promise<Identity> {
  const identity = await generateX25519Identity();
  return { identity: new Secret(identity), recipient: await identityToRecipient(identity) };
}

/**
 * The text of an identity file, which stock `age -d -i` accepts. With a passphrase it is an armored age file around
 * that text (scrypt: a second or two during which nothing else runs).
 */
export async function encodeIdentityFile(
  { identity, recipient }: Identity,
  about: { installation: string; signers: readonly string[]; createdAt: Date },
  passphrase?: Secret,
): Promise<string> {
  const text = [
    `# created: ${rfc3339(about.createdAt)}`,
    `# installation: ${about.installation}`,
    ...about.signers.map((signer) => `# signer: ${signer}`),
    `# public key: ${recipient}`,
    identity.reveal(),
    "",
  ].join("\n");
  return passphrase === undefined ? text : sealText(text, passphrase);
}

/**
 * The text of an identity file with a further identity at its end. All that was in it stays as it is, byte for byte,
 * so no backup loses its identity.
 */
export function withIdentity(
  text: string,
  { identity, recipient }: Identity,
  { createdAt, replaces }: { createdAt: Date; replaces: readonly string[] },
): string {
  const lines = [
    `# created: ${rfc3339(createdAt)}`,
    ...replaces.map((replaced) => `# replaces: ${replaced}`),
    `# public key: ${recipient}`,
    identity.reveal(),
    "",
  ];
  return `${text}${text.endsWith("\n") ? "" : "\n"}\n${lines.join("\n")}`;
}

/** The recipients of the identities that no other identity of the file replaces: new backups are sealed to these. */
export function currentRecipients(facts: readonly IdentityFacts[]): string[] {
  const replaced = facts.flatMap(({ replaces }) => replaces);
  return facts.map(({ recipient }) => recipient).filter((one) => !replaced.includes(one));
}

/** The plain text of an identity file. Throws code `key` if the passphrase does not open it, or none was given. */
export async function openIdentityText(text: string, passphrase?: Secret): Promise<string> {
  return isPassphraseProtected(text) ? decryptWithPassphrase(text, passphrase) : text;
}

export function isPassphraseProtected(text: string): boolean {
  return isArmored(text);
}

/**
 * Reads the text of an identity file. Ignores a byte order mark, carriage returns and blanks around a line, which
 * editors and clipboards leave: a signer must not be lost because of them. Throws code `key`; no message contains a
 * secret of the file.
 */
export async function readIdentityFile(text: string, passphrase?: Secret): Promise<IdentityFile> {
  const plain = await openIdentityText(text, passphrase);
  const file: IdentityFile = {
    identities: [],
    recipients: [],
    facts: [],
    signers: [],
    installation: undefined,
  };
  // The comments before an identity belong to it.
  let about: AboutIdentity = { createdAt: undefined, replaces: [] };
  for (const [index, raw] of plain
    .replace(/^\ufeff/, "")
    .split("\n")
    .entries()) {
    const line = raw.replace(/^[ \t\r]+|[ \t\r]+$/g, "");
    if (line.startsWith("#")) {
      readComment(file, line, index + 1);
      readAbout(about, line);
    } else if (line !== "") {
      const recipient = await readIdentity(file, line, index + 1);
      file.facts.push({ recipient, ...about });
      about = { createdAt: undefined, replaces: [] };
    }
  }
  if (file.identities.length === 0) throw unreadable("contains no identity");
  return file;
}

function readComment(file: IdentityFile, line: string, lineNumber: number): void {
  const [, word, value = ""] = /^#[ \t]*(installation|signer)[ \t]*:[ \t]*(.*)$/s.exec(line) ?? [];
  if (word === "signer") {
    if (!isSigner(value)) throw unreadable(`line ${lineNumber} is not a signer's public key`);
    file.signers.push(value);
  }
  if (word === "installation") {
    if (!isInstallation(value)) throw unreadable(`line ${lineNumber} is not an installation's id`);
    file.installation ??= value;
  }
}

type AboutIdentity = Pick<IdentityFacts, "createdAt" | "replaces">;

/** These comments inform people: anything in another form is ignored. */
function readAbout(about: AboutIdentity, line: string): void {
  const [, word, value = ""] = /^#[ \t]*(created|replaces)[ \t]*:[ \t]*(\S+)$/.exec(line) ?? [];
  if (word === "created" && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value)) about.createdAt = value;
  if (word === "replaces" && /^age1[02-9ac-hj-np-z]{58}$/.test(value)) about.replaces.push(value);
}

async function readIdentity(file: IdentityFile, line: string, lineNumber: number): Promise<string> {
  try {
    if (!line.startsWith(IDENTITY_PREFIX)) throw new Error("not an X25519 identity");
    const recipient = await identityToRecipient(line);
    file.recipients.push(recipient);
    file.identities.push(new Secret(line));
    return recipient;
  } catch {
    // The cause is omitted because it may quote the line.
    throw mistyped(line, lineNumber);
  }
}

/** An identity that was typed from paper with a mistake, or a line of something else. */
function mistyped(line: string, lineNumber: number): Pg321Error {
  if (!line.toUpperCase().startsWith(IDENTITY_PREFIX))
    return unreadable(`line ${lineNumber} is neither a comment nor a whole X25519 identity`);
  return new Pg321Error("key", `identity file: line ${lineNumber} has a typing mistake: ${mistakeIn(line)}`, {
    hint: `compare line ${lineNumber} with the original, character by character; every letter is a capital, and after ${IDENTITY_PREFIX} there is no B, I, O or 1`,
  });
}

/** What is wrong with the form of an identity. Names positions only: the line is secret. */
function mistakeIn(line: string): string {
  if (line.length !== IDENTITY_CHARACTERS)
    return `it has ${line.length} characters, not ${IDENTITY_CHARACTERS}`;
  const position = [...line].findIndex(
    (character, index) => index >= IDENTITY_PREFIX.length && !IDENTITY_ALPHABET.includes(character),
  );
  return position === -1 ? "its checksum is wrong" : `character ${position + 1} cannot be in an identity`;
}

async function decryptWithPassphrase(text: string, passphrase: Secret | undefined): Promise<string> {
  if (passphrase === undefined) {
    throw new Pg321Error("key", "identity file: it is protected by a passphrase, and none was given", {
      hint: "set encryption.identity_passphrase, from a file or a systemd credential; key show takes --passphrase-file, and unseal asks on a terminal",
    });
  }
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase.reveal());
  try {
    return await decrypter.decrypt(armor.decode(text), "text");
  } catch (cause) {
    throw new Pg321Error("key", "identity file: the passphrase does not open it", {
      hint: "use the passphrase given to pg321 key generate; if it is right, the file is damaged",
      cause,
    });
  }
}

function unreadable(why: string): Pg321Error {
  return new Pg321Error("key", `identity file: ${why}`, {
    hint: "use a file written by pg321 key generate or age-keygen",
  });
}
