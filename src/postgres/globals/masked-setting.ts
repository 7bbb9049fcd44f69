import { isWord, type SqlToken, tokensOf } from "../archive/sql-text.ts";

/** Shorter values may be ordinary words of a message. */
const BARE_LENGTH_MIN = 8;

/** `ALTER ROLE … SET name TO …` without its values: a setting may hold a secret. Any other statement as it is. */
export function maskedSetting(sql: string): string {
  const [first] = valueTokens(sql);
  if (first === undefined) return sql;
  return `${sql.slice(0, first.start)}'…'`;
}

/** The texts that `maskedSetting` leaves out. */
export function valuesOfSetting(sql: string): string[] {
  return valueTokens(sql)
    .filter(({ kind }) => kind !== "symbol")
    .map(({ kind, value }) => (kind === "string" ? textOf(value) : value))
    .filter((value) => value !== "");
}

/** A message without these values: PostgreSQL's errors quote them. */
export function withoutHidden(message: string, hidden: readonly string[]): string {
  let text = message;
  for (const value of hidden.toSorted((one, other) => other.length - one.length)) {
    text = text.replaceAll(`"${value}"`, '"…"');
    if (value.length >= BARE_LENGTH_MIN) text = text.replaceAll(value, "…");
  }
  return text;
}

function valueTokens(sql: string): SqlToken[] {
  const tokens = tokensOf(sql);
  if (!isWord(tokens[0], "alter") || !isWord(tokens[1], "role")) return [];
  const set = tokens.findIndex((token, i) => i > 2 && isWord(token, "set"));
  if (set < 0) return [];
  const to = tokens.findIndex((token, i) => i > set && (isWord(token, "to") || token.value === "="));
  return to < 0 ? [] : tokens.slice(to + 1);
}

/** What a literal stands for. */
function textOf(literal: string): string {
  const text = literal
    .replace(/^[eE]?'/, "")
    .replace(/'$/, "")
    .replaceAll("''", "'");
  return /^[eE]/.test(literal) ? text.replaceAll("\\\\", "\\") : text;
}
