import { plural } from "../../base/text/amounts.ts";
import { isEndedByHand } from "../../base/text/states.ts";
import { visibleData, visibleLines } from "../../base/text/visible.ts";
import { fullTime } from "../../base/text/zoned-time.ts";
import { backupName } from "../../catalog/globals.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { BackupRecord, CopyRecord, RestoreTestRecord } from "../../catalog/records.ts";
import type { Config } from "../../config/config.ts";
import { HOOK_KINDS } from "../../config/database/hooks.ts";
import type { HookRuns } from "../../jobs/backup/hook-runs.ts";
import { hookRunsOf } from "../../jobs/backup/hook-runs.ts";
import { holdText } from "../../jobs/cleanup/hold.ts";
import { findBackup } from "../../jobs/copies/find-backup.ts";
import { checkTexts } from "../../jobs/restore-test/told.ts";
import { parseFacts } from "../../postgres/counts/facts.ts";
import { leftOutText } from "../../postgres/counts/left-out.ts";
import { streamsText } from "../../postgres/counts/streams.ts";
import { factsText, momentText } from "../../status/facts-text.ts";
import type { ListedBackup } from "../../status/list-backups.ts";
import { listed } from "../../status/list-backups.ts";
import { recoveryMs } from "../../status/restore-tests.ts";
import { lockText } from "../../storage/immutability.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, UTC_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { backupJson } from "../output/json.ts";
import type { Output, Style } from "../output/output.ts";
import { durationText, jsonText, rateText, sizeText, table } from "../output/output.ts";
import { colouredBackup, colouredCopy, originText } from "../output/status-colour.ts";

export const command: Command = {
  usage: "ID",
  options: { utc: UTC_OPTION, json: JSON_OPTION },
  examples: [{ command: "pg321 show 3f2a", explanation: "any unambiguous prefix of the id is enough" }],
  positionals: { min: 1, max: 1, values: [{ live: ["backup"] }] },
  async run(invocation) {
    const { arguments: args, output, clock, log } = invocation;
    const config = await commandConfig(invocation, { setsAside: true });
    await using catalog = await openCatalog(config.catalog, { clock, log });
    const backup = await findBackup({ catalog, clock }, args.positionals[0] ?? "");
    const found = await listed({ catalog, clock, config, host: config.fleet.host }, backup);
    const { stderr_tail, manifest, facts } = backup;
    const [test] = await catalog.restoreTests.list({ backup_id: backup.id, limit: 1 });
    if (isSet(args, "json")) {
      const shown = {
        ...{ ...backupJson(found), stderr_tail, manifest: manifest && JSON.parse(manifest) },
        ...{ restore_test: test ?? null, facts, hooks: hookRunsOf(backup) ?? null },
      };
      output.print(jsonText(shown));
    } else {
      const testLine = test === undefined ? null : testText(visibleData(test), output.style);
      const shown = { ...found, copies: found.copies.map((copy) => withReason(copy, config)) };
      output.print(textOf(visibleData(shown), stderr_tail && visibleLines(stderr_tail), testLine, output));
    }
    return 0;
  },
};

/** A copy in a storage that cannot be used shows why. */
function withReason(copy: CopyRecord, { unusable }: Config): CopyRecord {
  const found = unusable.find(({ kind, name }) => kind === "storage" && name === copy.storage);
  return found ? { ...copy, error: `storage not usable: ${found.reason}` } : copy;
}

/** Compression makes small dumps and random data larger: every object has a header. */
function ratioText(ratio: number | null): string {
  if (ratio === null || ratio === 0 || ratio === 1) return "";
  return ratio > 1 ? `, ${ratio} times smaller than the dump` : ", larger than the dump";
}

/** `pre_backup "freeze" OK in 12 ms`, with the output below it. */
function hooksText(hooks: HookRuns | undefined, style: Style): string | null {
  if (hooks === undefined) return null;
  const indent = `\n${" ".repeat(NAME_WIDTH)} `;
  const lines = HOOK_KINDS.flatMap((kind) =>
    hooks[kind].flatMap(({ name, outcome, duration_ms, error, output }) => [
      `${kind} "${name}" ${outcome === "OK" ? style.good("OK") : style.bad("failed")} in ${durationText(duration_ms)}${error === null ? "" : `: ${withoutLabel(error)}`}`,
      ...output
        .trimEnd()
        .split("\n")
        .flatMap((line) => (line === "" ? [] : `  ${line}`)),
    ]),
  );
  return lines.length === 0 ? null : lines.join(indent);
}

/** `exit code 3: no space`: the line names the hook already. */
function withoutLabel(error: string): string {
  return error.replace(/^hook \w+ "[^"]*" failed: /, "");
}

