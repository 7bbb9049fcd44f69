import { resolve } from "node:path";
import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { visibleData } from "../../base/text/visible.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { Config } from "../../config/config.ts";
import { configPath, loadConfig, processSource } from "../../config/load.ts";
import { unusableText } from "../../config/set-aside.ts";
import { UNTOUCHED_CONFIGS } from "../../install/first-config.ts";
import type { HostBundle } from "../../install/host-files/bundle.ts";
import { openBundle } from "../../install/host-files/bundle.ts";
import { hostFiles } from "../../install/host-files/list.ts";
import { putBack } from "../../install/host-files/put-back.ts";
import { fingerprintOf, surveyHostFiles } from "../../install/host-files/survey.ts";

import { InstallSteps } from "../../install/steps.ts";
import type { AdoptedFrom } from "../../jobs/cleanup/adopt-backups.ts";
import { adoptBackups } from "../../jobs/cleanup/adopt-backups.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOption } from "../command.ts";
import { askPassphrase, contextWith } from "../open-context.ts";
import { stepTable } from "../output/install-table.ts";
import { jsonText, table } from "../output/output.ts";
import { passphraseIn, readBytes } from "../passphrase.ts";

export const command: Command = {
  usage: "[FILE]",
  description:
    "Writes the files of an export with their owners and modes, then adds the backups in every storage to the\n" +
    "catalog. If one of these files exists on this host with other contents, nothing is written. Without FILE the config\n" +
    "and the keys must be here already, and only the catalog is filled. It starts no service and removes nothing.\n" +
    "Exit 3 if a storage could not be read, 12 for a wrong passphrase.",
  options: {
    "passphrase-file": {
      type: "string",
      value: "FILE",
      help: "the passphrase of the export, instead of being asked for it",
    },
    "dry-run": { type: "boolean", help: "show every file that it would write and change nothing" },
    replace: {
      type: "boolean",
      help: "write also the files that differ; the old ones stay as NAME.replaced-TIME",
    },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "sudo ./pg321 restore-host pg321-host-2026-11-23.age --dry-run",
      explanation: "what it would write, with owners and modes",
    },
    {
      command: "sudo ./pg321 restore-host pg321-host-2026-11-23.age",
      explanation: "on a new host, before pg321 install",
    },
  ],
  positionals: { min: 0, max: 1, values: [{ paths: "files" }] },
  async run(invocation) {
    const { arguments: args, clock, env } = invocation;
    const steps = new InstallSteps(isSet(args, "dry-run"));
    const file = args.positionals[0];
    const bundle = file === undefined ? undefined : await openedBundle(file, invocation);
    if (bundle)
      await putBack(steps, bundle.files, {
        replaces: isSet(args, "replace"),
        stamp: clock
          .now()
          .toISOString()
          .replace(/[-:]|\.\d+/g, ""),
        untouched: UNTOUCHED_CONFIGS,
      });
    const configFile = bundle?.config_file ?? resolve(configPath(textOption(args, "config"), env));
    const storages = steps.isDryRun ? [] : await adoptAs(invocation, configFile, bundle);
    report(invocation, { steps, bundle, configFile, storages });
    if (steps.steps.some(({ state }) => state === "attention")) return EXIT_CODES.usage;
    return storages.some(({ error }) => error !== null) ? EXIT_CODES.partial : EXIT_CODES.ok;
  },
};

async function openedBundle(file: string, invocation: Invocation): Promise<HostBundle> {
  const bytes = await readBytes(file, "export");
  return openBundle(`export ${file}`, bytes, await passphraseOf(invocation));
}

async function passphraseOf({ arguments: args, terminal, signal }: Invocation): Promise<Secret> {
  const file = textOption(args, "passphrase-file");
  if (file !== undefined) return passphraseIn(file);
  if (terminal?.isInteractive) return new Secret(await askPassphrase("Passphrase of the export: ", signal));
  throw new Pg321Error(
    "usage",
    "restore-host: the passphrase is asked for on a terminal, and there is none",
    {
      hint: "use --passphrase-file FILE",
    },
  );
}

/** The rest of the way, with the config that is here now. */
async function adoptAs(
  invocation: Invocation,
  configFile: string,
  bundle: HostBundle | undefined,
): Promise<AdoptedFrom[]> {
  const { log } = invocation;
  const config = await restoredConfig(configFile);
  for (const warning of [...config.warnings, ...config.unusable.map(unusableText)]) log.warning(warning);
  // While root may still read them.
  const fingerprint = fingerprintOf(await surveyHostFiles(await hostFiles(config)));
  await using context = await contextWith(invocation, config);
  const adopted = await adoptBackups(context);
  if (bundle && fingerprint !== undefined)
    await context.catalog.hostExports.record({ exported_at: bundle.exported_at, fingerprint });
  return adopted;
}

async function restoredConfig(file: string): Promise<Config> {
  try {
    return await loadConfig(file, processSource(), { setsAside: true });
  } catch (error) {
    if (!(error instanceof Pg321Error)) throw error;
    throw new Pg321Error(error.code, error.message, {
      hint: "the files are in place: correct the config, then run pg321 restore-host without FILE",
      cause: error,
    });
  }
}

interface Done {
  steps: InstallSteps;
  bundle: HostBundle | undefined;
  configFile: string;
  storages: readonly AdoptedFrom[];
}

const NEXT = [
  "see the backups, and restore the one that you need (pg321 help recovery):\nsudo pg321 list",
  "once the old host is gone for good, let this one make the backups:\nsudo pg321 install && sudo pg321 doctor && sudo systemctl enable --now pg321",
];

function report(
  { arguments: args, output }: Invocation,
  { steps, bundle, configFile, storages }: Done,
): void {
  const next = steps.isDryRun ? [] : NEXT;
  if (isSet(args, "json")) {
    const { exported_at = null, host = null } = bundle ?? {};
    const about = { dry_run: steps.isDryRun, exported_at, host, config_file: configFile };
    output.print(jsonText({ ...about, steps: steps.steps, storages, next }));
    return;
  }
  const { style } = output;
  if (bundle) {
    output.print(visibleData(`export of host ${bundle.host}, ${timeText(bundle.exported_at)}`));
    output.print(`\n${stepTable(steps.steps, style)}`);
  }
  if (storages.length > 0)
    output.print(
      `\n${table(
        visibleData([...storages]),
        [
          { title: "STORAGE", isName: true, cell: ({ storage }) => storage },
          { title: "COPIES FOUND", cell: ({ adopted }) => String(adopted), align: "right" },
          { title: "NOT ADOPTED", cell: ({ left }) => String(left), align: "right" },
          { title: "ERROR", cell: ({ error }) => (error === null ? "" : style.bad(error)) },
        ],
        style,
      )}`,
    );
  for (const [index, step] of next.entries())
    output.print(`\n${style.bold(`${index + 1}.`)} ${step.replaceAll("\n", "\n   ")}`);
}
