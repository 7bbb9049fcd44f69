import { Pg321Error } from "../../base/errors.ts";
import { globPattern } from "../glob.ts";

/** A name, or a glob of names, of a schema, a table or another relation. Names are case-sensitive. */
export interface NamePattern {
  matches: (name: string) => boolean;
  /** The same for pg_dump's options, whose patterns (psql's) fold and interpret everything outside double quotes. */
  argument: string;
}

export interface SchemaPattern extends NamePattern {
  written: string;
}

/** `SCHEMA.TABLE`, or a table's name in any schema. */
export interface TablePattern {
  written: string;
  matches: (schema: string, name: string) => boolean;
  argument: string;
}

const EVERY: NamePattern = { matches: () => true, argument: "*" };

/** A name, a glob, `"Name"` in double quotes, or `=NAME`. Throws code `usage` for an invalid one. */
export function schemaPattern(written: string): SchemaPattern {
  const isLiteral = written.startsWith("=");
  const pattern = isLiteral ? named(nonempty(written.slice(1), written)) : partPattern(written, written);
  return { written, ...pattern };
}

/**
 * The first dot outside double quotes and brackets ends the name of the schema; `\.` is a dot in a name. After a leading
 * `=` both names are literal. Throws code `usage` for an invalid one.
 */
export function tablePattern(written: string): TablePattern {
  const [first, second] = written.startsWith("=") ? literals(written) : parts(written);
  const [schema, table] = second === undefined ? [EVERY, first] : [first, second];
  return {
    written,
    matches: (schemaName, name) => schema.matches(schemaName) && table.matches(name),
    argument: `${schema.argument}.${table.argument}`,
  };
}

function literals(written: string): [NamePattern, NamePattern?] {
  const name = written.slice(1);
  const dot = name.indexOf(".");
  if (dot < 0) return [named(nonempty(name, written))];
  return [named(nonempty(name.slice(0, dot), written)), named(nonempty(name.slice(dot + 1), written))];
}

/** A double-quoted name, a sign after a backslash, a set in brackets, or any other sign but a dot. */
const PART = /^(?:"(?:[^"]|"")*"|\\.|\[[^\]]*\]|[^."\\[]|[\\[])*/su;

function parts(written: string): [NamePattern, NamePattern?] {
  const first = PART.exec(written)?.[0] ?? "";
  const rest = written.slice(first.length);
  if (rest === "") return [partPattern(first, written)];
  const second = PART.exec(rest.slice(1))?.[0] ?? "";
  if (!rest.startsWith(".") || second.length !== rest.length - 1) throw invalid(written);
  return [partPattern(first, written), partPattern(second, written)];
}

function partPattern(text: string, written: string): NamePattern {
  nonempty(text, written);
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"]|"")+)"$/su.exec(text)?.[1];
    if (quoted === undefined) throw invalid(written);
    return named(quoted.replaceAll('""', '"'));
  }
  if (text.includes('"')) throw invalid(written);
  const isPlain = !/[*?[]/.test(text);
  const glob = isPlain ? text.replaceAll("\\.", ".") : text;
  const regexp = globPattern(glob);
  if (!regexp) return named(glob);
  return { matches: (name) => regexp.test(name), argument: globArgument(glob) };
}

function named(name: string): NamePattern {
  return { matches: (other) => other === name, argument: quotedName(name) };
}

/** A name for pg_dump's options that matches only itself. */
export function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** psql's patterns have the same `*` and `?`, and sets of regular expressions. */
function globArgument(glob: string): string {
  let argument = "";
  let plain = "";
  for (const match of glob.matchAll(/\\(.)|(\*|\?)|\[(!?)([^\]]+)\]|(.)/gsu)) {
    const [, escaped, wildcard, negated, set, sign] = match;
    plain += escaped ?? sign ?? "";
    if (wildcard === undefined && set === undefined) continue;
    // Two quoted parts side by side would be one with a double quote in it.
    if (plain !== "") argument += quotedName(plain);
    plain = "";
    argument += wildcard ?? `[${negated ? "^" : ""}${[...(set ?? "")].map(inSet).join("")}]`;
  }
  return plain === "" ? argument : argument + quotedName(plain);
}

/** Outside double quotes capitals are folded, and other signs have a meaning. */
function inSet(sign: string): string {
  if (/[a-z0-9_-]/.test(sign)) return sign;
  const code = sign.codePointAt(0) ?? 0;
  return code > 0xffff
    ? `\\U${code.toString(16).padStart(8, "0")}`
    : `\\u${code.toString(16).padStart(4, "0")}`;
}

function nonempty(text: string, written: string): string {
  if (text === "") throw invalid(written);
  return text;
}

function invalid(written: string): Pg321Error {
  return new Pg321Error("usage", `"${written}" is not a pattern of schemas or tables`, {
    hint: 'use NAME or SCHEMA.NAME, with *, ? and [a-z], or "Name" in double quotes',
  });
}
