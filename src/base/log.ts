import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";

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
  write: (line: string) => void;
  clock?: Clock;
}

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warning: 2, error: 3 };
/** Syslog priorities, which the journal reads from a `<N>` prefix. */
const PRIORITY: Record<LogLevel, number> = { debug: 7, info: 6, warning: 4, error: 3 };

export function createLog({ format, level, write, clock = systemClock }: LogOptions): Log {
  const emit = (lineLevel: LogLevel, message: string, fields: LogFields = {}) => {
    if (RANK[lineLevel] < RANK[level]) return;
    const time = clock.now().toISOString();
    if (format === "json") {
      write(`<${PRIORITY[lineLevel]}>${JSON.stringify({ time, level: lineLevel, message, ...fields })}\n`);
      return;
    }
    const shown = Object.entries(fields).flatMap(([key, value]) =>
      value === undefined ? [] : [` ${key}=${shownValue(value)}`],
    );
    write(`${time.slice(0, 19)}Z ${lineLevel.padEnd(7)} ${message}${shown.join("")}\n`);
  };
  return {
    debug: (message, fields) => emit("debug", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warning: (message, fields) => emit("warning", message, fields),
    error: (message, fields) => emit("error", message, fields),
  };
}

function shownValue(value: string | number | boolean): string {
  const text = String(value);
  return /^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text);
}

/** A log that says nothing, for tests. */
export const silentLog: Log = createLog({ format: "text", level: "error", write: () => {} });
