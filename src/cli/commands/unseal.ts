import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { namesAnother } from "../../jobs/copies/object-key.ts";
import { decompressed } from "../../jobs/copies/read-backup.ts";
import type { IdentityFile } from "../../sealed/identity.ts";
import { isPassphraseProtected, readIdentityFile } from "../../sealed/identity.ts";
import type { SealedMetadata } from "../../sealed/metadata.ts";
import { isSigner } from "../../sealed/metadata.ts";
import { openSealed } from "../../sealed/open.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, textOption, textOptions } from "../command.ts";
import { askPassphrase, commandConfig } from "../open-context.ts";
import { refuseTerminal } from "../output/output.ts";

export const command: Command = {
  usage: "FILE|- [--identity FILE]",
  description:
    "Verifies the signature, opens every segment and writes the dump to stdout. Needs only the file and the\n" +
    "identity: this is how a backup is restored when everything else is gone. What it wrote counts only when\n" +
    "it exits with 0.",
  options: {
    identity: {
      type: "string",
      short: "i",
      value: "FILE",
      help: "the identity file (else encryption.identity_file of the config)",
    },
    signer: {
      type: "string",
      multiple: true,
      value: "KEY",
      help: "trust this signer too, beside those that the identity file names",
    },
    compressed: { type: "boolean", help: "leave the compression as it is" },
  },
  examples: [
    {
      command: "pg321 unseal backup_app_….dump.zst.enc -i identity.txt | pg_restore -d app",
      explanation: "a copy that was fetched by hand",
    },
    {
      command: "rclone cat b2:bucket/main/app/backup_…enc | pg321 unseal - -i identity.txt > app.dump",
      explanation: "straight from a bucket",
    },
  ],
  positionals: { min: 1, max: 1 },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    refuseTerminal("unseal", output);
    const file = args.positionals[0] ?? "-";
    const identity = await identityOf(invocation);
    const source = file === "-" ? invocation.stdin() : readable(file);
    const trust = {
      trustedSigners: [...identity.signers, ...textOptions(args, "signer").map(requireSigner)],
    };
    const { metadata, plaintext } = await openSealed(source, trust, identity.identities);
    const { server, database, started_at, compression } = metadata;
    requireNamed(file, metadata);
    output.note(`backup ${metadata.backup_id} of ${server}/${database}, begun ${started_at}, ${compression}`);
    const bytes = isSet(args, "compressed") ? plaintext : decompressed(plaintext, compression);
    for await (const chunk of bytes) await output.write(chunk);
    return 0;
  },
};

function requireSigner(text: string): string {
  if (isSigner(text)) return text;
  throw new Pg321Error("usage", "unseal: --signer is not the base64 of an Ed25519 public key", {
    hint: "copy it whole, 44 characters, from a line `# signer: …` or from pg321 key show",
  });
}

/** All there is to compare with: who can write to a storage can put one good backup in another's place. */
function requireNamed(file: string, { backup_id, started_at, kind }: SealedMetadata): void {
  if (!namesAnother(file, { startedAt: new Date(started_at), backupId: backup_id, kind })) return;
  throw new Pg321Error(
    "verification",
    `${file}: it holds another backup than its name says: ${backup_id}, begun ${started_at}`,
    { hint: "if that is the one you want, give it on standard input: pg321 unseal - < FILE" },
  );
}

async function identityOf(invocation: Invocation): Promise<IdentityFile> {
  const named = textOption(invocation.arguments, "identity");
  const encryption =
    named === undefined
      ? (await commandConfig(invocation, { keepsRoot: true, setsAside: true })).encryption
      : undefined;
  const file = named ?? encryption?.identity_file;
  if (file === undefined) {
    throw new Pg321Error("key", "unseal: no identity is named", { hint: "give it with --identity FILE" });
  }
  const text = await readFile(file, "utf8").catch((cause) => {
    throw new Pg321Error("key", `identity file ${file}: ${reasonOf(cause)}`, { cause });
  });
  let passphrase = encryption?.identity_passphrase;
  if (isPassphraseProtected(text) && !passphrase && invocation.terminal?.isInteractive) {
    passphrase = new Secret(await askPassphrase("Passphrase of the identity file: "));
  }
  return readIdentityFile(text, passphrase);
}

function reasonOf(cause: NodeJS.ErrnoException): string {
  return cause.code === "ENOENT" ? "there is no such file" : messageOf(cause);
}

async function* readable(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* createReadStream(file, { highWaterMark: 1024 * 1024 });
  } catch (cause) {
    throw new Pg321Error("storage", `${file}: ${reasonOf(cause as NodeJS.ErrnoException)}`, { cause });
  }
}
