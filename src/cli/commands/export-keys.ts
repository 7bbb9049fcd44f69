import { access } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { EXIT_CODES, messageOf, Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { ownerText } from "../../base/process/owners.ts";
import type { Secret } from "../../base/secret.ts";
import { plural } from "../../base/text/amounts.ts";
import { visibleData } from "../../base/text/visible.ts";
import { VERSION } from "../../base/version.ts";
import { ownView } from "../../catalog/fleet/host-view.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { Config } from "../../config/config.ts";
import { bundledFile, sealBundle } from "../../install/host-files/bundle.ts";
import { hostFiles, variablesOf } from "../../install/host-files/list.ts";
import type { SurveyedFile } from "../../install/host-files/survey.ts";
import { fingerprintOf, isPresent, surveyHostFiles } from "../../install/host-files/survey.ts";
import { becomeStateOwner } from "../../install/state-owner.ts";
import { writeKeyFile } from "../../sealed/key-file.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION, textOption } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { jsonText, table } from "../output/output.ts";
import { newPassphrase, passphraseIn, requireLength } from "../passphrase.ts";

/** A long minimum, because anybody who finds the file can try passphrases without limit. */
const PASSPHRASE_LENGTH_MIN = 12;

export const command: Command = {
  usage: "FILE",
  description:
    "Seals the files that a new host needs into one small file: the config, the files that it takes values from,\n" +
    "certificates, credentials, the identity, the signing key, and your drop-ins of the unit. restore-host puts them\n" +
    "back. FILE gets mode 0600 and must be new. A passphrase protects it; stock age -d opens it, too. Exit 3 if a\n" +
    "file that belongs to the list is missing.",
  options: {
    "passphrase-file": {
      type: "string",
      value: "FILE",
      help: "the passphrase, instead of being asked for it twice on the terminal",
    },
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "sudo pg321 export-keys /root/pg321-host-$(date +%F).age",
      explanation: "after every change; copy it to a place that survives the loss of this host",
    },
  ],
  positionals: { min: 1, max: 1, values: [{ paths: "files" }] },
  async run(invocation) {
    const { arguments: args, clock, log } = invocation;
    const path = resolve(args.positionals[0] ?? "");
    await requireNew(path);
    const config = await commandConfig(invocation, { keepsRoot: true, setsAside: true });
    const files = await surveyHostFiles(await hostFiles(config));
    refuseUnreadable(files);
    const passphrase = await exportPassphrase(invocation);
    const exportedAt = clock.now().toISOString();
    const about = {
      exported_at: exportedAt,
      host: hostname(),
      pg321_version: VERSION,
      config_file: config.file,
    };
    const sealed = await sealBundle(
      { ...about, files: files.filter(isPresent).map(bundledFile) },
      passphrase,
    );
    await writeKeyFile(path, sealed);
    await noteExport(
      config,
      { exported_at: exportedAt, fingerprint: fingerprintOf(files) ?? "" },
      { clock, log },
    );
    const variables = await variablesOf(config);
    report(invocation, path, exportedAt, files, variables);
    return files.every(isPresent) ? EXIT_CODES.ok : EXIT_CODES.partial;
  },
};

/** Asked before anybody types a passphrase; the writer asks again. */
async function requireNew(path: string): Promise<void> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  throw new Pg321Error("key", `${path}: already exists; an export never replaces a file`, {
    hint: "choose another name; remove the old file by yourself once the new one is safe",
  });
}

/** Refuses an export without a file that exists but cannot be read: it would be incomplete when it is needed. */
function refuseUnreadable(files: readonly SurveyedFile[]): void {
  const [first] = files.flatMap((one) => (one.state === "unreadable" ? [one] : []));
  if (!first) return;
  throw new Pg321Error("usage", `export-keys: ${first.file.path}: ${first.reason}`, {
    hint: "run it with sudo: every file of the list must go in",
  });
}

async function exportPassphrase({ arguments: args, terminal, signal }: Invocation): Promise<Secret> {
  const file = textOption(args, "passphrase-file");
  if (file === undefined) {
    if (terminal?.isInteractive) return newPassphrase("export-keys", PASSPHRASE_LENGTH_MIN, signal);
    throw new Pg321Error("usage", "export-keys: a passphrase is asked for on a terminal, and there is none", {
      hint: "use --passphrase-file FILE",
    });
  }
  const passphrase = await passphraseIn(file);
  requireLength("export-keys", passphrase.reveal(), PASSPHRASE_LENGTH_MIN);
  return passphrase;
}

/** Records the export for `doctor`. The export itself does not need the record. */
async function noteExport(
  config: Config,
  done: { exported_at: string; fingerprint: string },
  tools: { clock: Clock; log: Log },
): Promise<void> {
  try {
    await becomeStateOwner(config.state_dir, tools.log);
    await using opened = await openCatalog(config.catalog, tools);
    const catalog = ownView(opened, config);
    await catalog.hostExports.record(done);
  } catch (error) {
    tools.log.warning("the catalog has no record of this export, so doctor will still ask for one", {
      error: messageOf(error),
    });
  }
}

function report(
  { arguments: args, output }: Invocation,
  path: string,
  exportedAt: string,
  files: readonly SurveyedFile[],
  variables: readonly string[],
): void {
  const rows = files.map((one) => ({
    role: one.file.role,
    path: one.file.path,
    rights: isPresent(one) ? ownerText(one.rights, one.rights.mode) : ownerText(one.file, one.file.mode),
    size_bytes: isPresent(one) ? one.content.length : null,
  }));
  if (isSet(args, "json")) {
    const listed = rows.map(({ rights, ...row }) => ({ ...row, owner_and_mode: rights }));
    output.print(jsonText({ file: path, exported_at: exportedAt, files: listed, variables }));
    return;
  }
  const { style } = output;
  output.print(
    table(
      visibleData(rows),
      [
        { title: "WHAT", cell: ({ role }) => role },
        { title: "FILE", cell: (row) => row.path },
        { title: "OWNER AND MODE", cell: ({ rights }) => rights },
        {
          title: "BYTES",
          cell: ({ size_bytes }) => (size_bytes === null ? style.bad("missing") : String(size_bytes)),
          align: "right",
        },
      ],
      style,
    ),
  );
  const missing = rows.filter(({ size_bytes }) => size_bytes === null).length;
  if (missing > 0)
    output.print(
      `\n${style.bad(`${plural(missing, "file")} of the list could not be exported: missing here`)}`,
    );
  if (variables.length > 0)
    output.print(
      `\nThe config also takes values from the environment: ${variables.join(", ")}. They are exported only if the file \`environment\` next to the config or a drop-in of the unit sets them.`,
    );
  if (!rows.some(({ role }) => role === "identity"))
    output.print(
      "\nThe identity is not on this host: without it no backup can be opened. Keep it safe as well.",
    );
  output.print(
    `\n${style.bold(path)} is written. Copy it to a place that survives the loss of this host, and keep its passphrase\nelsewhere: anybody with both can open every backup. On a new host: pg321 restore-host FILE`,
  );
}
