import { isRoot } from "../../base/process/become-user.ts";
import { visibleData } from "../../base/text/visible.ts";
import { configPath, loadConfig, outsideOfConfig, processSource } from "../../config/load.ts";
import { lookAtCredentials } from "../../doctor/credentials.ts";
import { doctorExitCode, examine } from "../../doctor/doctor.ts";
import type { Finding } from "../../doctor/finding.ts";
import { withConfig } from "../../doctor/hints.ts";
import { hostFiles } from "../../install/host-files/list.ts";
import { surveyHostFiles } from "../../install/host-files/survey.ts";
import { becomeStateOwner } from "../../install/state-owner.ts";
import { readIdentityText } from "../../jobs/keys.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, textOption } from "../command.ts";
import type { Output } from "../output/output.ts";
import { jsonText, table } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "Checks config, keys, directories, catalog, servers, storages, memory and notifiers, as the user that the service\n" +
    "runs as, and continues after every failure. Writes nothing, so it cannot prove that a storage accepts writes:\n" +
    "a backup does. Exit 0 if nothing failed, otherwise the code of the gravest failure.",
  options: {
    notify: { type: "boolean", help: "send a test notice to each notifier" },
    "probe-lock": {
      type: "boolean",
      help: "write a small object to each storage with immutable copies, and try to delete it",
    },
    json: JSON_OPTION,
  },
  examples: [
    { command: "sudo pg321 doctor", explanation: "after a change of the config, before a reload" },
    { command: "pg321 doctor --notify", explanation: "with a test notice to each notifier" },
    {
      command: "sudo pg321 doctor --probe-lock",
      explanation: "do storages refuse to delete a locked object?",
    },
    {
      command: "pg321 doctor --json | jq '.findings[] | select(.verdict != \"ok\")'",
      explanation: "all findings that are not ok, for a script",
    },
  ],
  positionals: { min: 0, max: 0 },
  async run({ arguments: args, output, env, log, clock, signal }) {
    // Not `commandConfig`: the warnings of the config become findings instead of log lines.
    const file = configPath(textOption(args, "config"), env);
    const config = await loadConfig(file, processSource(), { setsAside: true });
    // If the identity cannot be read, the check of the keys reports why.
    const identityText = isRoot()
      ? await readIdentityText(config.encryption).catch(() => undefined)
      : undefined;
    const { valueFiles, credentialFiles } = await outsideOfConfig(config.file);
    const credentials = isRoot() ? await lookAtCredentials(credentialFiles) : [];
    const files = await surveyHostFiles(await hostFiles(config));
    await becomeStateOwner(config.state_dir, log);
    const examined = await examine({
      config,
      valueFiles,
      hostFiles: files,
      identityText,
      credentials,
      sendsTest: isSet(args, "notify"),
      probesLocks: isSet(args, "probe-lock"),
      clock,
      signal,
    });
    const findings = withConfig(examined, file);
    output.print(isSet(args, "json") ? jsonText(jsonOf(findings)) : textOf(visibleData(findings), output));
    return doctorExitCode(findings);
  },
};

function count(findings: readonly Finding[], verdict: Finding["verdict"]): number {
  return findings.filter((finding) => finding.verdict === verdict).length;
}

function jsonOf(findings: readonly Finding[]) {
  return {
    ok: count(findings, "ok"),
    warnings: count(findings, "warning"),
    failed: count(findings, "failed"),
    findings,
  };
}

function textOf(findings: readonly Finding[], { style }: Output): string {
  const shown = { ok: style.good, warning: style.warn, failed: style.bad };
  const shownFindings = table(
    findings,
    [
      { title: "", cell: ({ verdict }) => shown[verdict](verdict) },
      { title: "AREA", cell: ({ area }) => area },
      { title: "WHAT", cell: ({ subject }) => subject },
      { title: "FOUND", cell: ({ message }) => message },
    ],
    style,
    ({ hint }) => (hint ? [`         ${style.dim("hint:")} ${hint}`] : []),
  );
  const [failures, warnings] = [count(findings, "failed"), count(findings, "warning")];
  const sum = `${failures} failed, ${warnings} ${warnings === 1 ? "warning" : "warnings"}, ${count(findings, "ok")} ok`;
  const verdict = failures > 0 ? style.bad(sum) : warnings > 0 ? style.warn(sum) : style.good(sum);
  return [shownFindings, "", verdict].join("\n");
}
