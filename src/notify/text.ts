import { durationText } from "../base/text/amounts.ts";
import { visible, visibleLines } from "../base/text/visible.ts";
import { timeText } from "../base/text/zoned-time.ts";
import { factLines } from "./facts.ts";
import type { Notice, NoticeEvent } from "./notice.ts";

/** Longer titles are cut by phones and mail programs, and the body has the whole message. */
const TITLE_MAX = 150;
/** The beginning that a title is made from. */
const TITLE_SOURCE_MAX = 2_000;
/** The key of a backup's object would fill a title; the text has it. */
const OBJECT_KEY = /\S*\/backup_\S+\.dump\b[\w.]*/g;
/** The next step, if the alert names none. */
const HINT = "pg321 status shows the state of everything; journalctl -u pg321 has the log";

/** `[pg321 db1] CRITICAL: backup of main/app failed: connection refused`: one line. */
export function titleOf(notice: Notice): string {
  const { event, level, host } = notice;
  const words: Partial<Record<NoticeEvent, string>> = {
    resolved: "RESOLVED",
    reminder: `STILL ${level}`,
    test: "TEST",
  };
  const word = words[event] ?? level;
  // Cut first: on a very long message the pattern of keys would take seconds.
  const text = `[pg321 ${host}] ${word}: ${subjectOf(notice)}`.slice(0, TITLE_SOURCE_MAX);
  return clipped(visible(text.replace(/\s+/g, " ").replaceAll(OBJECT_KEY, "…")), TITLE_MAX);
}

/** What happened; begins with the server or database if the sentence does not name it. */
function subjectOf(notice: Notice): string {
  const text = notice.event === "resolved" ? resolutionOf(notice) : notice.message;
  const { server, database } = notice;
  if (server === null) return text;
  const name = database === null ? server : `${server}/${database}`;
  return text.includes(name) ? text : `${name}: ${text}`;
}

/** What happened, the next step, then the facts, each in a line of its own. */
export function textOf(notice: Notice): string {
  const parts = notice.event === "resolved" ? resolvedParts(notice) : openParts(notice);
  return visibleLines(
    parts
      .filter((lines) => lines.length > 0)
      .map((lines) => lines.join("\n"))
      .join("\n\n"),
  );
}

function openParts(notice: Notice): string[][] {
  const { message, level, event, count, first_at, last_at, alert_id, metadata } = notice;
  const { hint, ...others } = metadata;
  const isProblem = level !== "INFO" && event !== "succeeded" && event !== "started";
  const next = typeof hint === "string" && hint !== "" ? hint : isProblem ? HINT : undefined;
  // The message has the error.
  const facts = Object.entries(others).filter(
    ([name, value]) => name !== "error" || typeof value !== "string",
  );
  return [
    [message],
    next === undefined ? [] : [`What to do: ${next}`],
    [
      ...placeLines(notice),
      ...factLines(Object.fromEntries(facts)),
      `${isProblem ? "Since" : "At"}: ${timeText(first_at)}`,
      ...(count > 1 ? [`Happened: ${count.toLocaleString("en")} times, last ${timeText(last_at)}`] : []),
    ],
    isProblem && alert_id !== null ? [`To stop reminders: pg321 alerts ack ${alert_id.slice(0, 8)}`] : [],
  ];
}

function resolvedParts(notice: Notice): string[][] {
  const { message, count, first_at, resolved_at } = notice;
  const lastedMs = resolved_at === null ? null : Date.parse(resolved_at) - Date.parse(first_at);
  return [
    [resolutionOf(notice)],
    [`The problem was: ${message}`],
    [
      ...placeLines(notice),
      `Since: ${timeText(first_at)}`,
      ...(resolved_at === null
        ? []
        : [`Resolved: ${timeText(resolved_at)}, after ${durationText(lastedMs)}`]),
      ...(count > 1 ? [`Happened: ${count.toLocaleString("en")} times`] : []),
    ],
  ];
}

function placeLines({ host, server, database }: Notice): string[] {
  if (server === null) return [`Host: ${host}`];
  return [database === null ? `Server: ${server}` : `Database: ${server}/${database}`, `Host: ${host}`];
}

/** A notice that an earlier version queued has no resolution. */
function resolutionOf({ key, resolution }: Notice): string {
  return resolution ?? `the problem "${key}" is solved`;
}

/** At most `max` characters; a cut is marked with an ellipsis. */
export function clipped(text: string, max: number): string {
  const characters = [...text];
  return characters.length <= max ? text : `${characters.slice(0, max - 1).join("")}…`;
}
