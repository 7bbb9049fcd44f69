import * as v from "valibot";
import { closest } from "../../base/text/suggest.ts";
import { didYouMean, facts, found, type Leaf } from "./leaf.ts";
import { isTable, MissingValue, OutsideText } from "./values.ts";

/** A table of which only these keys are checked. `what` completes "expected …". */
export function openTable<const E extends v.ObjectEntries>(what: string, entries: E) {
  return v.pipe(
    v.unknown(),
    v.check(isTable, ({ input }) => `${foundInsteadOfTable(input)}, expected ${what}`),
    v.looseObject(entries, ({ expected }) => {
      const schema = entries[expected?.slice(1, -1) ?? ""];
      return `missing, expected ${schema === undefined ? "a value" : v.getDescription(schema)}`;
    }),
  );
}

/**
 * A table with these keys and no others. Unlike valibot's strict object it reports every unknown key, not only the
 * first. `synonyms`: keys that people write for one of them.
 */
export function table<const E extends v.ObjectEntries>(
  what: string,
  entries: E,
  synonyms: Readonly<Record<string, keyof E & string>> = {},
) {
  return v.pipe(
    openTable(what, entries),
    rule((value, report) => {
      if (!isTable(value)) return;
      const allowed = Object.keys(entries);
      for (const key of Object.keys(value).filter((key) => !Object.hasOwn(entries, key))) {
        const suggestion = Object.hasOwn(synonyms, key) ? synonyms[key] : closest(key, allowed);
        const help =
          suggestion === undefined ? `, expected one of ${allowed.join(", ")}` : didYouMean(suggestion);
        report([key], `not a key of ${what}${help}`);
      }
    }),
    facts({ isClosed: true }),
  );
}

/** An array of tables such as `[[server]]`: at least one, and no two with the same name. */
export function namedTables<T extends { name: string }>(header: string, item: v.GenericSchema<unknown, T>) {
  const expected = `at least one [[${header}]] table`;
  return v.pipe(
    v.unknown(),
    v.check(
      (value) => Array.isArray(value) && value.length > 0,
      ({ input }) => `${foundInsteadOfTable(input)}, expected ${expected}`,
    ),
    v.array(item),
    rule((tables, report) => {
      const seen = new Set<unknown>();
      for (const [index, entry] of Object.values(tables).entries()) {
        const name = isTable(entry) ? entry["name"] : undefined;
        if (typeof name !== "string") continue;
        if (seen.has(name))
          report([index, "name"], `found ${JSON.stringify(name)} twice, expected a unique name`);
        seen.add(name);
      }
    }),
    v.description(expected),
  );
}

/** A list of values: an array, or text from outside with one item per line or items separated by commas. */
export function list<T>(item: Leaf<T>, expected: string): Leaf<T[]> {
  return v.pipe(
    v.unknown(),
    v.transform((value) => (value instanceof OutsideText ? itemsOf(value) : value)),
    v.check(Array.isArray, ({ input }) => `${found(input, true)}, expected ${expected}`),
    v.array(item),
    v.description(expected),
    facts({ isList: true }),
  );
}

function itemsOf({ text, origin }: OutsideText): OutsideText[] {
  return text
    .split(/[\n,]/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => new OutsideText(line, origin));
}

/** Reports a mistake at a path below the value that a `rule` checks. */
export type Report = (path: readonly (string | number)[], message: string) => void;

/**
 * Checks several values together. It also runs if some of them are invalid themselves (they are then as in the
 * input), so that all mistakes are reported at once; `sound` is set only if none is invalid.
 */
export function rule<T>(
  check: (value: Readonly<Record<string, unknown>>, report: Report, sound: T | undefined) => void,
) {
  return v.rawCheck<T>(({ dataset, addIssue }) => {
    const input: unknown = dataset.value;
    if (typeof input !== "object" || input === null) return;
    const report: Report = (path, message) => {
      const [first, ...rest] = path.map((key) => ({
        type: "unknown" as const,
        origin: "value" as const,
        input,
        key,
        value: undefined,
      }));
      if (first !== undefined) addIssue({ message, path: [first, ...rest] });
    };
    check(input as Record<string, unknown>, report, dataset.typed ? dataset.value : undefined);
  });
}

function foundInsteadOfTable(value: unknown): string {
  if (value instanceof MissingValue || value instanceof OutsideText) return "found a value from outside";
  if (Array.isArray(value)) return value.length === 0 ? "found an empty array" : "found an array";
  if (isTable(value)) return "found a single table";
  return found(value, false);
}
