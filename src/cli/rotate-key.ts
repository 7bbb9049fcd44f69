import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { Secret } from "../base/secret.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { Config } from "../config/config.ts";
import type { Rotation } from "../install/rotate-identity.ts";
import { rotatedRecipients, rotateIdentity } from "../install/rotate-identity.ts";
import type { Invocation } from "./command.ts";
import { isSet, textOption } from "./command.ts";
import { askPassphrase, commandConfig } from "./open-context.ts";
import { jsonText } from "./output/output.ts";
import { passphraseIn } from "./passphrase.ts";

/** `key rotate`: never changes the config, which belongs to a person, but prints the exact change. */
export async function rotate(invocation: Invocation): Promise<number> {
  const { arguments: args, output, clock } = invocation;
  const named = textOption(args, "identity");
  const config = named === undefined ? await rotatableConfig(invocation) : undefined;
  const identityFile = named === undefined ? config?.encryption.identity_file : resolve(named);
  if (identityFile === undefined) {
    throw new Pg321Error(
      "key",
      "key rotate: the config names no identity_file: the identity is kept elsewhere",
      {
        hint: "run it where the identity is, with: pg321 key rotate --identity FILE",
      },
    );
  }
  const rotation = await rotateIdentity({
    identityFile,
    recipients: config?.encryption.recipients,
    passphrase: () => passphraseOf(invocation, config?.encryption.identity_passphrase),
    clock,
  });
  const recipients = config && rotatedRecipients(config.encryption.recipients, rotation);
  if (isSet(args, "json")) {
    output.print(
      jsonText({
        identity_file: identityFile,
        created: rotation.isNew,
        recipient: rotation.recipient,
        replaces: rotation.replaces,
        kept: rotation.identities.map((one) => one.recipient).filter((one) => one !== rotation.recipient),
        config_file: config?.file ?? null,
        recipients: recipients ?? [],
      }),
    );
  } else
    output.print(
      [
        ...identityLines(invocation, identityFile, rotation),
        "",
        ...(config && recipients
          ? await configLines(config, recipients, rotation)
          : elsewhereLines(rotation)),
        "",
        ...copyLines(invocation),
      ].join("\n"),
    );
  return 0;
}

async function rotatableConfig(invocation: Invocation): Promise<Config> {
  const config = await commandConfig(invocation, { keepsRoot: true, setsAside: true });
  if (config.encryption.mode === "age") return config;
  throw new Pg321Error("usage", 'key rotate: encryption.mode is "none": backups are sealed to no key', {
    hint: "remove mode from [encryption], and set recipients; keys are made with: pg321 key generate",
  });
}

async function passphraseOf(
  { arguments: args, terminal, signal }: Invocation,
  configured: Secret | undefined,
): Promise<Secret | undefined> {
  const file = textOption(args, "passphrase-file");
  if (file !== undefined) return passphraseIn(file);
  if (configured || !terminal?.isInteractive) return configured;
  return new Secret(await askPassphrase("Passphrase of the identity file: ", signal));
}

function identityLines(
  { output: { style } }: Invocation,
  identityFile: string,
  { isNew, recipient, replaces, identities }: Rotation,
): string[] {
  const made = isNew
    ? `${style.bold("new identity")}  ${recipient}`
    : `${style.bold("identity")}      ${recipient}, made by an earlier rotation: the config does not name it yet`;
  const others = identities.filter((one) => one.recipient !== recipient);
  return [
    `${style.bold("file")}          ${identityFile}`,
    made,
    ...others.map(
      (one) =>
        `${style.bold("kept")}          ${one.recipient}${createdText(one.createdAt)}${replaces.includes(one.recipient) ? ": opens the backups made so far" : ""}`,
    ),
  ];
}

export function createdText(createdAt: string | undefined): string {
  return createdAt === undefined ? "" : `, created ${createdAt.slice(0, 10)}`;
}

async function configLines(
  config: Config,
  recipients: readonly string[],
  { recipient, replaces }: Rotation,
): Promise<string[]> {
  const quoted = (list: readonly string[]) => `[${list.map((one) => `"${one}"`).join(", ")}]`;
  const text = await readFile(config.file, "utf8");
  const [old = ""] = replaces;
  const isInText = replaces.length === 1 && text.includes(`"${old}"`);
  return [
    "New backups are still sealed to the old recipient: pg321 does not change your config.",
    `In ${config.file}, under [encryption], replace`,
    "",
    `  recipients = ${quoted(config.encryption.recipients)}`,
    "with",
    `  recipients = ${quoted(recipients)}`,
    "",
    ...(isInText
      ? ["for example with", "", `  sudo sed -i 's/${old}/${recipient}/' ${shellQuoted(config.file)}`, ""]
      : []),
    "then check it, and let the service read it:",
    "",
    "  sudo pg321 doctor",
    "  sudo systemctl reload pg321",
  ];
}

function elsewhereLines({ recipient, replaces }: Rotation): string[] {
  return [
    "Where the backups are made, put the new recipient into the config, in the place of the old one:",
    "",
    ...replaces.map((one) => `  old  ${one}`),
    `  new  ${recipient}`,
  ];
}

function copyLines({ output: { style } }: Invocation): string[] {
  return [
    style.warn("Your copies of the identity file (password manager, safe, paper) lack the new identity."),
    "Replace them now; the new file opens the old backups too. Then make a new export and a new recovery kit:",
    "",
    "  sudo pg321 export-keys FILE",
    "  sudo pg321 recovery-kit DIR",
  ];
}
