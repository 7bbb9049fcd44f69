import type { SqlToken } from "../archive/sql-text.ts";
import { tokensOf } from "../archive/sql-text.ts";

/** A property of a database that the target's version does not support, and its replacement. */
export interface LostOption {
  /** As written in the statement: `icu_locale de-DE`. */
  name: string;
  instead: string;
}

export interface CreateStatement {
  statement: string;
  lost: LostOption[];
}

interface CreateOption {
  name: string;
  /** Its value as SQL, quotes included. */
  sql: string;
  text: string;
}

/** The major versions of PostgreSQL that introduced these options; the others are older than 10. */
const LOCALE_MAJOR = 13;
const PROVIDER_MAJOR = 15;
const ICU_RULES_MAJOR = 16;
const BUILTIN_MAJOR = 17;
/** Locales of the builtin provider that are newer than the provider. */
const BUILTIN_LOCALE_MAJORS: Readonly<Record<string, number>> = { PG_UNICODE_FAST: 18 };

/**
 * Rewrites pg_dump's CREATE DATABASE with the options that a server of this major version supports: since 15
 * pg_dump names the provider of the locale, which older servers refuse. Every database has a libc locale besides
 * that of another provider, and falls back to it.
 */
export function createStatementFor(major: number, statement: string): CreateStatement {
  const tokens = tokensOf(statement);
  const options = optionsOf(statement, tokens);
  const first = options[0];
  if (!first) return { statement, lost: [] };
  const lost: LostOption[] = [];
  const kept = options.flatMap((option) => {
    const fitting = optionFor(major, option, options);
    if (fitting.lost) lost.push(fitting.lost);
    return fitting.options;
  });
  const head = statement.slice(0, first.start);
  return { statement: head + kept.map(({ name, sql }) => `${name} = ${sql}`).join(" "), lost };
}

function optionFor(
  major: number,
  option: CreateOption,
  all: readonly CreateOption[],
): { options: CreateOption[]; lost?: LostOption } {
  const { name, text } = option;
  const providerOf = all.find((one) => one.name === "LOCALE_PROVIDER")?.text.toLowerCase() ?? "libc";
  const providerMajor = providerOf === "builtin" ? BUILTIN_MAJOR : PROVIDER_MAJOR;
  const isKnown = major >= providerMajor;
  const lose = (instead: string) => ({
    options: [],
    lost: { name: `${name.toLowerCase()} ${text}`, instead },
  });
  const libc = `it will sort by the system's locale ${libcLocaleOf(all)} instead`;
  if (name === "LOCALE" && major < LOCALE_MAJOR)
    return { options: ["LC_COLLATE", "LC_CTYPE"].map((part) => ({ ...option, name: part })) };
  if (name === "LOCALE_PROVIDER" && !isKnown) return { options: [] };
  if (name === "ICU_LOCALE" && !isKnown) return lose(libc);
  if (name === "ICU_RULES" && major < ICU_RULES_MAJOR)
    return lose(isKnown ? "it will sort by its ICU locale without these rules" : libc);
  if (name !== "BUILTIN_LOCALE") return { options: [option] };
  if (!isKnown) return lose(libc);
  if (major >= (BUILTIN_LOCALE_MAJORS[text] ?? BUILTIN_MAJOR)) return { options: [option] };
  return {
    ...lose("it will sort by the builtin locale C.UTF-8 instead"),
    options: [{ name, sql: "'C.UTF-8'", text: "C.UTF-8" }],
  };
}

function libcLocaleOf(all: readonly CreateOption[]): string {
  return all.find(({ name }) => name === "LOCALE" || name === "LC_COLLATE")?.text ?? "of its template";
}

/** Encoding and locale. A tablespace, limits and the like are of no use to a test. */
const ENCODING = /^ENCODING$/;
const LOCALE = /^(LOCALE|LOCALE_PROVIDER|LC_COLLATE|LC_CTYPE|ICU_LOCALE|ICU_RULES|BUILTIN_LOCALE)$/;

/** The options of a CREATE DATABASE that decide how the database stores and sorts text, as SQL. */
export function scratchOptions(statement: string): { encoding: string[]; all: string[] } {
  const options = optionsOf(statement, tokensOf(statement));
  const of = (...wanted: RegExp[]) =>
    options
      .filter(({ name }) => wanted.some((pattern) => pattern.test(name)))
      .map(({ name, sql }) => `${name} = ${sql}`);
  return { encoding: of(ENCODING), all: of(ENCODING, LOCALE) };
}

/** `NAME = value` after the word WITH, as pg_dump writes them. */
function optionsOf(statement: string, tokens: readonly SqlToken[]): (CreateOption & { start: number })[] {
  const found: (CreateOption & { start: number })[] = [];
  const withAt = tokens.findIndex(({ kind, value }) => kind === "word" && value === "with");
  if (withAt < 0) return [];
  for (let i = withAt + 1; i < tokens.length; i++) {
    const [name, equals, value] = tokens.slice(i, i + 3);
    if (name?.kind !== "word" || equals?.value !== "=" || !value) continue;
    const sql = statement.slice(value.start, value.end);
    const text = value.kind === "string" ? unquoted(value.value) : value.value;
    found.push({ name: name.value.toUpperCase(), sql, text, start: name.start });
    i += 2;
  }
  return found;
}

function unquoted(literal: string): string {
  return literal.replace(/^[eE]?'|'$/g, "").replaceAll("''", "'");
}
