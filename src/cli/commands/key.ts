import { access, mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { DEFAULT_STATE_DIR } from "../../config/config.ts";
import {
  encodeIdentityFile,
  generateIdentity,
  isPassphraseProtected,
  readIdentityFile,
} from "../../sealed/identity.ts";
import { writeKeyFile } from "../../sealed/key-file.ts";
import { generateSigningKey, readSigningKey } from "../../sealed/signing-key.ts";
import type { Arguments, Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, textOption } from "../command.ts";
import { askPassphrase, commandConfig } from "../open-context.ts";
import { jsonText } from "../output/output.ts";
import { choiceOption } from "../parse.ts";
import { newPassphrase, passphraseIn, readBytes } from "../passphrase.ts";

const IDENTITY_FILE = "/etc/pg321/identity.txt";
const SIGNING_KEY_FILE = join(DEFAULT_STATE_DIR, "signing.key");
const ACTIONS = ["generate", "show"] as const;

export const command: Command = {
  usage: "generate|show",
  description:
    "generate creates the identity, which opens backups, and the signing key, which proves that backups come from this\n" +
    "installation. It needs no config and never replaces a file. show prints the public parts of both.",
  options: {
    identity: {
      type: "string",
      short: "i",
      value: "FILE",
      help: `the identity file (default: ${IDENTITY_FILE}; show: from the config)`,
    },
    "signing-key": {
      type: "string",
      value: "FILE",
      help: `the signing key file (default: ${SIGNING_KEY_FILE}; show: from the config)`,
    },
    passphrase: {
      type: "boolean",
      help: "generate: protect the identity file with a passphrase; pg321 asks for it on the terminal",
    },
    "passphrase-file": {
      type: "string",
      value: "FILE",
      help: "file with the passphrase of the identity file, for generate and show",
    },
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 key generate", explanation: "once per installation" },
    {
      command: "pg321 key generate --identity ./identity.txt --signing-key ./signing.key",
      explanation: "in other places",
    },
    {
      command: "pg321 key show",
      explanation: "the recipient for the config, the signer, the installation id",
    },
  ],
  positionals: { min: 1, max: 1 },
  run(invocation) {
    const action = choiceOption("key", "the action", invocation.arguments.positionals[0], ACTIONS);
    return action === "generate" ? generate(invocation) : show(invocation);
  },
};

async function generate({ arguments: args, output, clock, terminal }: Invocation): Promise<number> {
  // Absolute, because the paths are printed for the config, which accepts only absolute paths.
  const identityFile = resolve(textOption(args, "identity") ?? IDENTITY_FILE);
  const signingKeyFile = resolve(textOption(args, "signing-key") ?? SIGNING_KEY_FILE);
  // Check both paths before writing either file: half a pair would only confuse.
  for (const file of [identityFile, signingKeyFile]) await requireFree(file);
  const passphrase = await wantedPassphrase(args, terminal?.isInteractive === true);
  const { recipient, installation, signer } = await writeKeys(
    identityFile,
    signingKeyFile,
    passphrase,
    clock,
  );
  if (isSet(args, "json")) {
    output.print(
      jsonText({
        identity_file: identityFile,
        signing_key_file: signingKeyFile,
        recipient,
        signer,
        installation,
      }),
    );
    return 0;
  }
  const { bold, warn } = output.style;
  output.print(
    [
      `${bold("identity")}      ${identityFile}${passphrase ? " (protected by a passphrase)" : ""}`,
      `${bold("signing key")}   ${signingKeyFile}`,
      `${bold("installation")}  ${installation}`,
      "",
      "Add to the config:",
      "",
      "  [encryption]",
      `  recipients = ["${recipient}"]`,
      `  identity_file = "${identityFile}"`,
      `  signing_key_file = "${signingKeyFile}"`,
      "",
      warn("If you lose the identity, you lose every backup: nobody can open the backups without it."),
      "Copy the identity file now to a place that survives the loss of this host: a password manager, a safe,",
      "a sheet of paper. It also names the signer, so it is all you need to open a backup and to trust it.",
    ].join("\n"),
  );
  return 0;
}

async function writeKeys(
  identityFile: string,
  signingKeyFile: string,
  passphrase: Secret | undefined,
  clock: Clock,
) {
  const createdAt = clock.now();
  const installation = crypto.randomUUID();
  const signingKey = generateSigningKey(installation);
  const pair = await generateIdentity();
  const about = { installation, signers: [signingKey.signer], createdAt };
  for (const file of [identityFile, signingKeyFile])
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeKeyFile(identityFile, await encodeIdentityFile(pair, about, passphrase));
  await writeKeyFile(signingKeyFile, signingKey.encode(createdAt));
  return { ...pair, installation, signer: signingKey.signer };
}

async function requireFree(file: string): Promise<void> {
  const exists = await access(file).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  throw new Pg321Error("key", `key file ${file}: already exists; key files are never replaced`, {
    hint: "choose other paths with --identity and --signing-key; keep the old file: backups may need it",
  });
}

async function wantedPassphrase(args: Arguments, isInteractive: boolean): Promise<Secret | undefined> {
  const file = textOption(args, "passphrase-file");
  if (file !== undefined) return passphraseIn(file);
  if (!isSet(args, "passphrase")) return undefined;
  if (!isInteractive)
    throw new Pg321Error("usage", "key: --passphrase needs a terminal", {
      hint: "use --passphrase-file FILE",
    });
  return newPassphrase("key", 8);
}

async function readText(file: string, what: string): Promise<string> {
  return (await readBytes(file, what)).toString();
}

async function show(invocation: Invocation): Promise<number> {
  const { arguments: args, output, terminal } = invocation;
  const [identityOption, signingOption] = [textOption(args, "identity"), textOption(args, "signing-key")];
  const isNamed = identityOption !== undefined || signingOption !== undefined;
  const config = isNamed
    ? undefined
    : (await commandConfig(invocation, { keepsRoot: true, setsAside: true })).encryption;
  const identityFile = identityOption ?? config?.identity_file;
  const signingKeyFile = signingOption ?? config?.signing_key_file;
  const identity =
    identityFile === undefined
      ? undefined
      : await openIdentity(identityFile, args, config?.identity_passphrase, terminal?.isInteractive === true);
  const signingKey =
    signingKeyFile === undefined
      ? undefined
      : readSigningKey(await readText(signingKeyFile, "signing key file"));
  const shown = {
    identity_file: identityFile ?? null,
    recipients: identity?.recipients ?? config?.recipients ?? [],
    trusted_signers: identity?.signers ?? [],
    signing_key_file: signingKeyFile ?? null,
    signer: signingKey?.signer ?? null,
    installation: signingKey?.installation ?? identity?.installation ?? null,
  };
  if (isSet(args, "json")) output.print(jsonText(shown));
  else {
    const lines = Object.entries(shown).map(
      ([name, value]) =>
        `${output.style.bold(name.replaceAll("_", " ").padEnd(16))} ${[value ?? "not set"].flat().join(", ")}`,
    );
    output.print(lines.join("\n"));
  }
  return 0;
}

async function openIdentity(
  file: string,
  args: Arguments,
  configured: Secret | undefined,
  isInteractive: boolean,
) {
  const text = await readText(file, "identity file");
  const passphraseFile = textOption(args, "passphrase-file");
  let passphrase = passphraseFile === undefined ? configured : await passphraseIn(passphraseFile);
  if (isPassphraseProtected(text) && !passphrase && isInteractive)
    passphrase = new Secret(await askPassphrase("Passphrase of the identity file: "));
  return readIdentityFile(text, passphrase);
}
