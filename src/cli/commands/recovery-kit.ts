import { join, resolve } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { plural } from "../../base/text/amounts.ts";
import { ownView } from "../../catalog/fleet/host-view.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { Config } from "../../config/config.ts";
import { storageSecretSources } from "../../config/secret-sources.ts";
import { becomeStateOwner } from "../../install/state-owner.ts";
import { readIdentityText } from "../../jobs/keys.ts";
import { kitFingerprint } from "../../jobs/kit-fingerprint.ts";
import { kitFacts } from "../../jobs/recovery-kit/facts.ts";
import { type KitFile, kitFiles, SUMS, sha256Of, wholeKit, writeKit } from "../../jobs/recovery-kit/files.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOption } from "../command.ts";
import { commandConfig, contextWith } from "../open-context.ts";
import { jsonText } from "../output/output.ts";
import { ChildFailed, isOwnedByAnother, outputOfOwner } from "../output-of-root.ts";

/** A kit, as `--json` prints it. */
interface Kit {
  made_at: string;
  fingerprint: string;
  databases: number;
  files: KitFile[];
}

export const command: Command = {
  usage: "DIR|-",
  description:
    "Writes a page for the day when pg321 itself is gone: where the backups are, the newest ones with keys and hashes,\n" +
    "and the commands from a fresh Debian to running databases with stock tools; with it the decoder unseal.py and the\n" +
    "format. It holds no secret, and says which secrets are needed and where they are kept. DIR gets the files, and\n" +
    "those of an older kit are replaced; - prints everything as one page.",
  options: {
    "no-record": {
      type: "boolean",
      help: "only look: doctor and status do not count this kit as made",
    },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "sudo pg321 recovery-kit /root/recovery-kit",
      explanation: "print recovery-kit.txt, and keep it with a copy of the identity",
    },
    { command: "pg321 recovery-kit - > recovery-kit.md", explanation: "everything in one file" },
  ],
  positionals: { min: 1, max: 1, values: [{ paths: "directories" }] },
  async run(invocation) {
    const { arguments: args } = invocation;
    const to = args.positionals[0] ?? "-";
    const config = await commandConfig(invocation, { keepsRoot: true, setsAside: true });
    let kit: Kit;
    try {
      // As root, a second process reads the catalog as its owner: this one still has to write into DIR as root.
      const isSecondNeeded = to !== "-" && (await isOwnedByAnother(invocation));
      kit = isSecondNeeded ? await kitOfOwner(invocation) : await makeKit(invocation, config);
    } catch (error) {
      if (error instanceof ChildFailed) return error.exitCode;
      throw error;
    }
    const directory = to === "-" ? undefined : resolve(to);
    if (directory !== undefined) await writeKit(directory, kit.files);
    if (!isSet(args, "no-record")) await noteKit(config, kit, invocation);
    const isQuiet = isSet(args, "quiet") && directory !== undefined && !isSet(args, "json");
    if (!isQuiet) invocation.output.print(printed(invocation, kit, directory));
    return 0;
  },
};

async function makeKit(invocation: Invocation, config: Config): Promise<Kit> {
  // While this process can read everything: the config may be readable by root only.
  const secrets = await storageSecretSources(config.file);
  const identityText = await readIdentityText(config.encryption).catch(() => undefined);
  await using context = await contextWith(invocation, config);
  const facts = await kitFacts(context, { secrets, identityText });
  return {
    made_at: facts.madeAt,
    fingerprint: kitFingerprint(config),
    databases: facts.databases.length,
    files: kitFiles(facts),
  };
}

async function kitOfOwner(invocation: Invocation): Promise<Kit> {
  const options = ["config", "log-level", "log-format", "progress"].flatMap((name) => {
    const value = textOption(invocation.arguments, name);
    return value === undefined ? [] : [`--${name}=${value}`];
  });
  const quiet = isSet(invocation.arguments, "quiet") ? ["--quiet"] : [];
  const words = ["recovery-kit", "-", "--json", "--no-record", ...quiet, ...options];
  const chunks = await Array.fromAsync(outputOfOwner(words, invocation));
  return JSON.parse(Buffer.concat(chunks).toString()) as Kit;
}

/** Records the kit for `doctor` and `status`. The kit itself does not need the record. */
async function noteKit(
  config: Config,
  { made_at, fingerprint }: Kit,
  { clock, log }: { clock: Clock; log: Log },
): Promise<void> {
  try {
    await becomeStateOwner(config.state_dir, log);
    await using opened = await openCatalog(config.catalog, { clock, log });
    const catalog = ownView(opened, config);
    await catalog.recoveryKits.record({ made_at, fingerprint });
  } catch (error) {
    log.warning("the catalog has no record of this recovery kit, so doctor will still ask for one", {
      error: messageOf(error),
    });
  }
}

function printed(
  { arguments: args, output: { style } }: Invocation,
  kit: Kit,
  directory: string | undefined,
): string {
  if (isSet(args, "json")) {
    const files = kit.files.map(({ name, text }) => ({
      name,
      path: directory === undefined ? null : join(directory, name),
      sha256: sha256Of(text),
      text,
    }));
    return jsonText({ ...kit, directory: directory ?? null, files });
  }
  if (directory === undefined) return wholeKit(kit.files).trimEnd();
  return [
    `${style.bold(directory)} has the recovery kit, for the newest backups of ${plural(kit.databases, "database")}:`,
    "",
    ...[...kit.files.map(({ name }) => name), SUMS].map((name) => `  ${name}`),
    "",
    "It holds no secret. Print recovery-kit.txt, or copy the directory to a place that survives the loss of this host,",
    "and keep a copy of the identity there too: without the identity, the kit opens nothing.",
  ].join("\n");
}
