import { chmod, chown, readFile } from "node:fs/promises";
import EXAMPLE_CONFIG from "../../config.example.toml" with { type: "text" };
import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { DEFAULT_CONFIG_PATH, EMPTY_LINE } from "../config/load.ts";
import { currentRecipients, isPassphraseProtected, readIdentityFile } from "../sealed/identity.ts";
import FIRST_CONFIG from "./config.toml" with { type: "text" };
import { CONFIG_SCHEMA } from "./config-schema.ts";
import type { Ownership } from "./files.ts";
import { ensureFile, putNew, ROOT, replaceBy, rightsText, statsOf } from "./files.ts";
import type { ServiceAccount } from "./host.ts";
import { canService, SERVICE_USER } from "./host.ts";
import { IDENTITY_FILE, SIGNING_KEY_FILE, writeNewKeys } from "./new-keys.ts";
import type { InstallSteps } from "./steps.ts";

/** The reference beside the config: every setting with its default. */
const REFERENCE_FILE = "/etc/pg321/config.example.toml";
/** Beside both, because they name it in their first line. */
const SCHEMA_FILE = "/etc/pg321/config.schema.json";
/** The line of the first config that the recipient completes. */
const NO_RECIPIENT = /^recipients = \[\].*$/m;

/** Configs that `install` has written and nobody has edited yet; older versions wrote the reference. */
export const UNTOUCHED_CONFIGS: readonly string[] = [FIRST_CONFIG, EXAMPLE_CONFIG];

/** Whether nobody has completed the config yet: its mistakes are expected. */
export function isUnfinished(config: string): boolean {
  return UNTOUCHED_CONFIGS.includes(config) || EMPTY_LINE.test(config);
}

const KEY_FILES = [IDENTITY_FILE, SIGNING_KEY_FILE];

/**
 * Throws code `key` if backups of missing keys may exist: new keys would open none of them, and a lost host would
 * look like a new one.
 */
export async function refuseHalfOfKeys(catalog: string): Promise<void> {
  const found = await Promise.all([...KEY_FILES, catalog].map((path) => statsOf(path)));
  const [identity, signingKey] = found;
  if (identity !== undefined && signingKey !== undefined) return;
  const present = [...KEY_FILES, catalog].find((_, index) => found[index] !== undefined);
  if (present === undefined) return;
  throw new Pg321Error(
    "key",
    `no keys were made: ${present} belongs to an installation that has lost a key`,
    {
      hint: "put its keys back (pg321 help recovery, The host is lost), or make new ones with pg321 key generate in other places",
    },
  );
}

/** Makes the keys of a new installation if there are none; the service can use both. */
export async function installKeys(
  steps: InstallSteps,
  account: ServiceAccount | undefined,
  clock: Clock,
): Promise<void> {
  if ((await statsOf(IDENTITY_FILE)) !== undefined) {
    for (const path of KEY_FILES) steps.note("kept", path, "yours");
    return;
  }
  const owner: Ownership = { name: `root:${SERVICE_USER}`, uid: 0, gid: account?.gid, mode: 0o640 };
  const rights = rightsText({ name: `${SERVICE_USER}:${SERVICE_USER}`, mode: 0o600 });
  await steps.change(SIGNING_KEY_FILE, `signs backups, ${rights}`, () =>
    writeNewKeys({ identityFile: IDENTITY_FILE, signingKeyFile: SIGNING_KEY_FILE }, undefined, clock).then(
      () => {},
    ),
  );
  const detail = `opens every backup: if you lose it, you lose them all, ${rightsText(owner)}`;
  await steps.change(IDENTITY_FILE, detail, async () => {
    await chown(IDENTITY_FILE, 0, account?.gid ?? 0);
    await chmod(IDENTITY_FILE, owner.mode);
  });
}

/** Whether the identity is there, or would be. */
export async function hasKeys(steps: InstallSteps): Promise<boolean> {
  return steps.changed(IDENTITY_FILE) || (await statsOf(IDENTITY_FILE)) !== undefined;
}

/** Writes the first config, with the recipient if there is one, and the reference and its schema beside it. */
export async function installConfig(steps: InstallSteps, account: ServiceAccount | undefined): Promise<void> {
  const owner: Ownership = { name: `root:${SERVICE_USER}`, uid: 0, gid: account?.gid, mode: 0o640 };
  await ensureFile(steps, REFERENCE_FILE, EXAMPLE_CONFIG, { ...ROOT, mode: 0o644 });
  await ensureFile(steps, SCHEMA_FILE, CONFIG_SCHEMA, { ...ROOT, mode: 0o644 });
  const text = firstConfig(await recipientHere());
  const write = (put?: typeof putNew) =>
    replaceBy(DEFAULT_CONFIG_PATH, owner, (temporary) => Bun.write(temporary, text), put);
  if ((await statsOf(DEFAULT_CONFIG_PATH)) === undefined) {
    const detail = `complete the lines marked FILL IN, ${rightsText(owner)}`;
    return steps.change(DEFAULT_CONFIG_PATH, detail, () => write(putNew));
  }
  const present = await readFile(DEFAULT_CONFIG_PATH, "utf8").catch(() => undefined);
  if (present === FIRST_CONFIG && text !== FIRST_CONFIG)
    return steps.change(DEFAULT_CONFIG_PATH, `recipient filled in, ${rightsText(owner)}`, () => write());
  const isReadable = account !== undefined && (await canService("r", DEFAULT_CONFIG_PATH));
  if (isReadable) return steps.note("kept", DEFAULT_CONFIG_PATH, "yours");
  const advice = `chown root:${SERVICE_USER} ${DEFAULT_CONFIG_PATH} && chmod 0640 ${DEFAULT_CONFIG_PATH}`;
  steps.note("attention", DEFAULT_CONFIG_PATH, `yours, but ${SERVICE_USER} cannot read it: ${advice}`);
}

/** What `install` writes as the config. */
export function firstConfig(recipient: string | undefined): string {
  return recipient === undefined
    ? FIRST_CONFIG
    : FIRST_CONFIG.replace(NO_RECIPIENT, `recipients = [${JSON.stringify(recipient)}]`);
}

/** The recipient of the identity in its default place, if it can be seen. */
async function recipientHere(): Promise<string | undefined> {
  try {
    const text = await readFile(IDENTITY_FILE, "utf8");
    if (isPassphraseProtected(text)) return undefined;
    // After a rotation the first identity is the oldest one.
    return currentRecipients((await readIdentityFile(text)).facts)[0];
  } catch {
    // `key show` and `doctor` say what is wrong with it.
    return undefined;
  }
}
