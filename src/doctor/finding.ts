import { unlessAborted } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import type { ErrorCode } from "../base/errors.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";

export const AREAS = [
  "config",
  "keys",
  "directories",
  "catalog",
  "server",
  "storage",
  "memory",
  "notify",
  "unit",
] as const;
export type Area = (typeof AREAS)[number];

/** What `doctor` saw of one thing. */
export interface Finding {
  area: Area;
  /** What was looked at: a name of the config, a path. */
  subject: string;
  verdict: "ok" | "warning" | "failed";
  /** What is so, without the subject's name. */
  message: string;
  /** What the reader can do about it; null where there is nothing to do, or nobody knows. */
  hint: string | null;
  /** Of a failed one only. */
  code: ErrorCode | "bug" | null;
}

/** What a look found, its place left out. */
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

/** How long one look may take. */
const LOOK_MS = 10_000;

/** Looks at one thing. What throws, and what takes too long, is a finding like any other. */
export async function look(
  { area, subject, code }: Pick<Finding, "area" | "subject"> & { code: ErrorCode },
  { clock, signal }: { clock: Clock; signal: AbortSignal },
  see: (signal: AbortSignal) => Promise<Seen[]>,
): Promise<Finding[]> {
  const late = new AbortController();
  const ended = new AbortController();
  const either = AbortSignal.any([signal, late.signal]);
  clock.sleep(LOOK_MS, ended.signal).then(
    () => late.abort(new Pg321Error(code, `no answer within ${LOOK_MS / 1000} s`)),
    () => {},
  );
  try {
    // A disk of the network that is away answers no signal: it is not waited for.
    const seen = await unlessAborted(see(either), either);
    return seen.map((one) => ({ area, subject, ...one }));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return [{ area, subject, ...seenOf(error, subject, code) }];
  } finally {
    ended.abort();
  }
}

/** Something that was thrown, as a finding; `code` is for what the operating system refused. */
export function seenOf(error: unknown, subject: string, code: ErrorCode): Seen {
  if (error instanceof Pg321Error) {
    const start = `"${subject}": `;
    const at = error.message.indexOf(start);
    // `storage "r2": …` stands beside the name already.
    const message = at < 0 ? error.message : error.message.slice(at + start.length);
    return { verdict: "failed", message, hint: error.hint ?? null, code: error.code };
  }
  const isSystem = error instanceof Error && "syscall" in error;
  return { verdict: "failed", message: messageOf(error), hint: null, code: isSystem ? code : "bug" };
}
