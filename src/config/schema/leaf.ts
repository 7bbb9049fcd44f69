import { isAbsolute, normalize } from "node:path";
import * as v from "valibot";
import { DAY_MS } from "../../base/limits.ts";
import { Secret } from "../../base/secret.ts";
import { closest } from "../../base/text/suggest.ts";
import { databasePattern, serverPattern } from "../database-pattern.ts";
import { parseDuration, parseRate, parseSize } from "../units.ts";
import { isTable, MissingValue, OutsideText, REFERENCE_FORMS } from "./values.ts";

/** The schema of one value: input from TOML or from outside, output for the program. */
export type Leaf<T> = v.GenericSchema<unknown, T>;

/** The form of a value as JSON Schema (draft 7) says it, for editors; it may allow more than the program accepts. */
export interface Form {
  type?: "string" | "integer" | "boolean" | readonly ("string" | "integer" | "boolean")[];
  enum?: readonly (string | number)[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  anyOf?: readonly Form[];
}

/** What `scripts/config` finds in a schema besides valibot's own types: `v.metadata` of a leaf, a table or a list. */
export interface SchemaFacts extends Record<string, unknown> {
  form?: Form;
  /** The schemas among which a `v.lazy` chooses. */
  alternatives?: readonly v.GenericSchema[];
  /** A table whose other keys are refused. */
  isClosed?: boolean;
  /** A list that may come from outside as one text. */
  isList?: boolean;
}

/** Facts about a schema, for a pipe. */
export function facts<T>(known: SchemaFacts): v.MetadataAction<T, SchemaFacts> {
  return v.metadata(known);
}

interface LeafOptions {
  /** Whether messages may show a value that is written in the config file itself. */
  isShown?: boolean;
  /** Words to suggest from. */
  choices?: readonly string[];
  /** A text by default. */
  form?: Form;
}

/**
 * `read` gets a TOML value, or text with `isOutside` set, and returns undefined for a value that it does not accept.
 * `expected` completes "expected …" in messages, and becomes the schema's description.
 */
export function leaf<T>(
  expected: string,
  read: (value: unknown, isOutside: boolean) => T | undefined,
  { isShown = true, choices = [], form = { type: "string" } }: LeafOptions = {},
): Leaf<T> {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }): T => {
      const given = dataset.value;
      const isOutside = given instanceof OutsideText;
      const value =
        given instanceof MissingValue ? undefined : read(isOutside ? given.text : given, isOutside);
      if (value !== undefined) return value;
      const word = isOutside ? given.text : given;
      const suggestion = typeof word === "string" ? closest(word, choices) : undefined;
      addIssue({
        message: `${found(given, isShown)}, expected ${expected}${didYouMean(suggestion)}`,
      });
      return NEVER;
    }),
    v.description(expected),
    facts({ form }),
  );
}

/** Describes a value without revealing a secret or a value from outside. */
export function found(value: unknown, isShown: boolean): string {
  if (value instanceof MissingValue) return value.reason;
  if (value instanceof OutsideText) return `found something else in ${value.origin}`;
  if (Array.isArray(value)) return "found an array";
  if (isTable(value)) {
    return `found a table that is not ${REFERENCE_FORMS}`;
  }
  const type = value instanceof Date ? "date" : typeof value === "string" ? "text" : typeof value;
  // A URL, perhaps with a password, or a secret key, written at the wrong key.
  const isRevealing = typeof value === "string" && /:\/\/|SECRET-KEY/i.test(value);
  if (!isShown || isRevealing) return `found a ${type}`;
  const shown = value instanceof Date ? value.toISOString() : value;
  const text = typeof shown === "string" && type === "text" ? JSON.stringify(shown) : String(shown);
  return `found ${text.length > 60 ? `${text.slice(0, 60)}…` : text} (${type})`;
}

export function didYouMean(suggestion: string | undefined): string {
  return suggestion === undefined ? "" : `; did you mean ${JSON.stringify(suggestion)}?`;
}

/** Text that matches a pattern. Control characters are never accepted: they would end up in headers and paths. */
export function text(expected: string, pattern = /^.+$/su, options: LeafOptions = {}): Leaf<string> {
  return leaf(
    expected,
    (value) =>
      typeof value === "string" && pattern.test(value) && !/[\u0000-\u001f\u007f]/.test(value)
        ? value
        : undefined,
    { form: { type: "string", ...(pattern.flags === "" && { pattern: pattern.source }) }, ...options },
  );
}

/** A pattern for databases of one server: see `databasePattern`. */
export const databaseNames: Leaf<string> = patternLeaf(
  'the name of a database, a glob of names, or "=NAME" for a name that looks like a glob',
  (written) => {
    databasePattern(written);
    return written !== "=";
  },
);

