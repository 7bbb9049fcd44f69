import { deadline, unlessAborted } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import type { ErrorCode } from "../base/errors.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";

export const AREAS = [
  "config",
  "keys",
  "host",
  "directories",
  "catalog",
  "server",
  "storage",
  "restore-test",
  "memory",
  "notify",
  "unit",
] as const;
export type Area = (typeof AREAS)[number];

/** One result of `doctor`. */
export interface Finding {
  area: Area;
  /** The thing checked: a name from the config, or a path. */
  subject: string;
  verdict: "ok" | "warning" | "failed";
  /** The result, without the subject's name. */
  message: string;
  /** What the reader can do about it; null if there is nothing to do or no advice. */
  hint: string | null;
  /** Null unless `verdict` is `failed`. */
  code: ErrorCode | "bug" | null;
}

/** A finding without its area and, usually, its subject. */
export type Seen = Omit<Finding, "area" | "subject"> & Partial<Pick<Finding, "subject">>;

export function ok(message: string): Seen {
  return { verdict: "ok", message, hint: null, code: null };
}

export function warning(message: string, hint: string | null = null): Seen {
  return { verdict: "warning", message, hint, code: null };
}

export function failed(code: ErrorCode, message: string, hint: string | null = null): Seen {
  return { verdict: "failed", message, hint, code };
}

/** The time limit of one check. */
const LOOK_MS = 10_000;

/** Runs one check. An error or a timeout of it becomes a finding. */
export async function look(
  { area, subject, code }: Pick<Finding, "area" | "subject"> & { code: ErrorCode },
  { clock, signal }: { clock: Clock; signal: AbortSignal },
  see: (signal: AbortSignal) => Promise<Seen[]>,
): Promise<Finding[]> {
  const late = () => new Pg321Error(code, `no answer within ${LOOK_MS / 1000} s`);
  using time = deadline({ clock, signal, durationMs: LOOK_MS }, late);
  try {
    // A call on an unreachable network disk does not react to the signal: do not wait for it.
    const seen = await unlessAborted(see(time.signal), time.signal);
    return seen.map((one) => ({ area, subject, ...one }));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return [{ area, subject, ...seenOf(error, subject, code) }];
  }
}

/** A thrown error as a finding; `code` is used for errors of the operating system. */
export function seenOf(error: unknown, subject: string, code: ErrorCode): Seen {
  if (error instanceof Pg321Error) {
    const start = `"${subject}": `;
    const at = error.message.indexOf(start);
    // The name in `storage "r2": …` is already shown as the subject.
    const message = at < 0 ? error.message : error.message.slice(at + start.length);
    return { verdict: "failed", message, hint: error.hint ?? null, code: error.code };
  }
  const isSystem = error instanceof Error && "syscall" in error;
  return { verdict: "failed", message: messageOf(error), hint: null, code: isSystem ? code : "bug" };
}
