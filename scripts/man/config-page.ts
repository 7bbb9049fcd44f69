import type { JsonSchema } from "../config/descriptions.ts";
import { argument, escaped, type Item, literal, type PageHead, pageHead, prose, taggedList } from "./mdoc.ts";

/** pg321.toml(5), from the JSON Schema of the config and from config.example.toml. */
export function configPage(
  head: Pick<PageHead, "date" | "version">,
  schema: JsonSchema,
  example: string,
): string {
  const tables = Object.entries(schema.properties ?? {}).map(([key, table]) => ({
    key,
    table,
    parts: partsOf(table),
  }));
  const isTable = ({ parts }: { parts: readonly JsonSchema[] }) => parts.length > 0;
  const lines = [
    ...pageHead({
      ...head,
      title: "PG321.TOML",
      section: 5,
      name: "pg321.toml",
      summary: "the config of pg321",
    }),
    ".Sh SYNOPSIS",
    ".Pa /etc/pg321/config.toml",
    ".Sh DESCRIPTION",
    ...prose(
      "The config of pg321(1) is a TOML file. `pg321 check` reports every mistake in it and prints the settings in force. Most hosts need only these lines:",
    ),
    ...literal(openingOf(example)),
    ".Ss Values",
    ...notationOf(example),
    ".Sh TOP LEVEL",
    ...prose("These keys stand above the first table."),
    ...keyList(
      Object.fromEntries(tables.filter((one) => !isTable(one)).map(({ key, table }) => [key, table])),
    ),
    ".Sh TABLES",
    ...tables.filter(isTable).flatMap(({ key, table, parts }) => tableText(key, table, parts)),
    ".Sh FILES",
    ...taggedList([
      {
        term: "Pa /etc/pg321/config.example.toml",
        body: prose("Every setting with its default, as a config."),
      },
      { term: "Pa /etc/pg321/config.schema.json", body: prose("A JSON Schema, for editors.") },
      { term: "Pa /etc/pg321/credentials/", body: prose("Secrets, each in a file.") },
      { term: "Pa /etc/pg321/environment", body: prose("Environment variables, one NAME=value a line.") },
    ]),
    ".Sh SEE ALSO",
    ".Xr pg321 1",
  ];
  return `${lines.join("\n")}\n`;
}

/** The tables that a key of the top level stands for: one, or one for each type; none for a value. */
function partsOf(schema: JsonSchema): JsonSchema[] {
  if (schema.properties !== undefined) return [schema];
  return [
    ...(schema.items === undefined ? [] : partsOf(schema.items)),
    ...(schema.anyOf ?? []).flatMap(partsOf),
  ].filter(({ properties }) => properties?.["type"] !== undefined || schema.items !== undefined);
}

function tableText(key: string, table: JsonSchema, parts: readonly JsonSchema[]): string[] {
  const header = table.items === undefined ? `[${key}] table` : `[[${key}]] tables`;
  const [about = ""] = (table.description ?? "").split("\n\n");
  return parts.flatMap((part, index) => {
    const type = parts.length > 1 ? typeOf(part) : undefined;
    return [
      `.Ss ${escaped(header)}${type === undefined ? "" : ` of type ${escaped(type)}`}`,
      ...(index === 0 ? [...prose(about), ""] : []).filter((line) => line !== ""),
      ...keyList(part.properties ?? {}, part.required),
    ];
  });
}

function typeOf({ properties }: JsonSchema): string | undefined {
  const words = properties?.["type"]?.anyOf?.[0]?.enum;
  return Array.isArray(words) ? String(words[0]) : undefined;
}

function keyList(
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[] = [],
): string[] {
  return taggedList(
    Object.entries(properties).map(([key, schema]): Item => {
      const [text = "", expected] = (schema.description ?? "").split("\n\n");
      const facts = [
        ...(required.includes(key) ? ["Required."] : []),
        ...(expected === undefined ? [] : [expected]),
        ...(schema.default === undefined ? [] : [`Default: ${tomlText(schema.default)}.`]),
      ];
      const inner = innerKeys(schema);
      return {
        term: `Cm ${argument(key)}`,
        body: [
          ...prose(text),
          ...(facts.length > 0 ? [".br"] : []),
          ...facts.flatMap(prose),
          ...keyList(inner.properties, inner.required),
        ],
      };
    }),
  );
}

/** The keys of a table within a table, such as `keep`. */
function innerKeys(schema: JsonSchema): { properties: Record<string, JsonSchema>; required: string[] } {
  const tables = [schema, ...(schema.anyOf ?? []), ...(schema.items === undefined ? [] : [schema.items])];
  const found = tables.find(({ properties }) => properties !== undefined);
  return { properties: found?.properties ?? {}, required: found?.required ?? [] };
}

function tomlText(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(tomlText).join(", ")}]` : JSON.stringify(value);
}

/** The lines at the beginning of the example. */
function openingOf(example: string): string {
  return example
    .slice(0, example.indexOf("\n# ---"))
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .trim();
}

/** The notation of values, which the example explains before its settings. */
function notationOf(example: string): string[] {
  const from = example.indexOf("# Any value may come from outside");
  const lines = example
    .slice(from, example.indexOf("\n\n", from))
    .split("\n")
    .map((line) => line.replace(/^# ?/, ""));
  const shown = lines
    .filter((line) => line.startsWith("  "))
    .map((line) => line.trim().replace(/ +=/, " =").replace(/ {2,}/, "  # "));
  const [first = "", ...others] = lines.filter((line) => !line.startsWith("  "));
  const paragraphs = others.join("\n").split("\n\n");
  return [
    ...prose(first),
    ...literal(shown.join("\n")),
    ...paragraphs.flatMap((text) => [".Pp", ...prose(text.replaceAll("\n", " "))]),
  ];
}
