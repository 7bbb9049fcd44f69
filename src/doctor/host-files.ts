import { ownerText } from "../base/process/owners.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { HostExport } from "../catalog/host-exports.ts";
import type { SurveyedFile } from "../install/host-files/survey.ts";
import { fingerprintOf, isPresent } from "../install/host-files/survey.ts";
import type { Seen } from "./finding.ts";
import { ok, warning } from "./finding.ts";

const EXPORT_HINT =
  "sudo pg321 export-keys FILE; copy FILE to another site, and keep its passphrase elsewhere";
/** Roles whose files must be private. Other files are checked elsewhere, or are no secrets. */
const PRIVATE_ROLES = ["credential", "value of the config"];

/** Lists each file that a new host needs, with owner and mode. */
export function lookAtHostFiles(files: readonly SurveyedFile[]): Seen[] {
  return files.flatMap((one): Seen[] => {
    const { role, path } = one.file;
    if (one.state === "missing") {
      const { user, group, mode } = one.file;
      const hint = `install -o ${user} -g ${group} -m ${mode.toString(8).padStart(4, "0")} COPY ${shellQuoted(path)}`;
      return [{ subject: path, ...warning(`${role}: does not exist`, hint) }];
    }
    if (one.state === "unreadable") return [{ subject: path, ...ok(`${role}: ${one.reason}`) }];
    const { rights } = one;
    const found = `${role}, ${ownerText(rights, rights.mode)}`;
    if (PRIVATE_ROLES.includes(role) && (rights.mode & 0o007) !== 0)
      return [
        {
          subject: path,
          ...warning(`${found}: every user of this host has access to it`, `chmod o= ${shellQuoted(path)}`),
        },
      ];
    return [{ subject: path, ...ok(found) }];
  });
}

/** Whether the files are unchanged since the last export. `last`: null if there was none. */
export function lookAtExport(files: readonly SurveyedFile[], last: HostExport | null): Seen[] {
  const subject = "export-keys";
  if (last === null) {
    const message = "never exported: if this host is lost, its config, credentials and keys are lost with it";
    return [{ subject, ...warning(message, EXPORT_HINT) }];
  }
  const exportedAt = last.exported_at.slice(0, 19).replace("T", " ");
  const fingerprint = fingerprintOf(files);
  if (fingerprint === undefined)
    return [
      {
        subject,
        ...ok(`last exported ${exportedAt} UTC; run doctor as root to see whether a file has changed since`),
      },
    ];
  if (fingerprint === last.fingerprint)
    return [{ subject, ...ok(`last exported ${exportedAt} UTC, unchanged since`) }];
  const changed = files
    .filter(isPresent)
    .filter(({ changedAt }) => changedAt.toISOString() > last.exported_at)
    .map(({ file }) => file.path);
  const which = changed.length > 0 ? changed.join(", ") : "files were added, removed or replaced";
  return [
    { subject, ...warning(`changed since the last export (${exportedAt} UTC): ${which}`, EXPORT_HINT) },
  ];
}
