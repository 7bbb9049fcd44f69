const CONTROL = /\p{Cc}/gu;
const CONTROL_BUT_LINE_BREAK = /[^\P{Cc}\n]/gu;
const REPLACEMENT = "\ufffd";

/** One line of text whose parts may come from anywhere: no control character of it reaches a terminal. */
export function visible(text: string): string {
  return text.replace(CONTROL, REPLACEMENT);
}

/** The same for text of several lines. */
export function visibleLines(text: string): string {
  return text.replace(CONTROL_BUT_LINE_BREAK, REPLACEMENT);
}

/** A copy of plain data (records, reports) with every text in it made `visible`. */
export function visibleData<T>(data: T): T {
  return JSON.parse(
    JSON.stringify(data, (_key, value) => (typeof value === "string" ? visible(value) : value)),
  );
}
