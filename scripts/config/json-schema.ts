/**
 * Writes config.schema.json: the JSON Schema (draft 7) of the config, for editors. Structure, types and defaults come
 * from the schema of the program, the descriptions from config.example.toml. `npm run schema` writes it, and a test
 * fails if it is outdated.
 */
import { join } from "node:path";
import * as v from "valibot";
import type { SchemaFacts } from "../../src/config/schema/leaf.ts";
import { configSchema } from "../../src/config/schema/schema.ts";
import { describeKeys, type JsonSchema } from "./descriptions.ts";

export type { JsonSchema } from "./descriptions.ts";

const ROOT = join(import.meta.dir, "../..");
export const SCHEMA_FILE = join(ROOT, "config.schema.json");

/** A value from outside the file; see src/config/schema/values.ts. */
const OUTSIDE: JsonSchema = {
  description: "A value from outside this file: an environment variable, a file, or a credential.",
  type: "object",
  properties: {
    env: { description: "The name of an environment variable.", type: "string", minLength: 1 },
    file: { description: "The absolute path of a file.", type: "string", pattern: "^/" },
    credential: {
      description: "The name of a file in the directory credentials.",
      type: "string",
      minLength: 1,
    },
    default: { description: "The value if there is none outside." },
  },
  additionalProperties: false,
  anyOf: [{ required: ["env"] }, { required: ["file"] }, { required: ["credential"] }],
};
const FROM_OUTSIDE: JsonSchema = { $ref: "#/definitions/outside" };

/** The parts of valibot's schemas that are read here. */
interface Part {
  kind: string;
  type: string;
  pipe?: readonly Part[];
  entries?: Readonly<Record<string, Part>>;
  item?: Part;
  wrapped?: Part;
  default?: unknown;
  metadata?: SchemaFacts;
}

/** The schema with descriptions. */
export function configJsonSchema(example: string): JsonSchema {
  const root = formOf(configSchema as unknown as Part);
  describeKeys(root, example);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "The config of pg321",
    ...root,
    definitions: { outside: OUTSIDE },
  };
}

function formOf(part: Part): JsonSchema {
  const pipe = part.pipe ?? [];
  const facts = Object.assign({}, ...pipe.map(({ metadata }) => metadata ?? {})) as SchemaFacts;
  const { form, alternatives, isClosed, isList } = facts;
  if (form !== undefined) return { anyOf: [{ ...form } as JsonSchema, FROM_OUTSIDE], ...expected(part) };
  if (alternatives !== undefined)
    return { anyOf: flat(alternatives.map((one) => formOf(one as unknown as Part))) };
  const schemas = pipe.filter(({ kind }) => kind === "schema");
  const found: JsonSchema = Object.assign({}, ...(part.pipe ? schemas.map(formOf) : [plainForm(part)]));
  if (isClosed) found.additionalProperties = false;
  return isList ? { anyOf: [found, FROM_OUTSIDE], ...expected(part) } : found;
}

/** Without `anyOf` inside `anyOf`, and each alternative once. */
function flat(forms: readonly JsonSchema[]): JsonSchema[] {
  const all = forms.flatMap((form) =>
    form.anyOf !== undefined && form.type === undefined ? form.anyOf : [form],
  );
  return [...new Map(all.map((form) => [JSON.stringify(form), form])).values()];
}

/** What a value must be, in the words of the messages. */
function expected(part: Part): JsonSchema {
  const description = v.getDescription(part as unknown as v.GenericSchema);
  return description === undefined ? {} : { description };
}

function plainForm({ type, entries = {}, item, wrapped, ...part }: Part): JsonSchema {
  if (type === "optional" && wrapped !== undefined) {
    const isShown = part.default !== undefined && JSON.stringify(part.default) !== "{}";
    return { ...formOf(wrapped), ...(isShown && { default: part.default }) };
  }
  if (type === "array" && item !== undefined) return { type: "array", items: formOf(item) };
  if (type !== "loose_object") return {};
  const keys = Object.entries(entries);
  const required = keys.filter(([, entry]) => entry.type !== "optional").map(([key]) => key);
  return {
    type: "object",
    properties: Object.fromEntries(keys.map(([key, entry]) => [key, formOf(entry)])),
    ...(required.length > 0 && { required }),
  };
}

/** The text of the file. */
export async function schemaText(): Promise<string> {
  const example = await Bun.file(join(ROOT, "config.example.toml")).text();
  return `${JSON.stringify(configJsonSchema(example), null, 2)}\n`;
}

if (import.meta.main) await Bun.write(SCHEMA_FILE, await schemaText());
