import type { SqlToken } from "../archive/sql-text.ts";
import { isWord, tokensOf } from "../archive/sql-text.ts";

/** A role as pg_dumpall describes it. Texts are SQL as in the dump. */
export interface GlobalRole {
  name: string;
  isSuperuser: boolean;
  canLogin: boolean;
  /** The attributes that differ from those of a new role, without the password. */
  attributes: string[];
  /** A string literal, usually of a hash; undefined: it has none, or pg_dumpall could not read it. */
  password: string | undefined;
  /** Settings, comment, security labels: statements of their own. */
  extras: string[];
}

export interface GlobalMembership {
  role: string;
  member: string;
  /** `ADMIN OPTION`, and from PostgreSQL 16 on more; empty: none. */
  options: string;
  isAdmin: boolean;
  grantor: string | undefined;
}

export interface Globals {
  /** In the order of the dump. */
  roles: GlobalRole[];
  memberships: GlobalMembership[];
  /** `GRANT SET ON PARAMETER`: the role, and the whole statement. */
  parameterGrants: { role: string; sql: string }[];
  /** Each with its statements. */
  tablespaces: { name: string; statements: string[] }[];
  /** The first words of each statement of another kind, which a newer pg_dumpall may write. */
  unknown: string[];
}

interface Statement {
  tokens: SqlToken[];
  /** Without the semicolon. */
  sql: string;
}

/** Parses the output of `pg_dumpall --globals-only`. Names may hold any character, also line breaks and quotes. */
export function parseGlobals(sql: string): Globals {
  const reader = new Reader(sql);
  for (const statement of statementsIn(sql)) reader.take(statement);
  return reader.globals;
}

/** The statements; psql's commands (`\restrict`), which end with their line, are left out. */
function* statementsIn(sql: string): Generator<Statement> {
  let tokens: SqlToken[] = [];
  let skippedUntil = 0;
  for (const token of tokensOf(sql)) {
    if (token.start < skippedUntil) continue;
    const [first] = tokens;
    if (first === undefined && token.value === "\\") {
      const end = sql.indexOf("\n", token.start);
      skippedUntil = end < 0 ? sql.length : end;
    } else if (token.kind === "symbol" && token.value === ";") {
      if (first) yield { tokens, sql: sql.slice(first.start, token.start).trim() };
      tokens = [];
    } else tokens.push(token);
  }
  const [left] = tokens;
  if (left) yield { tokens, sql: sql.slice(left.start).trim() };
}

/** Words of `ALTER ROLE … WITH` that a new role does not need, because they are the default. */
const DEFAULTS = ["nosuperuser", "inherit", "nocreaterole", "nocreatedb", "nologin"].concat([
  "noreplication",
  "nobypassrls",
]);

/** Words of a statement that is not understood. */
const WORDS_SHOWN = 3;

class Reader {
  readonly globals: Globals = {
    roles: [],
    memberships: [],
    parameterGrants: [],
    tablespaces: [],
    unknown: [],
  };
  readonly #text: string;
  readonly #roles = new Map<string, GlobalRole>();

  constructor(text: string) {
    this.#text = text;
  }

  take(statement: Statement): void {
    const { tokens, sql } = statement;
    const starts = (...words: string[]) => words.every((word, i) => isWord(tokens[i], word));
    if (starts("set") || starts("select")) return;
    if (starts("create", "role")) this.#role(nameOf(tokens[2]));
    else if (starts("alter", "role") && isWord(tokens[3], "with"))
      this.#setAttributes(this.#role(nameOf(tokens[2])), tokens.slice(4));
    else if (starts("alter", "role")) this.#role(nameOf(tokens[2])).extras.push(sql);
    else if (starts("comment", "on", "role")) this.#role(nameOf(tokens[3])).extras.push(sql);
    else if (starts("security", "label")) this.#takeLabel(statement);
    else if (starts("create", "tablespace"))
      this.globals.tablespaces.push({ name: nameOf(tokens[2]), statements: [sql] });
    else if (starts("alter", "tablespace")) this.#ofTablespace(nameOf(tokens[2]), statement);
    else if (starts("comment", "on", "tablespace")) this.#ofTablespace(nameOf(tokens[3]), statement);
    else if (starts("grant") && isWord(tokens[2], "to")) this.#takeMembership(tokens);
    else if (starts("grant") || starts("revoke")) this.#takeGrant(statement);
    else this.#unknown(statement);
  }

