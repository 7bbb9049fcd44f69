import { changed, type Steps } from "../steps.ts";

const CONTROL = /\p{Cc}/gu;
const CONTROL_BUT_LINE_BREAK = /[^\P{Cc}\n]/gu;
const REPLACEMENT = "\ufffd";

/** Replaces control characters in one line of untrusted text, so that none reaches a terminal. */
export function visible(text: string): string {
  return text.replace(CONTROL, REPLACEMENT);
}

/** As `visible`, but keeps line breaks. */
export function visibleLines(text: string): string {
  return text.replace(CONTROL_BUT_LINE_BREAK, REPLACEMENT);
}

/** JSON escapes some control characters, quotes and the backslash; it has the other control characters as they are. */
const MAYBE_CONTROL = /\\[^"]|[\u007f-\u009f]/;

/** A copy of plain data (records, reports) with every text in it made `visible`. */
export function visibleData<T>(data: T): T {
  const json = JSON.stringify(data);
  // Mostly there is nothing to replace, and to look at each text of a large report takes several times as long.
  if (!MAYBE_CONTROL.test(json)) return JSON.parse(json);
  return JSON.parse(
    JSON.stringify(data, (_key, value) => (typeof value === "string" ? visible(value) : value)),
  );
}

/** `visibleData` of a record, in steps: the elements of its lists a few at a time. */
export function* visibleSteps<T extends object>(record: T): Steps<T> {
  const copy: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(record))
    if (Array.isArray(value)) copy[key] = yield* changed(value, (some) => visibleData(some));
    else Object.assign(copy, visibleData({ [key]: value }));
  return copy as T;
}
