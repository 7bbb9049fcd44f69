import { plural } from "../../base/text/amounts.ts";
import { visible, visibleData } from "../../base/text/visible.ts";
import type { CleanupPreview, CleanupReport } from "../../jobs/cleanup/report.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { RetentionDecision } from "../../retention/plan.ts";
import { printParts } from "./long-output.ts";
import type { Output, Style } from "./output.ts";
import { longJson, sizeText, tableLine, width } from "./output.ts";

const TITLES = ["ID", "DATABASE", "STORAGE", "ACTION", "REASON"] as const;

/**
 * Prints the result of a dry run, each decision as it is made: there may be hundreds of thousands, too many to keep
 * in memory.
 */
export async function printPreview(
  preview: CleanupPreview,
  output: Output,
  { isAdopting, isJson }: { isAdopting: boolean; isJson: boolean },
): Promise<void> {
  await printParts(output, isJson ? jsonParts(preview) : textParts(preview, isAdopting, output.style));
}

export function decisionJson(decision: RetentionDecision) {
  const { backupId, server, database, storage, action, reason, guard, isSuspended } = decision;
  return {
    backup_id: backupId,
    server,
    database,
    storage,
    action,
    reason,
    guard: guard ?? null,
    suspended: isSuspended ?? false,
  };
}

function jsonParts({ statistics, orphans, decisions }: CleanupPreview): AsyncGenerator<string> {
  const pages = async function* () {
    for await (const batch of decisions()) yield batch.map(decisionJson);
  };
  return longJson({
    run_id: null,
    outcome: null,
    ...statistics,
    orphan_objects: orphans,
    decisions: { pages },
  });
}

async function* textParts(
  preview: CleanupPreview,
  isAdopting: boolean,
  style: Style,
): AsyncGenerator<string> {
  const { databases, statistics, decisions } = preview;
  const widest = (title: string, texts: readonly string[]) =>
    texts.reduce((most, text) => Math.max(most, width(visible(text))), title.length);
  const widths = [8, widest("DATABASE", databases), widest("STORAGE", Object.keys(statistics.storages)), 6];
  let text = databases.length === 0 ? "no copies\n" : `${style.bold(tableLine(TITLES, widths))}\n`;
  for await (const batch of decisions()) {
    for (const { backupId, server, database, storage, action, reason } of batch) {
      const shown = action === "expire" ? style.warn(action) : action;
      const cells = [shortId(backupId), visible(`${server}/${database}`), storage, shown, visible(reason)];
      text += `${tableLine(cells, widths)}\n`;
    }
    yield text;
    text = "";
  }
  const found = visibleData({ statistics, orphans: preview.orphans });
  const lines = [
    ...(isAdopting ? [adoptionText(statistics.adopted, "to adopt")] : []),
    ...findings(found, { isAdopting, style }),
  ];
  yield text + lines.map((line) => `${line}\n`).join("");
}

/** With `--adopt`, the copies are counted even if there are none: `copies to adopt            3`. */
export function adoptionText(adopted: number, what: "adopted" | "to adopt"): string {
  return `${`copies ${what}`.padEnd(26)} ${adopted}`;
}

/** Notes, errors, objects without a record and stops of a cleanup, as lines. Its strings must have passed `visibleData`. */
export function findings(
  { statistics, orphans }: Pick<CleanupReport, "statistics" | "orphans">,
  { isAdopting, style }: { isAdopting: boolean; style: Style },
): string[] {
  const { more_errors, more_notes } = statistics;
  const lines = statistics.notes.map(({ storage, key, note }) => `${storage}: ${key}: ${note}`);
  if (more_notes > 0) lines.push(`and ${plural(more_notes, "more note")}`);
  for (const { storage, key, error } of statistics.errors)
    lines.push(style.bad(key === null ? `${storage}: ${error}` : `${storage}: ${key}: ${error}`));
  if (more_errors > 0) lines.push(style.bad(`and ${plural(more_errors, "more error")}`));
  for (const { storage, objects, bytes } of statistics.orphans) {
    lines.push(style.warn(`${storage}: ${plural(objects, "object")} (${sizeText(bytes)}) without a record:`));
    const named = orphans.filter((orphan) => orphan.storage === storage);
    for (const { key, size_bytes } of named) lines.push(`  ${key} (${sizeText(size_bytes)})`);
    if (named.length < objects) lines.push(`  and ${plural(objects - named.length, "more object")}`);
  }
  if (statistics.orphans.length > 0 && !isAdopting)
    lines.push("pg321 cleanup --adopt adds those that are backups of this installation to the catalog");
  for (const reason of statistics.suspended) lines.push(style.bad(`stopped: ${reason}`));
  if (statistics.plan_hash !== null)
    lines.push(
      `check the plan with pg321 cleanup --dry-run; if it is right: pg321 cleanup --confirm ${statistics.plan_hash}`,
    );
  return lines;
}
