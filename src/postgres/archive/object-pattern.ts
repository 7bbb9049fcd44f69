import { Pg321Error } from "../../base/errors.ts";
import { globPattern } from "../../config/glob.ts";
import { quoteIdentifier } from "./sql-text.ts";

/** A pattern for schemas, or for tables of an archive, by the same rules as the patterns of databases in the config. */
export interface ObjectPattern {
  written: string;
  /** Whether it names one object and is not a glob. */
  isName: boolean;
  /** `namespace` is undefined for objects without a schema. */
  matches: (namespace: string | undefined, name: string) => boolean;
  /** The whole text as the name of a table of any schema: its meaning if `matches` finds nothing. */
  isWholeName: (name: string) => boolean;
}

type Part = { isName: boolean; matches: (text: string) => boolean };

/** A name, `=NAME` or `"NAME"`, or a glob. Throws code `usage` for an invalid glob. */
export function schemaPattern(written: string): ObjectPattern {
  const { isName, matches } = written.startsWith("=") ? exactly(written.slice(1)) : partOf(written);
  return { written, isName, matches: (_, name) => matches(name), isWholeName: () => false };
}

/**
 * `TABLE` in any schema or `SCHEMA.TABLE`, each a name, a `"quoted name"` or a glob; `=TABLE` is a name up to its end.
 * A table whose own name contains a dot or a quote can be named as it is, unless the text also has the other meaning.
 * Throws code `usage` for an invalid glob.
 */
export function tablePattern(written: string): ObjectPattern {
  const isWholeName = (name: string) => name === written;
  if (written.startsWith("=")) {
    const { matches } = exactly(written.slice(1));
    return { written, isName: true, matches: (_, name) => matches(name), isWholeName };
  }
  const texts = partsOf(written);
  const [first = "", second] = texts ?? [];
  if (texts === undefined || texts.length > 2)
    return { written, isName: true, matches: () => false, isWholeName };
  if (second === undefined) {
    const { isName, matches } = partOf(first);
    return { written, isName, matches: (_, name) => matches(name), isWholeName };
  }
  const [schema, table] = [partOf(first), partOf(second)];
  return {
    ...{ written, isName: schema.isName && table.isName, isWholeName },
    matches: (namespace, name) => schema.matches(namespace ?? "") && table.matches(name),
  };
}

/** The pattern that matches this table, for a hint: quoted only if it must be. */
export function patternFor(namespace: string | undefined, name: string): string {
  const quoted = (text: string) => (/^[\p{L}_][\p{L}\p{N}_$ -]*$/u.test(text) ? text : quoteIdentifier(text));
  return [...(namespace === undefined ? [] : [namespace]), name].map(quoted).join(".");
}

/** Splits at dots outside of quotes; undefined if a quoted name is not a whole part. */
function partsOf(written: string): string[] | undefined {
  const parts = /^(?:"(?:[^"]|"")+"|[^".]+)(?:\.(?:"(?:[^"]|"")+"|[^".]+))*$/su.test(written)
    ? written.match(/"(?:[^"]|"")+"|[^".]+/gsu)
    : undefined;
  return parts ?? undefined;
}

function partOf(text: string): Part {
  if (/^".+"$/s.test(text)) return exactly(text.slice(1, -1).replaceAll('""', '"'));
  const regexp = globPattern(text);
  return regexp ? { isName: false, matches: (name) => regexp.test(name) } : exactly(text);
}

function exactly(name: string): Part {
  if (name === "") throw new Pg321Error("usage", "a name is empty", { hint: "give it after the =" });
  return { isName: true, matches: (text) => text === name };
}
