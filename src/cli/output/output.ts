import { Pg321Error } from "../../base/errors.ts";
import { PLAIN, type Style } from "../../base/text/table.ts";

export { ageText, durationText, rateText, sizeText } from "../../base/text/amounts.ts";
export { jsonText } from "../../base/text/json.ts";
export { type Column, type Style, table, tableLine, width } from "../../base/text/table.ts";

/** Where a command's data goes. Everything else (log, progress, errors) goes to stderr. */
export interface Output {
  /** Data for a person, or JSON; a line break is added. */
  print(text: string): void;
  /** Raw bytes, with backpressure. Throws code `storage` when they cannot be written. */
  write(bytes: Uint8Array): Promise<void>;
  /** What a person reads beside the data; a line break is added. */
  note(text: string): void;
  style: Style;
  /** Whether a person would see what is printed. */
  isTerminal: boolean;
}

/** Refuses (code `usage`) to pour raw bytes over somebody's terminal. */
export function refuseTerminal(command: string, { isTerminal }: Output): void {
  if (!isTerminal) return;
  throw new Pg321Error("usage", `${command}: a dump is no text for a terminal`, {
    hint: "send it on, with | or >",
  });
}

const wrap = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`;

/** Whether a stream may be sent colours and more: a terminal, and not a dumb one. */
export function isSmartTerminal(
  { isTTY }: { isTTY?: boolean },
  env: Record<string, string | undefined>,
): boolean {
  return isTTY === true && env["TERM"] !== "dumb";
}

/** Colours only on a terminal, and not with `NO_COLOR` (no-color.org) set to anything. */
export function styleFor(isTerminal: boolean, env: Record<string, string | undefined>): Style {
  if (!isTerminal || env["NO_COLOR"]) return PLAIN;
  return { bold: wrap(1), dim: wrap(2), good: wrap(32), warn: wrap(33), bad: wrap(31) };
}
