import type { SqlToken } from "../sql-text.ts";
import { isWord, quoteQualified, statementsOf, tokensOf } from "../sql-text.ts";

/** Thrown with the reason why a statement of the archive cannot be rewritten for another schema. */
export class NotMovable extends Error {}

/** Whether a table is among those that are moved; only names of such tables are replaced. */
export type IsMoved = (namespace: string, name: string) => boolean;

/**
 * The CREATE TABLE of pg_dump as a table of another schema, with its columns, their types, collations, generated values
 * and NOT NULL, and nothing that could reach the live table or a sequence: no defaults, checks, identities.
 */
export function movedTable(definition: string, schema: string, isMoved: IsMoved): string {
  const sql = firstStatement(definition);
  const tokens = tokensOf(sql);
  const isUnlogged = isWord(tokens[1], "unlogged");
  const at = isUnlogged ? 2 : 1;
  if (!isWord(tokens[0], "create") || !isWord(tokens[at], "table")) throw unknown(tokens);
  const { name, next } = qualifiedAt(tokens, at + 1);
  if (isWord(tokens[next], "of")) throw new NotMovable("it is a table of a composite type");
  const close = closingOf(tokens, next);
  const columns = splitAtCommas(tokens.slice(next + 1, close)).flatMap(
    (element) => columnOf(sql, element) ?? [],
  );
  const tail = tailOf(sql, tokens.slice(close + 1), schema, isMoved);
  const create = `CREATE ${isUnlogged ? "UNLOGGED " : ""}TABLE ${quoteQualified(schema, name)}`;
  return `${create} (\n    ${columns.join(",\n    ")}\n)${tail};\n`;
}

/** `COPY public.orders (id) FROM stdin;` */
export function movedCopy(copy: string, schema: string, isMoved: IsMoved): string {
  const tokens = tokensOf(copy);
  if (!isWord(tokens[0], "copy")) throw new NotMovable("its rows are not stored for COPY");
  const { next } = qualifiedAt(tokens, 1);
  if (![next, next + 1].some((i) => isWord(tokens[i], "from") || tokens[i]?.value === "("))
    throw unknown(tokens);
  return renamed(copy, tokens, [1], schema, isMoved);
}

/** `ALTER TABLE ONLY public.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);` Undefined for other constraints. */
export function movedConstraint(definition: string, schema: string, isMoved: IsMoved): string | undefined {
  const sql = firstStatement(definition);
  const tokens = tokensOf(sql);
  if (!isWord(tokens[0], "alter") || !isWord(tokens[1], "table")) throw unknown(tokens);
  const at = isWord(tokens[2], "only") ? 3 : 2;
  const { next } = qualifiedAt(tokens, at);
  if (!isWord(tokens[next], "add") || !isWord(tokens[next + 1], "constraint")) throw unknown(tokens);
  if (!["primary", "unique", "exclude"].some((kind) => isWord(tokens[next + 3], kind))) return undefined;
  return `${renamed(sql, tokens, [at], schema, isMoved)};\n`;
}

/** `CREATE INDEX orders_total ON public.orders USING btree (total);` */
export function movedIndex(definition: string, schema: string, isMoved: IsMoved): string {
  const sql = firstStatement(definition);
  const tokens = tokensOf(sql);
  const index = isWord(tokens[1], "unique") ? 2 : 1;
  if (!isWord(tokens[0], "create") || !isWord(tokens[index], "index") || !isWord(tokens[index + 2], "on"))
    throw unknown(tokens);
  const at = isWord(tokens[index + 3], "only") ? index + 4 : index + 3;
  return `${renamed(sql, tokens, [at], schema, isMoved)};\n`;
}

/** `ALTER TABLE ONLY public.ev ATTACH PARTITION public.ev_1 FOR VALUES …`, or the same of an index. */
export function movedAttach(definition: string, schema: string, isMoved: IsMoved): string {
  const sql = firstStatement(definition);
  const tokens = tokensOf(sql);
  const isIndex = isWord(tokens[1], "index");
  if (!isWord(tokens[0], "alter") || !(isIndex || isWord(tokens[1], "table"))) throw unknown(tokens);
  const at = isWord(tokens[2], "only") ? 3 : 2;
  const { next } = qualifiedAt(tokens, at);
  if (!isWord(tokens[next], "attach") || !isWord(tokens[next + 1], "partition")) throw unknown(tokens);
  // The indexes are those of moved tables.
  return `${renamed(sql, tokens, [at, next + 2], schema, isIndex ? () => true : isMoved)};\n`;
}

function firstStatement(definition: string): string {
  return statementsOf(definition)[0] ?? "";
}

/** Replaces the schemas of the qualified names at these tokens. */
function renamed(
  sql: string,
  tokens: readonly SqlToken[],
  places: readonly number[],
  schema: string,
  isMoved: IsMoved,
): string {
  let text = "";
  let copied = 0;
  for (const place of places) {
    const { namespace, name, start, end } = qualifiedAt(tokens, place);
    if (!isMoved(namespace, name))
      throw new NotMovable(`it names ${namespace}.${name}, which is not selected`);
    text += sql.slice(copied, start) + quoteQualified(schema, name);
    copied = end;
  }
  return text + sql.slice(copied);
}

