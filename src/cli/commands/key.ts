import { resolve } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { exists } from "../../base/files/missing.ts";
import { Secret } from "../../base/secret.ts";
import type { EncryptionConfig } from "../../config/config.ts";
import { ConfigError } from "../../config/problems.ts";
import { IDENTITY_FILE, SIGNING_KEY_FILE, writeNewKeys } from "../../install/new-keys.ts";
import { isPassphraseProtected, readIdentityFile } from "../../sealed/identity.ts";
import { readSigningKey } from "../../sealed/signing-key.ts";
import type { Arguments, Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, textOption } from "../command.ts";
import { askPassphrase, commandConfig } from "../open-context.ts";
import { jsonText } from "../output/output.ts";
import { choiceOption } from "../parse.ts";
import { newPassphrase, passphraseIn, readBytes } from "../passphrase.ts";
import { generateProverKey } from "../prover-key.ts";
import { createdText, rotate } from "../rotate-key.ts";

const ACTIONS = ["generate", "show", "rotate"] as const;

export const command: Command = {
  usage: "generate|show|rotate",
  description:
    "generate creates the identity, which opens backups, and the signing key, which proves that backups come from this\n" +
    "installation. It never replaces a file. show prints the public parts of both. Neither needs a valid config.\n" +
    "rotate adds a new identity to the identity file and prints the change of the config that seals new backups to it.\n" +
    "The old identity stays in the file: the backups made so far need it.",
  options: {
    identity: {
      type: "string",
      short: "i",
      value: "FILE",
      help: `the identity file (default: ${IDENTITY_FILE}; show, rotate: from the config)`,
    },
    "signing-key": {
      type: "string",
      value: "FILE",
      help: `the signing key file (default: ${SIGNING_KEY_FILE}; show: from the config)`,
    },
    prover: {
      type: "boolean",
      help: "generate: only a signing key, for a host that tests the backups of another host, whose identity it has",
    },
    passphrase: {
      type: "boolean",
      help: "generate: protect the identity file with a passphrase; pg321 asks for it on the terminal",
    },
    "passphrase-file": {
      type: "string",
      value: "FILE",
      help: "file with the passphrase of the identity file",
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
    {
      command: "sudo pg321 key rotate",
      explanation: "a new identity for new backups; the old one stays for the old backups",
    },
  ],
  positionals: { min: 1, max: 1, values: [{ words: ACTIONS }] },
  conflicts: [
    { options: ["passphrase", "passphrase-file"], why: "the passphrase is either typed or in a file" },
    { options: ["prover", "passphrase"], why: "a prover's signing key has no passphrase" },
  ],
  run(invocation) {
    const action = choiceOption("key", "the action", invocation.arguments.positionals[0], ACTIONS);
    refuseOfOthers(action, invocation.arguments);
    if (action === "rotate") return rotate(invocation);
    return action === "generate" ? generate(invocation) : show(invocation);
  },
};

/** Options that only some actions take. */
const ONLY_OF: Readonly<Record<string, readonly string[]>> = {
  prover: ["generate"],
  passphrase: ["generate"],
  "signing-key": ["generate", "show"],
};

function refuseOfOthers(action: string | undefined, { options }: Arguments): void {
  for (const [name, actions] of Object.entries(ONLY_OF)) {
    if (options[name] === undefined || actions.includes(action ?? "show")) continue;
    throw new Pg321Error("usage", `key ${action}: --${name} is only for key ${actions.join(" and key ")}`, {
      hint: `leave out --${name}`,
    });
  }
}

async function generate(invocation: Invocation): Promise<number> {
  const { arguments: args, output, clock } = invocation;
  if (isSet(args, "prover"))
    return generateProverKey(invocation, (file) => openIdentity(file, invocation, undefined));
  // Absolute, because the paths are printed for the config, which accepts only absolute paths.
  const identityFile = resolve(textOption(args, "identity") ?? IDENTITY_FILE);
  const signingKeyFile = resolve(textOption(args, "signing-key") ?? SIGNING_KEY_FILE);
  // Check both paths before writing either file: half a pair would only confuse.
  for (const file of [identityFile, signingKeyFile]) await requireFree(file);
  const passphrase = await wantedPassphrase(invocation);
  const paths = { identityFile, signingKeyFile };
  const { recipient, installation, signer } = await writeNewKeys(paths, passphrase, clock);
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

async function requireFree(file: string): Promise<void> {
  if (!(await exists(file))) return;
  throw new Pg321Error("key", `key file ${file}: already exists; key files are never replaced`, {
    hint: "choose other paths with --identity and --signing-key; keep the old file: backups may need it",
  });
}

async function wantedPassphrase({
  arguments: args,
  terminal,
  signal,
}: Invocation): Promise<Secret | undefined> {
  const file = textOption(args, "passphrase-file");
  if (file !== undefined) return passphraseIn(file);
  if (!isSet(args, "passphrase")) return undefined;
  if (terminal?.isInteractive !== true)
    throw new Pg321Error("usage", "key: --passphrase needs a terminal", {
      hint: "use --passphrase-file FILE",
    });
  return newPassphrase("key", 8, signal);
}

async function readText(file: string, what: string): Promise<string> {
  return (await readBytes(file, what)).toString();
}

async function show(invocation: Invocation): Promise<number> {
  const { arguments: args, output } = invocation;
  const [identityOption, signingOption] = [textOption(args, "identity"), textOption(args, "signing-key")];
  const isNamed = identityOption !== undefined || signingOption !== undefined;
  // With one file named, the config gives the other one if it can: the named file must be shown without it, too.
  const unlessNamed = (error: unknown): undefined => {
    if (!isNamed || !(error instanceof Pg321Error)) throw error;
    output.note(`shown without the config and its other key: ${error.message}`);
  };
  const areBoth = identityOption !== undefined && signingOption !== undefined;
  const config = areBoth ? undefined : await configuredKeys(invocation, isNamed).catch(unlessNamed);
  const identityFile = identityOption ?? config?.identity_file;
  const signingKeyFile = signingOption ?? config?.signing_key_file;
  const passphrase = identityOption === undefined ? config?.identity_passphrase : undefined;
  const identity =
    identityFile === undefined
      ? undefined
      : await openIdentity(identityFile, invocation, passphrase).catch(
          identityOption === undefined ? unlessNamed : rethrow,
        );
  const signingKey =
    signingKeyFile === undefined
      ? undefined
      : await readText(signingKeyFile, "signing key file")
          .then(readSigningKey)
          .catch(signingOption === undefined ? unlessNamed : rethrow);
  const shown = {
    identity_file: identity ? (identityFile ?? null) : null,
    recipients: identity?.recipients ?? config?.recipients ?? [],
    trusted_signers: identity?.signers ?? [],
    signing_key_file: signingKey ? (signingKeyFile ?? null) : null,
    signer: signingKey?.signer ?? null,
    installation: signingKey?.installation ?? identity?.installation ?? null,
  };
  const identities = (identity?.facts ?? []).map((one) => ({
    recipient: one.recipient,
    created_at: one.createdAt ?? null,
    replaces: one.replaces,
    seals_new_backups: config?.recipients?.includes(one.recipient) ?? null,
  }));
  if (isSet(args, "json")) output.print(jsonText({ ...shown, identities }));
  else {
    const line = (name: string, value: string) => `${output.style.bold(name.padEnd(16))} ${value}`;
    const lines = Object.entries(shown).map(([name, value]) =>
      line(name.replaceAll("_", " "), [value ?? "not set"].flat().join(", ")),
    );
    if (identities.length > 1) lines.push(...identities.map((one) => line("identity", identityText(one))));
    output.print(lines.join("\n"));
  }
  return 0;
}

function rethrow(error: unknown): never {
  throw error;
}

function identityText(one: {
  recipient: string;
  created_at: string | null;
  seals_new_backups: boolean | null;
}): string {
  const use = { true: ": new backups are sealed to it", false: ": kept for older backups", null: "" };
  return `${one.recipient}${createdText(one.created_at ?? undefined)}${use[`${one.seals_new_backups}`]}`;
}

type KeySettings = Partial<
  Pick<EncryptionConfig, "identity_file" | "signing_key_file" | "identity_passphrase" | "recipients">
>;

/**
 * The keys that the config names; while it has mistakes, or does not exist yet, the keys in the default places: the
 * config needs the recipient.
 */
async function configuredKeys(invocation: Invocation, isNamed: boolean): Promise<KeySettings> {
  try {
    return (await commandConfig(invocation, { keepsRoot: true, setsAside: true })).encryption;
  } catch (error) {
    if (isNamed || !(error instanceof ConfigError) || !(await exists(IDENTITY_FILE))) throw error;
    invocation.output.note("the config is not valid yet: these are the keys in the default places");
    const hasSigningKey = await exists(SIGNING_KEY_FILE);
    return { identity_file: IDENTITY_FILE, ...(hasSigningKey && { signing_key_file: SIGNING_KEY_FILE }) };
  }
}

async function openIdentity(
  file: string,
  { arguments: args, terminal, signal }: Invocation,
  configured: Secret | undefined,
) {
  const text = await readText(file, "identity file");
  const passphraseFile = textOption(args, "passphrase-file");
  let passphrase = passphraseFile === undefined ? configured : await passphraseIn(passphraseFile);
  if (isPassphraseProtected(text) && !passphrase && terminal?.isInteractive)
    passphrase = new Secret(await askPassphrase("Passphrase of the identity file: ", signal));
  return readIdentityFile(text, passphrase);
}
