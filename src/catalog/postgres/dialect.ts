import type { Row } from "../sqlite/tables.ts";

/** A statement in PostgreSQL's words, and the names of its values in the order of their numbers. */
interface Numbered {
  text: string;
  names: readonly string[];
  /** The names of those that are JSON arrays of texts, which PostgreSQL gets as arrays of its own. */
  arrays: ReadonlySet<string>;
}

/** Statements are constants, or built from a few conditions, so there are not many. */
const known = new Map<string, Numbered>();

/**
 * Makes a statement of both catalogs one for PostgreSQL: values are numbered instead of named (`$storage` becomes `$1`),
 * a JSON array becomes an array, and what is only for SQLite's planner is left out. An array is a constant to the planner: it
 * knows how many records have such a status or state, which it does not of rows that a function returns.
 */
export function numbered(sql: string): Numbered {
  const found = known.get(sql);
  if (found) return found;
  const names: string[] = [];
  const arrays = new Set<string>();
  const array = (value: string) => {
    arrays.add(value.slice(1));
    return `(${value}::text::text[])`;
  };
  const text = sql
    .replace(/\bNOT IN \(SELECT value FROM json_each\((\$\w+)\)\)/g, (_, value) => `<> ALL ${array(value)}`)
    .replace(/\bIN \(SELECT value FROM json_each\((\$\w+)\)\)/g, (_, value) => `= ANY ${array(value)}`)
    .replace(/\bSELECT value FROM json_each\((\$\w+)\)/g, "SELECT json_array_elements_text($1::text::json)")
    .replace(/(\$\w+) IS NULL\b/g, "$1::text IS NULL")
    .replace(/\bINDEXED BY \w+/g, "")
    .replace(/(?<=\bAND )\+(?=[a-z])/g, "")
    .replace(/\$([A-Za-z_]\w*)/g, (_, name: string) => {
      if (!names.includes(name)) names.push(name);
      return `$${names.indexOf(name) + 1}`;
    });
  const made = { text, names, arrays };
  known.set(sql, made);
  return made;
}

/** PostgreSQL's text cannot hold U+0000, which a program's message may contain. */
export function valuesOf(
  { names, arrays }: Pick<Numbered, "names" | "arrays">,
  values: Row,
): (string | number | null)[] {
  return names.map((name) => {
    const value = values[name] ?? null;
    if (typeof value !== "string") return value;
    return (arrays.has(name) ? arrayText(JSON.parse(value)) : value).replaceAll("\u0000", "\ufffd");
  });
}

/** `{"app","it's \"quoted\""}` */
function arrayText(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replace(/["\\]/g, "\\$&")}"`)}}`;
}

/**
 * A value that can be read as JSON; `text`: an expression for JSON text. PostgreSQL refuses to read any part of JSON in which
 * there is a NUL or half of a surrogate pair (`\u0000`, `\ud83d`): each becomes the replacement character. Migrations use it.
 */
export function readableJson(text: string): string {
  return String.raw`(CASE WHEN strpos(${text}, E'\\u') = 0 THEN ${text}
    ELSE regexp_replace(${text}, E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', E'\\\\ufffd', 'g') END)::json`;
}
