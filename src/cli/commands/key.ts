import { access, mkdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { exactText } from "../../base/text/utf8.ts";
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

const IDENTITY_FILE = "/etc/pg321/identity.txt";
const SIGNING_KEY_FILE = join(DEFAULT_STATE_DIR, "signing.key");
const ACTIONS = ["generate", "show"] as const;

export const command: Command = {
  usage: "generate|show",
  description:
    "generate makes the identity, which opens backups, and the signing key, which proves that they are ours.\n" +
    "It needs no config and never replaces a file. show prints what of them may be seen.",
  options: {
    identity: {
      type: "string",
      short: "i",
      value: "FILE",
      help: `the identity file (${IDENTITY_FILE}; show: that of the config)`,
    },
    "signing-key": {
      type: "string",
      value: "FILE",
      help: `the signing key file (${SIGNING_KEY_FILE}; show: that of the config)`,
    },
    passphrase: {
      type: "boolean",
      help: "generate: protect the identity file with a passphrase, asked for on the terminal",
    },
    "passphrase-file": {
      type: "string",
      value: "FILE",
      help: "the passphrase of the identity file, for both",
    },
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 key generate", explanation: "once for an installation" },
    {
      command: "pg321 key generate --identity ./identity.txt --signing-key ./signing.key",
      explanation: "somewhere else",
    },
    { command: "pg321 key show", explanation: "the recipient for the config, the signer, the installation" },
  ],
  positionals: { min: 1, max: 1 },
  run(invocation) {
    const action = choiceOption("key", "the action", invocation.arguments.positionals[0], ACTIONS);
    return action === "generate" ? generate(invocation) : show(invocation);
  },
};

async function generate({ arguments: args, output, clock, terminal }: Invocation): Promise<number> {
  // The config takes absolute paths only, and they are printed for it.
  const identityFile = resolve(textOption(args, "identity") ?? IDENTITY_FILE);
  const signingKeyFile = resolve(textOption(args, "signing-key") ?? SIGNING_KEY_FILE);
  // Both are looked for before one is written: half a pair would only confuse.
  for (const file of [identityFile, signingKeyFile]) await requireFree(file);
  const passphrase = await newPassphrase(args, terminal?.isInteractive === true);
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
      "Put into the config:",
      "",
      "  [encryption]",
      `  recipients = ["${recipient}"]`,
      `  identity_file = "${identityFile}"`,
      `  signing_key_file = "${signingKeyFile}"`,
      "",
      warn("Whoever loses the identity loses every backup: nobody can open them without it, not even we."),
      "Copy the identity file now to a place that does not burn with this host: a password manager, a safe,",
      "a sheet of paper. It names the signer too, so with it alone a backup can be opened and trusted.",
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
  throw new Pg321Error("key", `key file ${file}: exists, and is never replaced`, {
    hint: "choose other paths with --identity and --signing-key; keep the old file: backups may need it",
  });
}

async function newPassphrase(args: Arguments, isInteractive: boolean): Promise<Secret | undefined> {
  const file = textOption(args, "passphrase-file");
  if (file !== undefined) return passphraseIn(file);
  if (!isSet(args, "passphrase")) return undefined;
  if (!isInteractive)
    throw new Pg321Error("usage", "key: --passphrase needs a terminal", {
      hint: "use --passphrase-file FILE",
    });
  const first = await askPassphrase("New passphrase: ");
  if (first.length < 8) throw new Pg321Error("usage", "key: a passphrase needs at least 8 characters");
  if (first !== (await askPassphrase("Again: ")))
    throw new Pg321Error("usage", "key: the two are not the same");
  return new Secret(first);
}

async function passphraseIn(file: string): Promise<Secret> {
  // Not as repaired text: that would be another passphrase, which nobody can type.
  const text = exactText(await readBytes(file, "passphrase file"));
  if (text !== undefined) return new Secret(text.replace(/\r?\n$/, ""));
  throw new Pg321Error("key", `passphrase file ${file}: is not UTF-8 text`, {
    hint: "convert it, or write it anew in an editor that is set to UTF-8",
  });
}

async function readText(file: string, what: string): Promise<string> {
  return (await readBytes(file, what)).toString();
}

async function readBytes(file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new Pg321Error("key", `${what} ${file}: ${messageOf(cause)}`, { cause });
  }
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
