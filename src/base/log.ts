import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import { type Journal, type JournalEntry, PRIORITY, withPriority } from "./process/journal.ts";
import { visibleLines } from "./text/visible.ts";

/**
 * Field names include the unit: `size_bytes`, `duration_ms`. No field may hold a secret. The three names that every
 * line has are reserved.
 */
export type LogFields = Record<string, string | number | boolean | undefined> & {
  time?: undefined;
  level?: undefined;
  message?: undefined;
};
export type LogLevel = "debug" | "info" | "warning" | "error";

/** One line per event: a constant message and fields. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  format: "text" | "json";
  level: LogLevel;
  /** Gets each event, instead of `write` and in both forms: as a line to read and in fields. */
  journal?: Journal;
  write: (line: string) => void;
  clock?: Clock;
}

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warning: 2, error: 3 };

export function createLog({ format, level, write, journal, clock = systemClock }: LogOptions): Log {
  const emit = (lineLevel: LogLevel, message: string, fields: LogFields = {}) => {
    if (RANK[lineLevel] < RANK[level]) return;
    if (journal) {
      const text = visibleLines(message + shownFields(fields));
      const isTaken = journal.send(journalEntry(lineLevel, text, message, fields));
      if (!isTaken) write(withPriority(`${text}\n`, PRIORITY[lineLevel]));
      return;
    }
    const time = clock.now().toISOString();
    if (format === "json") {
      write(
        withPriority(
          `${JSON.stringify({ time, level: lineLevel, message, ...fields })}\n`,
          PRIORITY[lineLevel],
        ),
      );
      return;
    }
    write(`${time.slice(0, 19)}Z ${lineLevel.padEnd(7)} ${message}${shownFields(fields)}\n`);
  };
  return {
    debug: (message, fields) => emit("debug", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warning: (message, fields) => emit("warning", message, fields),
    error: (message, fields) => emit("error", message, fields),
  };
}

/** The entry of an event. `PG321_EVENT` is the constant message, `PG321_SIZE_BYTES` the field `size_bytes`. */
function journalEntry(level: LogLevel, text: string, message: string, fields: LogFields): JournalEntry {
  return [
    ["MESSAGE", text],
    ["PRIORITY", String(PRIORITY[level])],
    ["SYSLOG_IDENTIFIER", "pg321"],
    ["PG321_EVENT", message],
    ...present(fields).map(([key, value]) => [`PG321_${key.toUpperCase()}`, String(value)] as const),
  ];
}

function shownFields(fields: LogFields): string {
  return present(fields)
    .map(([key, value]) => ` ${key}=${shownValue(value)}`)
    .join("");
}

function present(fields: LogFields): [string, string | number | boolean][] {
  return Object.entries(fields).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]));
}

/** Quoted if it needs it: in single quotes, if that saves escapes. */
function shownValue(value: string | number | boolean): string {
  const text = String(value);
  if (/^[^\s"'=\p{Cc}]+$/u.test(text)) return text;
  return /^[^'\\\p{Cc}]*"[^'\\\p{Cc}]*$/u.test(text) ? `'${text}'` : JSON.stringify(text);
}

/** A log that says nothing, for tests. */
export const silentLog: Log = createLog({ format: "text", level: "error", write: () => {} });