/** Columns of the names on the left. */
const NAME_WIDTH = 14;

/** `passed 2026-11-23T07:00:03.000Z from disk (throwaway): recovery 340 ms, 6 of 6 checks` */
function testText(test: RestoreTestRecord, style: Style): string {
  const { outcome, finished_at, storage, target, checks } = test;
  const result =
    outcome === "PASSED"
      ? style.good("passed")
      : style.bad(outcome === "ERROR" ? "not carried out" : "failed");
  const recovery = recoveryMs(test);
  const error = checkTexts(test);
  const good = checks.filter(({ is_ok }) => is_ok).length;
  const facts = [
    ...(recovery === null ? [] : [`recovery ${durationText(recovery)}`]),
    ...(checks.length === 0 ? [] : [`${good} of ${plural(checks.length, "check")}`]),
    ...(error === null ? [] : [error]),
  ];
  return `${result} ${fullTime(finished_at, style)} from ${storage} (${target}): ${facts.join(", ")}`;
}

/** `12 roles, 1 tablespace, with passwords`; only what is known of an adopted backup. */
function globalsText({ kind, facts }: Pick<BackupRecord, "kind" | "facts">): string | null {
  if (kind !== "globals") return null;
  const { roles, tablespaces, passwords } = facts ?? {};
  if (typeof roles !== "number" || typeof tablespaces !== "number") return "roles and tablespaces";
  const rest = passwords === true ? "with passwords" : "without passwords (the role cannot read pg_authid)";
  return `${plural(roles, "role")}, ${plural(tablespaces, "tablespace")}, ${rest}`;
}

function textOf(
  found: ListedBackup,
  stderrTail: string | null,
  testLine: string | null,
  { style }: Output,
): string {
  const { backup, copies } = found;
  const counted = parseFacts(backup.facts);
  const { duration_ms, ratio, streams } = backupJson(found);
  const program = backup.kind === "globals" ? "pg_dumpall" : "pg_dump";
  const facts: [string, string | null][] = [
    ["backup", backup.id],
    ["database", backupName(backup)],
    ["status", colouredBackup(backup, style) + originText(found)],
    ["host", backup.host],
    ["started", fullTime(backup.started_at, style)],
    ["finished", backup.finished_at && fullTime(backup.finished_at, style)],
    ["duration", duration_ms === null ? null : durationText(duration_ms)],
    [
      "dump",
      backup.dump_bytes === null ? null : `${sizeText(backup.dump_bytes)} (${backup.dump_bytes} bytes)`,
    ],
    [
      "stored",
      backup.object_bytes === null
        ? null
        : `${sizeText(backup.object_bytes)} (${backup.object_bytes} bytes${ratioText(ratio)})`,
    ],
    ["snapshot", counted ? momentText(counted) : null],
    ["streams", streams && streamsText(streams)],
    ["globals", globalsText(backup)],
    ["rows", counted ? factsText(counted).join(`\n${" ".repeat(NAME_WIDTH)} `) : null],
    ["left out", leftOutText(counted?.left_out) ?? null],
    ["hooks", hooksText(hookRunsOf(backup), style)],
    ["restore test", testLine],
    ["rate", backup.dump_bytes && duration_ms ? rateText(backup.dump_bytes, duration_ms) : null],
    ["object", backup.object_key],
    ["sha256", backup.object_sha256],
    ["compression", backup.compression],
    ["encryption", backup.encryption],
    ["sealed to", backup.recipients],
    ["server version", backup.server_version],
    [program, backup.pg_dump_version],
    ["previous", backup.previous_id],
    ["held", backup.held_at && holdText(backup)],
    ["error", backup.error && !isEndedByHand(backup) ? style.bad(backup.error) : null],
    [`${program} said`, stderrTail],
  ];
  const lines = facts.flatMap(([name, value]) =>
    value === null ? [] : [`${style.bold(name.padEnd(NAME_WIDTH))} ${value}`],
  );
  if (copies.length === 0) return lines.join("\n");
  const copyTable = table(
    copies,
    [
      { title: "STORAGE", isName: true, cell: (copy) => copy.storage },
      { title: "STATE", cell: (copy) => colouredCopy(copy.state, style, backup) },
      { title: "CONFIRMED", cell: ({ confirmed_at: at }) => (at ? fullTime(at, style) : "-") },
      { title: "LAST READ BACK", cell: ({ verified_at: at }) => (at ? fullTime(at, style) : "-") },
      { title: "LOCK", cell: (copy) => lockText(copy) ?? (copy.lock_error === null ? "-" : "not locked") },
      { title: "ERROR", cell: (copy) => copy.error ?? copy.lock_error ?? "" },
    ],
    style,
  );
  return [...lines, "", copyTable].join("\n");
}
