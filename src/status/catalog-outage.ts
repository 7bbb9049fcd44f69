import { plural } from "../base/text/amounts.ts";
import { timeText } from "../base/text/zoned-time.ts";
import type { SpoolStatus } from "../catalog/spool/status.ts";
import type { StatusReport } from "./report.ts";

/** In a few words that the catalog is unreachable; undefined if it is not, or has no spool. */
export function outageText(spool: SpoolStatus | null | undefined): string | undefined {
  if (!spool?.unreachable_since) return undefined;
  const wait = spool.waiting === 1 ? "waits" : "wait";
  return `the catalog is unreachable since ${timeText(spool.unreachable_since)}: ${plural(spool.waiting, "record")} ${wait}`;
}

function refusedText(spool: SpoolStatus | null | undefined): string | undefined {
  if (!spool?.refused) return undefined;
  const records = plural(spool.refused, "record");
  return `the catalog refused ${records} of this host (${spool.refused_error}): pg321 catalog refused lists them, docs/fleet.md says what to do`;
}

export function catalogProblems({ catalog }: StatusReport): { level: "warning"; text: string }[] {
  const texts = [outageText(catalog), refusedText(catalog)].filter((text) => text !== undefined);
  return texts.map((text) => ({ level: "warning", text }));
}