/** pg_dump qualifies every name, and writes those in lower case without quotes. */
function qualifiedAt(tokens: readonly SqlToken[], at: number) {
  const [schema, dot, name] = tokens.slice(at, at + 3);
  const isName = (token: SqlToken | undefined) => token?.kind === "word" || token?.kind === "quoted";
  if (!schema || !name || !isName(schema) || !isName(name) || dot?.value !== ".") throw unknown(tokens);
  return {
    ...{ namespace: schema.value, name: name.value, start: schema.start, end: name.end },
    next: at + 3,
  };
}

function unknown(tokens: readonly SqlToken[]): NotMovable {
  const words = tokens.slice(0, 4).map(({ value }) => value);
  return new NotMovable(`its statement is not of a known form: ${words.join(" ")} …`);
}

const OPENING = ["(", "["];
const CLOSING = [")", "]"];

function depthChange({ kind, value }: SqlToken): number {
  if (kind !== "symbol") return 0;
  return OPENING.includes(value) ? 1 : CLOSING.includes(value) ? -1 : 0;
}

function closingOf(tokens: readonly SqlToken[], open: number): number {
  if (tokens[open]?.value !== "(") throw unknown(tokens);
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    depth += depthChange(tokens[i] as SqlToken);
    if (depth === 0) return i;
  }
  throw unknown(tokens);
}

function splitAtCommas(tokens: readonly SqlToken[]): SqlToken[][] {
  const parts: SqlToken[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    depth += depthChange(token);
    if (depth === 0 && token.kind === "symbol" && token.value === ",") parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts.filter((part) => part.length > 0);
}

/** Reserved words, so that a column of that name would be quoted. */
const TABLE_CONSTRAINTS = ["constraint", "check", "primary", "unique", "foreign"];
/** What can follow the type of a column. */
const QUALIFIERS = ["collate", "default", "generated", "not", "null", "constraint", "check"];

/** One column; undefined for a constraint of the table. */
function columnOf(sql: string, element: readonly SqlToken[]): string | undefined {
  const [name, ...rest] = element;
  if (!name || TABLE_CONSTRAINTS.some((word) => isWord(name, word))) return undefined;
  const text = (from: number, to: number) => sql.slice(rest[from]?.start, rest[to - 1]?.end);
  const starts = qualifierStarts(rest);
  const typeEnd = starts[0] ?? rest.length;
  if (typeEnd === 0) throw unknown(element);
  const kept = starts.flatMap((start, i) => {
    const end = starts[i + 1] ?? rest.length;
    if (isWord(rest[start], "collate")) return [text(start, end)];
    if (isWord(rest[start], "not") && isWord(rest[start + 1], "null")) return ["NOT NULL"];
    const isExpression = isWord(rest[start], "generated") && rest[start + 3]?.value === "(";
    return isExpression ? [text(start, end)] : [];
  });
  return [sql.slice(name.start, name.end), text(0, typeEnd), ...kept].join(" ");
}

/** Where qualifiers begin: words outside of parentheses that are not parts of a qualified name or of another qualifier. */
function qualifierStarts(tokens: readonly SqlToken[]): number[] {
  const starts: number[] = [];
  let depth = 0;
  tokens.forEach((token, i) => {
    depth += depthChange(token);
    const before = tokens[i - 1];
    if (depth > 0 || token.kind !== "word" || before?.value === "." || !QUALIFIERS.includes(token.value))
      return;
    // `DEFAULT NULL::text`, `NOT NULL`
    if (token.value === "null" && (isWord(before, "default") || isWord(before, "not"))) return;
    starts.push(i);
  });
  return starts;
}

/** `INHERITS (…)` with the new names, and `PARTITION BY …`; storage parameters are left out. */
function tailOf(sql: string, tokens: readonly SqlToken[], schema: string, isMoved: IsMoved): string {
  let tail = "";
  for (let i = 0; i < tokens.length; ) {
    const end = nextClause(tokens, i);
    if (isWord(tokens[i], "inherits")) {
      const close = closingOf(tokens, i + 1);
      const parents = splitAtCommas(tokens.slice(i + 2, close)).map((parent) => {
        const { namespace, name } = qualifiedAt(parent, 0);
        if (!isMoved(namespace, name))
          throw new NotMovable(`it inherits from ${namespace}.${name}, which is not selected`);
        return quoteQualified(schema, name);
      });
      tail += `\nINHERITS (${parents.join(", ")})`;
    } else if (isWord(tokens[i], "partition") && isWord(tokens[i + 1], "by"))
      tail += `\n${sql.slice(tokens[i]?.start, tokens[end - 1]?.end)}`;
    else if (!isWord(tokens[i], "with")) throw unknown(tokens);
    i = end;
  }
  return tail;
}

function nextClause(tokens: readonly SqlToken[], from: number): number {
  let depth = 0;
  for (let i = from; i < tokens.length; i++) {
    depth += depthChange(tokens[i] as SqlToken);
    const isStart = ["inherits", "partition", "with"].some((word) => isWord(tokens[i], word));
    if (i > from && depth === 0 && isStart) return i;
  }
  return tokens.length;
}
