import { Pg321Error } from "../base/errors.ts";

/** Keys and array indexes from the root of the TOML document. */
export type KeyPath = readonly (string | number)[];

/** One mistake in a config. */
export interface Problem {
  /** 1-based; unset if the mistake has no place in the file (a missing file). */
  line: number | undefined;
  column: number | undefined;
  /** `storage[1].bucket`; empty for the whole file. */
  path: string;
  /** What was found and what is allowed. Never contains a secret, or a value from outside the file. */
  message: string;
}

/** All mistakes of one config. */
export class ConfigError extends Pg321Error {
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[], hint?: string) {
    const lines = problems.map((problem) => problemText(file, problem));
    const message =
      lines.length === 1 ? `${lines[0]}` : `${lines.length} mistakes in the config\n  ${lines.join("\n  ")}`;
    super("usage", message, hint === undefined ? {} : { hint });
    this.file = file;
    this.problems = problems;
  }
}

/** `/etc/pg321/config.toml:12: storage[1].bucket: found 5 (number), expected a bucket name` */
export function problemText(file: string, { line, column, path, message }: Problem): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  return [place, path, message].filter((part) => part !== "").join(": ");
}

/** `storage[1].keep.days`; keys are quoted if TOML requires it. */
export function pathText(path: KeyPath): string {
  return path
    .map((key, depth) => {
      if (typeof key === "number") return `[${key}]`;
      const name = /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key);
      return depth === 0 ? name : `.${name}`;
    })
    .join("");
}
