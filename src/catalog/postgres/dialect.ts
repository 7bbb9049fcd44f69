import type { Row } from "../sqlite/tables.ts";

/** A statement in PostgreSQL's words, and the names of its values in the order of their numbers. */
interface Numbered {
  text: string;
  names: readonly string[];
}

/** Statements are constants, or built from a few conditions, so there are not many. */
const known = new Map<string, Numbered>();

/**
 * Makes a statement of both catalogs one for PostgreSQL: values are numbered instead of named (`$storage` becomes `$1`),
 * the values of a JSON array are unfolded by PostgreSQL's function, and what is only for SQLite's planner is left out.
 */
export function numbered(sql: string): Numbered {
  const found = known.get(sql);
  if (found) return found;
  const names: string[] = [];
  const text = sql
    .replace(/\bSELECT value FROM json_each\((\$\w+)\)/g, "SELECT json_array_elements_text($1::text::json)")
    .replace(/(\$\w+) IS NULL\b/g, "$1::text IS NULL")
    .replace(/\bINDEXED BY \w+/g, "")
    .replace(/(?<=\bAND )\+(?=[a-z])/g, "")
    .replace(/\$([A-Za-z_]\w*)/g, (_, name: string) => {
      if (!names.includes(name)) names.push(name);
      return `$${names.indexOf(name) + 1}`;
    });
  const made = { text, names };
  known.set(sql, made);
  return made;
}

/** PostgreSQL's text cannot hold U+0000, which a program's message may contain. */
export function valuesOf(names: readonly string[], values: Row): (string | number | null)[] {
  return names.map((name) => {
    const value = values[name] ?? null;
    return typeof value === "string" ? value.replaceAll("\u0000", "\ufffd") : value;
  });
}
