import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import { namesAnother } from "../../jobs/copies/object-key.ts";
import { decompressed } from "../../jobs/copies/read-backup.ts";
import type { ProgressListener } from "../../jobs/progress.ts";
import { ProgressMeter, silentProgress } from "../../jobs/progress.ts";
import { writeNewDump } from "../../jobs/restore/export-members.ts";
import { requireAbsent } from "../../jobs/restore/new-file.ts";
import type { IdentityFile } from "../../sealed/identity.ts";
import { isPassphraseProtected, readIdentityFile } from "../../sealed/identity.ts";
import type { SealedMetadata } from "../../sealed/metadata.ts";
import { isSigner } from "../../sealed/metadata.ts";
import { openSealed } from "../../sealed/open.ts";
import { observed } from "../../stream/meter.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, PROGRESS_OPTIONS, textOption, textOptions } from "../command.ts";
import { askPassphrase, commandConfig, progressFor } from "../open-context.ts";
import { refuseTerminal } from "../output/output.ts";
import { filesLines } from "../output/restore-text.ts";

export const command: Command = {
  usage: "FILE|- [--identity FILE] [--output FILE]",
  description:
    "Verifies the signature, opens every segment and writes the dump to stdout. Needs only the file and the identity,\n" +
    "so it works when everything else is lost. Do not use the output unless the exit code is 0. A backup made with\n" +
    "dump.jobs has several archives, which --output writes into a new directory.",
  options: {
    identity: {
      type: "string",
      short: "i",
      value: "FILE",
      help: "the identity file (default: encryption.identity_file of the config)",
    },
    signer: {
      type: "string",
      multiple: true,
      value: "KEY",
      help: "trust this signer too, in addition to those in the identity file (may be repeated)",
    },
    output: {
      type: "string",
      short: "o",
      value: "FILE",
      help: "write a new file, or a new directory if the dump has several archives, instead of stdout",
    },
    compressed: { type: "boolean", help: "do not decompress the dump" },
    ...PROGRESS_OPTIONS,
  },
  examples: [
    {
      command: "pg321 unseal backup_app_….dump.zst.enc -i identity.txt | pg_restore -d app",
      explanation: "a copy that was downloaded by hand",
    },
    {
      command: "rclone cat b2:bucket/main/app/backup_…enc | pg321 unseal - -i identity.txt > app.dump",
      explanation: "straight from a bucket",
    },
  ],
  positionals: { min: 1, max: 1, values: [{ paths: "files" }] },
  conflicts: [{ options: ["output", "compressed"], why: "--output writes what pg_restore reads" }],
  async run(invocation) {
    const { arguments: args, output } = invocation;
    const to = textOption(args, "output");
    if (to === undefined) refuseTerminal("unseal", output);
    else await requireAbsent(to);
    const file = args.positionals[0] ?? "-";
    const identity = await identityOf(invocation);
    const [title, size] =
      file === "-" ? ["unseal", undefined] : [`unseal ${basename(file)}`, await sizeOf(file)];
    const progress = new ProgressMeter(progressBeside(invocation, to), title, size);
    await using _end = { [Symbol.asyncDispose]: async () => progress.end() };
    const source = observed(file === "-" ? invocation.stdin() : readable(file), (bytes) =>
      progress.pass(bytes),
    );
    const trust = {
      trustedSigners: [...identity.signers, ...textOptions(args, "signer").map(requireSigner)],
    };
    const { version, metadata, plaintext } = await openSealed(source, trust, identity.identities);
    const { server, database, started_at, compression } = metadata;
    requireNamed(file, metadata);
    output.note(
      `backup ${metadata.backup_id} of ${server}/${database}, started ${timeText(started_at)}, ${compression}`,
    );
    const bytes = isSet(args, "compressed") ? plaintext : decompressed(plaintext, compression);
    if (to !== undefined) {
      const { files } = await writeNewDump(to, bytes, version);
      for (const line of filesLines(to, files)) output.note(line);
      return 0;
    }
    if (version === 2)
      output.note(
        "it has several archives, which pg_restore cannot read from this output: use --output DIRECTORY",
      );
    for await (const chunk of bytes) await output.write(chunk);
    return 0;
  },
};

function requireSigner(text: string): string {
  if (isSigner(text)) return text;
  throw new Pg321Error("usage", "unseal: --signer is not the base64 of an Ed25519 public key", {
    hint: "copy all 44 characters from a line `# signer: …` of an identity file, or from pg321 key show",
  });
}

/**
 * Refuses a file whose name belongs to another backup: anybody who can write to a storage can replace one good backup
 * by another, and without a catalog the name is all there is to compare with.
 */
function requireNamed(file: string, { backup_id, started_at, kind }: SealedMetadata): void {
  if (!namesAnother(file, { startedAt: new Date(started_at), backupId: backup_id, kind })) return;
  throw new Pg321Error(
    "verification",
    `${file}: contains another backup than its name says: ${backup_id}, started ${timeText(started_at)}`,
    { hint: "if you want that backup, pass the file on standard input: pg321 unseal - < FILE" },
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
    throw new Pg321Error("key", "unseal: no identity file is given", { hint: "use --identity FILE" });
  }
  const text = await readFile(file, "utf8").catch((cause) => {
    throw new Pg321Error("key", `identity file ${file}: ${reasonOf(cause)}`, { cause });
  });
  let passphrase = encryption?.identity_passphrase;
  if (isPassphraseProtected(text) && !passphrase && invocation.terminal?.isInteractive) {
    passphrase = new Secret(await askPassphrase("Passphrase of the identity file: ", invocation.signal));
  }
  return readIdentityFile(text, passphrase);
}

function reasonOf(cause: NodeJS.ErrnoException): string {
  return cause.code === "ENOENT" ? "no such file" : messageOf(cause);
}

/** On the terminal the lines of the program that reads stdout would be drawn over. */
function progressBeside(invocation: Invocation, to: string | undefined): ProgressListener {
  return to === undefined && invocation.progress === "auto" ? silentProgress : progressFor(invocation);
}

/** Undefined for a pipe; what cannot be read says so when it is read. */
async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

async function* readable(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* createReadStream(file, { highWaterMark: 1024 * 1024 });
  } catch (cause) {
    throw new Pg321Error("storage", `${file}: ${reasonOf(cause as NodeJS.ErrnoException)}`, { cause });
  }
}
