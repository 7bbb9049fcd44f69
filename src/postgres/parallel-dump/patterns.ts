import { quoteIdentifier } from "../archive/sql-text.ts";

/** A table or a sequence. */
export interface Relation {
  schema: string;
  name: string;
}

/** pg_dump runs one query over the whole pg_class for each pattern, and compiles the pattern as a regular expression. */
const NAMES_PER_PATTERN = 100;
/** The kernel takes 128 KiB as one argument. A name has up to 63 characters, twice as many if all are quotes. */
const PATTERN_CHARACTERS_MAX = 16_384;

/**
 * Patterns for `pg_dump --table` and its like that match exactly these relations. Everything inside double quotes is
 * literal, also `*`, `?`, `$` and the dot; outside them `|` separates alternatives, as in a regular expression.
 */
export function patternsFor(relations: readonly Relation[]): string[] {
  const patterns: string[] = [];
  for (const [schema, all] of Map.groupBy(relations, (relation) => relation.schema)) {
    let names: string[] = [];
    let length = 0;
    const end = () => {
      if (names.length > 0) patterns.push(`${quoteIdentifier(schema)}.${names.join("|")}`);
      names = [];
      length = 0;
    };
    for (const { name } of all) {
      const quoted = quoteIdentifier(name);
      if (names.length >= NAMES_PER_PATTERN || length + quoted.length > PATTERN_CHARACTERS_MAX) end();
      names.push(quoted);
      length += quoted.length + 1;
    }
    end();
  }
  return patterns;
}

/** Arguments are UTF-8, but pg_dump takes them in the encoding of the database. */
export function canBeNamed(relations: readonly Relation[], encoding: string): boolean {
  const isAscii = ({ schema, name }: Relation) => /^[\x00-\x7f]*$/.test(schema + name);
  return encoding === "UTF8" || relations.every(isAscii);
}