  /** Keeps nothing but words: the rest of a statement that is not understood may contain a secret. */
  #unknown({ tokens }: Statement): void {
    const end = tokens.findIndex(({ kind }) => kind !== "word");
    const words = tokens.slice(0, Math.min(end < 0 ? tokens.length : end, WORDS_SHOWN));
    const texts = words.map(({ start, end }) => this.#text.slice(start, end));
    this.globals.unknown.push([...texts, "…"].join(" "));
  }

  #role(name: string): GlobalRole {
    const known = this.#roles.get(name);
    if (known) return known;
    const made: GlobalRole = {
      ...{ name, isSuperuser: false, canLogin: false },
      ...{ attributes: [], password: undefined, extras: [] },
    };
    this.#roles.set(name, made);
    this.globals.roles.push(made);
    return made;
  }

  /** Each attribute is one word, `CONNECTION LIMIT n`, `PASSWORD 'x'` or `VALID UNTIL 'x'`. */
  #setAttributes(role: GlobalRole, tokens: readonly SqlToken[]): void {
    for (let i = 0; i < tokens.length; i++) {
      const word = tokens[i]?.value ?? "";
      const start = tokens[i]?.start ?? 0;
      if (word === "password") {
        const given = tokens[++i];
        if (given?.kind === "string") role.password = given.value;
        continue;
      }
      // What belongs to the word: everything up to the next one that is an attribute.
      const isLong = word === "connection" || word === "valid";
      if (isLong) i++;
      while (tokens[i + 1] !== undefined && tokens[i + 1]?.kind !== "word") i++;
      if (DEFAULTS.includes(word)) continue;
      if (word === "superuser") role.isSuperuser = true;
      if (word === "login") role.canLogin = true;
      role.attributes.push(this.#text.slice(start, tokens[i]?.end));
    }
  }

  #takeLabel(statement: Statement): void {
    const { tokens, sql } = statement;
    const at = tokens.findIndex((token, i) => isWord(token, "on") && isWord(tokens[i + 1], "role"));
    if (at >= 0) this.#role(nameOf(tokens[at + 2])).extras.push(sql);
    else if (isWord(tokens[tokens.findIndex((token) => isWord(token, "on")) + 1], "tablespace"))
      this.#ofTablespace(nameOf(tokens[tokens.findIndex((token) => isWord(token, "on")) + 2]), statement);
    else this.#unknown(statement);
  }

  #ofTablespace(name: string, statement: Statement): void {
    const found = this.globals.tablespaces.find((one) => one.name === name);
    if (found) found.statements.push(statement.sql);
    else this.#unknown(statement);
  }

  /** `GRANT role TO member WITH … GRANTED BY grantor` */
  #takeMembership(tokens: readonly SqlToken[]): void {
    const rest = tokens.slice(4);
    const by = rest.findIndex((token, i) => isWord(token, "granted") && isWord(rest[i + 1], "by"));
    const options = by < 0 ? rest : rest.slice(0, by);
    const [first, second] = options;
    const isWith = isWord(first, "with");
    this.globals.memberships.push({
      role: nameOf(tokens[1]),
      member: nameOf(tokens[3]),
      options: isWith && second ? this.#text.slice(second.start, options.at(-1)?.end) : "",
      isAdmin: options.some((token, i) => isWord(token, "admin") && !isWord(options[i + 1], "false")),
      grantor: by < 0 ? undefined : nameOf(rest[by + 2]),
    });
  }

  /** Privileges of a parameter or a tablespace. */
  #takeGrant(statement: Statement): void {
    const { tokens, sql } = statement;
    const on = tokens.findIndex((token) => isWord(token, "on"));
    const kind = tokens[on + 1];
    const to = tokens.findIndex((token, i) => i > on && (isWord(token, "to") || isWord(token, "from")));
    if (on > 0 && isWord(kind, "tablespace")) this.#ofTablespace(nameOf(tokens[on + 2]), statement);
    else if (on > 0 && to > 0 && isWord(kind, "parameter"))
      this.globals.parameterGrants.push({ role: nameOf(tokens[to + 1]), sql });
    else this.#unknown(statement);
  }
}

/** The name that a token is: a word in lower case, or a quoted name. */
function nameOf(token: SqlToken | undefined): string {
  if (token?.kind === "word" || token?.kind === "quoted") return token.value;
  throw new Error(`expected the name of a role in the globals, found ${token?.value ?? "their end"}`);
}
