import { Pg321Error } from "../base/errors.ts";

/**
 * A glob with `*`, `?` and `[a-z]` (`[!a-z]` for the opposite) as a regular expression; `*` also matches a slash.
 * Undefined for a plain name. Throws code `usage` for `[z-a]` and for a bracket that is not closed.
 */
export function globPattern(glob: string): RegExp | undefined {
  if (!/[*?[]/.test(glob)) return undefined;
  const source = glob.replace(/\*|\?|\[(!?)([^\]]+)\]|./gsu, (part, negated?: string, set?: string) => {
    if (part === "*") return ".*";
    if (part === "?") return ".";
    if (part === "[") throw notGlob(glob);
    if (set !== undefined) return `[${negated ? "^" : ""}${set.replace(/[\\^[]/g, "\\$&")}]`;
    return part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  });
  try {
    return new RegExp(`^${source}$`, "su");
  } catch {
    throw notGlob(glob);
  }
}

function notGlob(glob: string): Pg321Error {
  return new Pg321Error("usage", `"${glob}" is not a valid glob`, {
    hint: "a glob may contain *, ? and [a-z]; every [ needs its ]",
  });
}
