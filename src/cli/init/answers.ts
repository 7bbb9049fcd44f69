import { join } from "node:path";
import { shellQuoted } from "../../base/text/shell.ts";
import { DEFAULT_STATE_DIR } from "../../config/config.ts";
import { cronTimes } from "../../config/cron.ts";
import { DEFAULT_CONFIG_PATH } from "../../config/load.ts";
import { IDENTITY_FILE, SIGNING_KEY_FILE } from "../../install/new-keys.ts";

/** Where an installation keeps its files. */
export interface Places {
  /** Undefined: the service of this host. */
  directory: string | undefined;
  configFile: string;
  /** The config while the questions are asked; removed at the end. */
  draftFile: string;
  credentials: string;
  stateDir: string;
  identityFile: string;
  signingKeyFile: string;
}

export function placesOf(directory: string | undefined): Places {
  if (directory === undefined) {
    const own = { configFile: DEFAULT_CONFIG_PATH, stateDir: DEFAULT_STATE_DIR };
    const keys = { identityFile: IDENTITY_FILE, signingKeyFile: SIGNING_KEY_FILE };
    const beside = { draftFile: "/etc/pg321/init-draft.toml", credentials: "/etc/pg321/credentials" };
    return { directory, ...own, ...keys, ...beside };
  }
  return {
    directory,
    configFile: join(directory, "config.toml"),
    draftFile: join(directory, "init-draft.toml"),
    credentials: join(directory, "credentials"),
    stateDir: join(directory, "state"),
    identityFile: join(directory, "identity.txt"),
    signingKeyFile: join(directory, "state", "signing.key"),
  };
}

/** Where an installation in a directory puts backups unless another place is named. */
export function backupsOf(directory: string): string {
  return join(directory, "backups");
}

/** Values of config keys; a credential is a secret in a file of that name. */
export type Values = Record<string, string | number | { credential: string }>;

/** What the config is made of. */
export interface Answers {
  server: Values;
  storages: Values[];
  /** A cron pattern; `off` in a draft. */
  schedule: string;
}

/** The config. Without a recipient: a draft, to check the answers so far. */
export function configText(
  { server, storages, schedule }: Answers,
  places: Places,
  recipient?: string,
): string {
  const isService = places.directory === undefined;
  const command = isService ? "sudo pg321 check" : `pg321 -c ${shellQuoted(places.configFile)} check`;
  const storageLines = storages.flatMap((storage) => ["", "[[storage]]", ...linesOf(storage)]);
  return `${[
    // Only install puts the schema beside the config.
    ...(isService ? ["#:schema ./config.schema.json"] : []),
    "# The config of pg321, written by `pg321 init`. Every other setting has a default that suits most hosts:",
    `# \`${command}\` prints those in force, and config.example.toml explains them all.`,
    ...(isService ? [] : ["", ...linesOf({ state_dir: places.stateDir })]),
    "",
    "[[server]]",
    ...linesOf(server),
    'exclude = ["*_restored"]  # every other database is backed up, new ones too; restore tests are not',
    ...storageLines,
    "",
    "[encryption]",
    ...(recipient === undefined
      ? ['mode = "none"']
      : [
          `recipients = [${JSON.stringify(recipient)}]  # the public key`,
          `identity_file = ${JSON.stringify(places.identityFile)}  # opens every backup: if you lose it, you lose them all`,
          ...(isService ? [] : linesOf({ signing_key_file: places.signingKeyFile })),
        ]),
    "",
    "[schedule]",
    ...linesOf({ backup: schedule }),
    "",
    "# Restores each database every week (schedule.restore_test) into a private cluster, and checks it.",
    "[restore_test]",
    "",
    "# Who is told when a backup fails: config.example.toml shows e-mail, webhooks, Slack, ntfy and others.",
    "# [[notify]]",
  ].join("\n")}\n`;
}

function linesOf(values: Values): string[] {
  return Object.entries(values).map(([key, value]) =>
    typeof value === "object"
      ? `${key} = { credential = ${JSON.stringify(value.credential)} }`
      : // JSON's escapes are TOML's too.
        `${key} = ${JSON.stringify(value)}`,
  );
}

/** The cron pattern of a time of day (`02:00`), or the pattern itself; undefined if it is neither. */
export function scheduleOf(text: string): string | undefined {
  const time = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text);
  if (time) return `${Number(time[2])} ${Number(time[1])} * * *`;
  try {
    cronTimes(text, "UTC");
    return text;
  } catch {
    return undefined;
  }
}
