import { visible, visibleLines } from "../base/text/visible.ts";
import type { Notice } from "./notice.ts";

/** `[pg321] CRITICAL: backup of main/app failed`: one line. */
export function titleOf({ event, level, message }: Notice): string {
  const word = event === "resolved" ? "RESOLVED" : event === "reminder" ? `STILL ${level}` : level;
  return clipped(visible(`[pg321] ${word}: ${message.replace(/\s+/g, " ")}`), 200);
}

/** The message, then the known facts, one in each line. */
export function textOf(notice: Notice): string {
  const { message, job, server, database, host, count, first_at, last_at, resolved_at, metadata } = notice;
  const facts: Record<string, unknown> = {
    job,
    server: database === null ? server : null,
    database: database === null ? null : `${server}/${database}`,
    host,
    count: count > 1 ? `${count} times` : null,
    since: first_at,
    last: count > 1 ? last_at : null,
    resolved: resolved_at !== first_at ? resolved_at : null,
    ...metadata,
  };
  const lines = Object.entries(facts).flatMap(([name, value]) =>
    value === null || value === undefined ? [] : [`${name}: ${shown(value)}`],
  );
  return visibleLines([message, "", ...lines].join("\n"));
}

/** At most `max` characters; a cut is marked with an ellipsis. */
export function clipped(text: string, max: number): string {
  const characters = [...text];
  return characters.length <= max ? text : `${characters.slice(0, max - 1).join("")}…`;
}

function shown(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
