import { Pg321Error } from "../../base/errors.ts";
import { PLAIN, type Style } from "../../base/text/table.ts";

import type { Screen } from "./watched.ts";

export { ageText, durationText, growthText, rateText, sizeText } from "../../base/text/amounts.ts";
export { jsonText, longJson } from "../../base/text/json.ts";
export { type Column, longTable, type Style, table, tableLine, width } from "../../base/text/table.ts";

/** A command's output: data to stdout, everything else (log, progress, errors, notes) to stderr. */
export interface Output {
  /** Prints text or JSON to stdout; adds a line break. */
  print(text: string): void;
  /** Prints a part of a long text or JSON to stdout as it is, with backpressure. Rejects like `write`. */
  printPart(text: string): Promise<void>;
  /** Writes raw bytes to stdout, with backpressure. Rejects with code `storage` if they cannot be written. */
  write(bytes: Uint8Array): Promise<void>;
  /** Prints a message for a person to stderr; adds a line break. */
  note(text: string): void;
  style: Style;
  /** Whether stdout is a terminal. */
  isTerminal: boolean;
  /** That terminal, if it understands control sequences. */
  screen: Screen | undefined;
}

/** Throws code `usage` if stdout is a terminal: a dump is binary. */
export function refuseTerminal(command: string, { isTerminal }: Output): void {
  if (!isTerminal) return;
  throw new Pg321Error("usage", `${command}: refusing to write a binary dump to a terminal`, {
    hint: "redirect it to a file with >, or to a program with |",
  });
}

const wrap = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`;

/** Whether a stream is a terminal that understands control sequences (not `TERM=dumb`). */
export function isSmartTerminal(
  { isTTY }: { isTTY?: boolean },
  env: Record<string, string | undefined>,
): boolean {
  return isTTY === true && env["TERM"] !== "dumb";
}

/** Colours only on a terminal, and only if `NO_COLOR` (no-color.org) is unset or empty. */
export function styleFor(isTerminal: boolean, env: Record<string, string | undefined>): Style {
  if (!isTerminal || env["NO_COLOR"]) return PLAIN;
  return { bold: wrap(1), dim: wrap(2), good: wrap(32), warn: wrap(33), bad: wrap(31) };
}
