/** Just enough of SQL's lexical rules to read the statements that pg_dump writes and to rename in them. */

export interface SqlToken {
  kind: "word" | "quoted" | "string" | "symbol";
  /** A word in lower case, a quoted name without its quotes, anything else unchanged. */
  value: string;
  start: number;
  end: number;
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteQualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** For a server with standard_conforming_strings, as all are by default. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const SKIPPED = String.raw`(?<skipped>\s+|--[^\n]*)`;
const QUOTED = '"(?<quoted>(?:[^"]|"")*)"';
const STRING = String.raw`(?<string>[eE]'(?:[^'\\]|\\[^]|'')*'|'(?:[^']|'')*'|\$(?<tag>\w*)\$[^]*?\$\k<tag>\$)`;
const WORD = String.raw`(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)`;
const TOKEN = new RegExp(`${SKIPPED}|${QUOTED}|${STRING}|${WORD}|(?<symbol>[^])`, "gy");

export function tokensOf(sql: string): SqlToken[] {
  const tokens: SqlToken[] = [];
  for (const match of sql.matchAll(TOKEN)) {
    const { skipped, quoted, string, word, symbol } = match.groups ?? {};
    if (skipped !== undefined) continue;
    const place = { start: match.index, end: match.index + match[0].length };
    if (quoted !== undefined) tokens.push({ kind: "quoted", value: quoted.replaceAll('""', '"'), ...place });
    else if (word !== undefined) tokens.push({ kind: "word", value: word.toLowerCase(), ...place });
    else if (string !== undefined) tokens.push({ kind: "string", value: string, ...place });
    else tokens.push({ kind: "symbol", value: symbol ?? "", ...place });
  }
  return tokens;
}

/** Whether it is this word (in lower case), and not a name in quotes. */
export function isWord(token: SqlToken | undefined, word: string): boolean {
  return token?.kind === "word" && token.value === word;
}

/** The statements of a text, without their semicolons. */
export function statementsOf(sql: string): string[] {
  const statements: string[] = [];
  let start = 0;
  for (const token of tokensOf(sql)) {
    if (token.kind !== "symbol" || token.value !== ";") continue;
    statements.push(sql.slice(start, token.start).trim());
    start = token.end;
  }
  return [...statements, sql.slice(start).trim()].filter((statement) => statement !== "");
}

/** Replaces the name after the word DATABASE wherever it is `from`. */
export function renameDatabase(sql: string, from: string, to: string): string {
  const tokens = tokensOf(sql);
  let renamed = "";
  let copied = 0;
  tokens.forEach((token, i) => {
    const before = tokens[i - 1];
    if (!isWord(before, "database") || token.value !== from) return;
    renamed += sql.slice(copied, token.start) + quoteIdentifier(to);
    copied = token.end;
  });
  return renamed + sql.slice(copied);
}

/** Words that can be in the place of a role but are not roles. */
const NO_ROLES = new Set(["public", "current_user", "current_role", "session_user"]);

/**
 * The roles that a statement of pg_dump names besides the owner of its object: those of GRANT and REVOKE, of a
 * policy, a user mapping, default privileges, `ALTER ROLE … IN DATABASE`.
 */
export function rolesNamedIn(statement: string): string[] {
  const tokens = tokensOf(statement);
  const isAt = (i: number, word: string) => isWord(tokens[i], word);
  const roles: string[] = [];
  const takeList = (from: number) => {
    for (let i = from; ; i += 2) {
      const token = tokens[i];
      if (token?.kind === "quoted" || (token?.kind === "word" && !NO_ROLES.has(token.value)))
        roles.push(token.value);
      if (tokens[i + 1]?.value !== ",") return;
    }
  };
  const isGrant = tokens.some((_, i) => isAt(i, "grant") || isAt(i, "revoke"));
  const isPolicy = isAt(0, "create") && isAt(1, "policy");
  for (let i = 0; i < tokens.length; i++) {
    if ((isGrant || isPolicy) && isAt(i, "to")) takeList(i + 1);
    else if (isGrant && isAt(i, "from")) takeList(i + 1);
    else if (isAt(i, "for") && isAt(i + 1, "role")) takeList(i + 2);
    else if (isAt(i, "mapping") && isAt(i + 1, "for")) takeList(i + 2);
    else if (i === 0 && isAt(0, "alter") && isAt(1, "role")) takeList(2);
    // The rest is the user's expression.
    else if (isPolicy && (isAt(i, "using") || isAt(i, "check"))) break;
  }
  return roles;
}