/** A pattern for databases of all servers: see `serverPattern`. */
export const serverDatabaseNames: Leaf<string> = patternLeaf(
  'the name of a database, SERVER/DATABASE, a glob of either, or "=NAME" for a name that looks like one',
  (written) => {
    serverPattern(written);
    return !/^=$|^\/|^[^=/]+\/=?$/u.test(written);
  },
);

function patternLeaf(expected: string, isSound: (written: string) => boolean): Leaf<string> {
  return leaf(expected, (value) => {
    if (typeof value !== "string" || !/^[^\u0000-\u001f\u007f]+$/u.test(value)) return undefined;
    try {
      return isSound(value) ? value : undefined;
    } catch {
      // An invalid glob.
      return undefined;
    }
  });
}

export function secret(expected: string): Leaf<Secret> {
  return leaf(
    expected,
    (value) =>
      typeof value === "string" && value !== "" && !value.includes("\u0000") ? new Secret(value) : undefined,
    { isShown: false, form: { type: "string", minLength: 1 } },
  );
}

export function choice<const T extends string>(choices: readonly T[]): Leaf<T> {
  const listed = choices.map((word) => JSON.stringify(word)).join(", ");
  return leaf(
    choices.length === 1 ? listed : `one of ${listed}`,
    (value) => choices.find((word) => word === value),
    { choices, form: { enum: choices } },
  );
}

export function boolean(): Leaf<boolean> {
  return leaf(
    "true or false",
    (value, isOutside) => {
      if (typeof value === "boolean") return value;
      return isOutside && (value === "true" || value === "false") ? value === "true" : undefined;
    },
    { form: { type: "boolean" } },
  );
}

export function integer(min: number, max: number): Leaf<number> {
  return leaf(
    `a whole number from ${min} to ${max}`,
    (value, isOutside) => {
      const number = isOutside && /^-?\d{1,15}$/.test(String(value)) ? Number(value) : value;
      return typeof number === "number" && Number.isInteger(number) && number >= min && number <= max
        ? number
        : undefined;
    },
    { form: { type: "integer", minimum: min, maximum: max } },
  );
}

/** A timer cannot be longer (2³¹ ms): it would fire at once. */
const DURATION_MS_MAX = 24 * DAY_MS;

/** A duration in milliseconds. Zero is accepted only if `zeroMeans` is given. */
export function duration(zeroMeans?: string): Leaf<number> {
  return amount('a duration up to "24d", such as "90s", "5m" or "2h"', zeroMeans, parseDuration, {
    max: DURATION_MS_MAX,
  });
}

/** A hundred years, as in `keep`: more is a mistake, and most ages before it are no date. */
const AGE_MAX = "36500d";

/** An age in milliseconds; no timer waits for it, so it may be longer than a duration. */
export function age(least: string, zeroMeans?: string): Leaf<number> {
  const expected = `a duration from "${least}" to "${AGE_MAX}", such as "36h" or "90d"`;
  return amount(expected, zeroMeans, parseDuration, {
    min: parseDuration(least) ?? 0,
    max: parseDuration(AGE_MAX) ?? 0,
  });
}

/** A size in bytes. */
export function size(zeroMeans?: string): Leaf<number> {
  return amount('a size such as "512MiB", "10GiB" or "1GB"', zeroMeans, parseSize);
}

/** A rate in bytes per second. */
export function rate(zeroMeans?: string): Leaf<number> {
  return amount('a rate such as "1MiB/s"', zeroMeans, parseRate);
}

function amount(
  expected: string,
  zeroMeans: string | undefined,
  parse: (written: string) => number | undefined,
  { min = 0, max = Number.MAX_SAFE_INTEGER }: { min?: number; max?: number } = {},
): Leaf<number> {
  const amountForm: Form = { type: "string", pattern: "^(0|[0-9]+([.][0-9]+)? ?[A-Za-z]+(/s)?)$" };
  return leaf(
    zeroMeans === undefined ? expected : `${expected}, or 0 for ${zeroMeans}`,
    (value) => {
      const parsed = value === 0 ? 0 : typeof value === "string" ? parse(value) : undefined;
      if (parsed === undefined || parsed > max) return undefined;
      if (parsed === 0) return zeroMeans === undefined ? undefined : 0;
      return parsed >= min ? parsed : undefined;
    },
    { form: zeroMeans === undefined ? amountForm : { anyOf: [amountForm, { enum: [0] }] } },
  );
}

/** An absolute path, or one of `words`. */
export function absolutePath(...words: string[]): Leaf<string> {
  const expected = ["an absolute path", ...words.map((word) => JSON.stringify(word))].join(" or ");
  return leaf(
    expected,
    (value) => {
      if (typeof value !== "string" || /[\u0000-\u001f]/.test(value)) return undefined;
      if (words.includes(value)) return value;
      return isAbsolute(value) ? normalize(value).replace(/(.)\/$/, "$1") : undefined;
    },
    { choices: words, form: { type: "string", pattern: `^(/.*${words.map((one) => `|${one}`).join("")})$` } },
  );
}
