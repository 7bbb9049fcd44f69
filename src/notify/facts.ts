import { countText, durationText, sizeText } from "../base/text/amounts.ts";
import { capital } from "../base/text/capital.ts";
import { backupWord, copyWord } from "../base/text/states.ts";
import { timeText } from "../base/text/zoned-time.ts";

/** Names that do not speak for themselves without their unit. */
const LABELS: Readonly<Record<string, string>> = {
  dump_bytes: "dump",
  usual_bytes: "usual dump",
  object_bytes: "stored",
  duration_ms: "took",
  backup_ids: "backups",
  shrunk_at: "first small dump",
  statistics: "whole run",
};
/** At most this many entries of a list are shown; the others are counted. */
const LISTED_MAX = 5;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/**
 * Facts as lines that people read: `Dump: 997 MiB`. The unit of a value is in its name (`_bytes`, `_ms`). Empty values
 * and zeros are left out.
 */
export function factLines(facts: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(facts).flatMap(([name, value]) => {
    const text = factText(name, value);
    return text === "" ? [] : [`${capital(labelOf(name))}: ${text}`];
  });
}

function factText(name: string, value: unknown): string {
  if (value === null || value === undefined || value === 0 || value === false) return "";
  if (value === true) return "yes";
  if (typeof value === "number") return numberText(name, value);
  if (typeof value === "string")
    return name === "status" ? backupWord({ status: value, error: null }) : wordText(value);
  if (Array.isArray(value)) return listText(name, value);
  const members = value as Record<string, unknown>;
  return memberTexts(members).join(Object.values(members).some(isObject) ? "; " : ", ");
}

function numberText(name: string, value: number): string {
  if (/(^|_)bytes(_|$)/.test(name)) return sizeText(value);
  if (name.endsWith("_ms")) return durationText(value);
  return value.toLocaleString("en");
}

function wordText(value: string): string {
  if (UUID.test(value)) return value.slice(0, 8);
  return TIME.test(value) ? timeText(value) : value;
}

function listText(name: string, values: readonly unknown[]): string {
  const texts = values.map((value) => (isCopy(value) ? copyText(value) : factText(name, value)));
  const shown = texts.filter((text) => text !== "");
  const more = shown.length > LISTED_MAX ? [`${shown.length - LISTED_MAX} more`] : [];
  return [...shown.slice(0, LISTED_MAX), ...more].join(values.some(isObject) ? "; " : ", ");
}

/** `2 databases, 1 failed`; `disk: 3 expired, freed 2.0 GiB; r2: 1 expired`. */
function memberTexts(members: Record<string, unknown>): string[] {
  return Object.entries(members).flatMap(([name, value]) => {
    const text = factText(name, value);
    if (text === "") return [];
    const isCount = typeof value === "number" && !/(^|_)bytes(_|$)|_ms$/.test(name);
    if (name === "bytes") return [text];
    if (isCount) return [countText(value, name)];
    return [`${labelOf(name)}${isObject(value) ? ":" : ""} ${text}`];
  });
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

interface Copy {
  storage: string;
  state: string;
}

function isCopy(value: unknown): value is Copy {
  const { storage, state } = (value ?? {}) as Partial<Copy>;
  return typeof storage === "string" && typeof state === "string";
}

/** `usb failed`: the message has the error. */
function copyText({ storage, state }: Copy): string {
  return `${storage} ${copyWord(state)}`;
}

function labelOf(name: string): string {
  return LABELS[name] ?? name.replaceAll(/_(bytes|ms|at|id)$|^bytes_/g, "").replaceAll("_", " ");
}
