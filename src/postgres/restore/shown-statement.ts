import { tokensOf } from "../archive/sql-text.ts";

const LENGTH_MAX = 300;

/**
 * A statement of an archive for messages and records: in one line, without literals, which may hold passwords, rows and
 * bodies of functions, and without the values of an INSERT.
 */
export function shownStatement(sql: string): string {
  const tokens = tokensOf(sql);
  const isInsert = tokens[0]?.value === "insert";
  let shown = "";
  let copied = 0;
  for (const { kind, value, start, end } of tokens) {
    const isValues = isInsert && kind === "word" && value === "values";
    // A literal without an end: the text was cut off.
    if (isValues || (kind === "symbol" && (value === "'" || value === "$")))
      return short(`${shown}${sql.slice(copied, isValues ? end : start)} …`);
    if (kind !== "string") continue;
    shown += `${sql.slice(copied, start)}'…'`;
    copied = end;
  }
  return short(shown + sql.slice(copied));
}

function short(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > LENGTH_MAX ? `${line.slice(0, LENGTH_MAX)}…` : line;
}
