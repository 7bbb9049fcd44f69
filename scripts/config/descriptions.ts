import { type ExplainedKey, explainedKeys } from "./example.ts";

/** The keywords of JSON Schema that the config needs. */
export interface JsonSchema {
  title?: string;
  description?: string;
  type?: unknown;
  enum?: unknown;
  default?: unknown;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  $ref?: string;
  [keyword: string]: unknown;
}

/** The tables of the top level. */
const TABLES: Readonly<Record<string, string>> = {
  server: "A PostgreSQL cluster to back up.",
  database: "Settings for single databases, over those of the other tables.",
  storage: "A place that gets a copy of each backup.",
  encryption: "Encryption to one or more public keys.",
  compression: "Compression of the dumps.",
  catalog: "The records of backups, copies and runs.",
  fleet: "This host among those with the same catalog.",
  dump: "Limits that protect the production server from its own backup.",
  guard: "Copies that no keep rule may delete.",
  rule: "What the 3-2-1-1-0 rule demands of each database's newest good backup.",
  cleanup: "How long leftovers and records stay.",
  verify: "How much a scheduled verification reads.",
  schedule: "When the daemon runs each job.",
  restore_test: "Restore tests. With this table they run weekly.",
  http: "Health, status and metrics of the daemon, read-only.",
  notify: "A receiver of notices about alerts.",
  "storage.keep": "How long copies stay here.",
  "schedule.override": "Databases with their own times.",
  "restore_test.check": "A query whose answer is known.",
  "database.restore_test.check": "A query whose answer is known.",
};

/** Keys of tables that the example shows in one line. */
const INNER: Readonly<Record<string, string>> = {
  name: "A name for messages and alerts. Default: its place in the list.",
  command: "The program (an absolute path) and its arguments; with shell = true one text for /bin/sh.",
  shell: "Whether the command is a text for /bin/sh.",
  sql: "A statement that runs in the database.",
  timeout: "After this time the hook is stopped and counts as failed.",
  on_error: 'What a failure of a pre_backup does: "stop" fails the backup of the database.',
  pause_replay: "Whether the replay is paused when a dump is repeated because of a conflict with it.",
  max_lag: "A standby that lay further behind its primary raises an alert; a pause ends at this lag.",
  mode: '"governance": a special right can end the lock; "compliance": nobody can.',
  days: "How many days of 24 hours.",
  longer_than_retention:
    "Whether a lock may be longer than keep.days; expired copies then stay until it ends.",
  by: '"bucket-rule": a rule of the bucket that S3 does not show.',
  archive_to: "The name of the [[storage]] that expired copies are moved to.",
  excluded: "Whether scheduled restore tests leave these databases out.",
  skip_extensions: "Extensions that the test does not create.",
  check: "Queries whose answers are known.",
  type: "The type decides which other keys there are.",
};

/** Adds a description to every key, from the reference in the example. Throws if a key has none. */
export function describeKeys(root: JsonSchema, example: string): void {
  describe(root, [], undefined, explainedKeys(example));
}

function describe(
  schema: JsonSchema,
  path: readonly string[],
  type: string | undefined,
  keys: readonly ExplainedKey[],
): void {
  for (const alternative of schema.anyOf ?? [])
    describe(alternative, path, typeOf(alternative) ?? type, keys);
  if (schema.items !== undefined) describe(schema.items, path, type, keys);
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const inner = [...path, key];
    const text = TABLES[inner.join(".")] ?? explanation(path, key, type, keys);
    if (text === undefined) throw new Error(`config.example.toml does not explain ${inner.join(".")}`);
    const { description: expected } = property;
    property.description = expected === undefined ? text : `${text}\n\nExpected: ${expected}.`;
    describe(property, inner, type, keys);
  }
}

/** The type that an alternative of [[storage]] or [[notify]] stands for. */
function typeOf({ properties }: JsonSchema): string | undefined {
  const words = properties?.["type"]?.anyOf?.[0]?.enum;
  return Array.isArray(words) ? String(words[0]) : undefined;
}

/**
 * The comment of the key itself; otherwise, for a key that several types share, that of another type; otherwise that
 * of the same key of another table (`[[database]] compression.level`).
 */
function explanation(
  path: readonly string[],
  key: string,
  type: string | undefined,
  keys: readonly ExplainedKey[],
): string | undefined {
  const table = path.join(".");
  // Comments of other keys come last.
  const explained = keys
    .filter(({ text }) => text !== "")
    .sort((a, b) => Number(a.isShared) - Number(b.isShared));
  const [outer = "", ...rest] = path;
  const dotted = [...rest, key].join(".");
  const candidates = [
    explained.find((one) => !one.isShared && one.table === table && one.type === type && one.key === key),
    explained.find((one) => one.table === table && one.key === key),
    explained.find((one) => one.table === outer && one.type === type && one.key === dotted),
    explained.find((one) => one.table === outer && one.key === dotted),
  ];
  const found = candidates.find((one) => one !== undefined);
  if (found !== undefined) return found.text;
  const last = path.at(-1) ?? "";
  const elsewhere = explained.find(
    (one) => ([last, rest.join(".")].includes(one.table) && one.key === key) || one.key === `${last}.${key}`,
  );
  return elsewhere?.text ?? INNER[key];
}
