import { Pg321Error } from "../base/errors.ts";

/**
 * A glob with `*`, `?` and `[a-z]` (`[!a-z]` for the opposite) as a regular expression; `*` also matches a slash, and a
 * backslash makes the next character plain: `\*` is a star. Undefined for a plain name, where a backslash is only that.
 * Throws code `usage` for `[z-a]`, for a bracket that is not closed and for a backslash at the end.
 */
export function globPattern(glob: string): RegExp | undefined {
  if (!/[*?[]/.test(glob)) return undefined;
  const source = glob.replace(/\\.|\*|\?|\[(!?)([^\]]+)\]|./gsu, (part, negated?: string, set?: string) => {
    if (part === "\\") throw notGlob(glob);
    if (part.length > 1 && part.startsWith("\\")) return plain(part.slice(1));
    if (part === "*") return ".*";
    if (part === "?") return ".";
    if (part === "[") throw notGlob(glob);
    if (set !== undefined) return `[${negated ? "^" : ""}${set.replace(/[\\^[]/g, "\\$&")}]`;
    return plain(part);
  });
  try {
    return new RegExp(`^${source}$`, "su");
  } catch {
    throw notGlob(glob);
  }
}

/** One character of a regular expression that matches only this character. */
function plain(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
}

function notGlob(glob: string): Pg321Error {
  return new Pg321Error("usage", `"${glob}" is not a valid glob`, {
    hint: "a glob may contain *, ? and [a-z]; every [ needs its ]; \\* is a plain star",
  });
}
