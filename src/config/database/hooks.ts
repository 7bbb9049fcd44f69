import * as v from "valibot";
import { duration, facts, leaf } from "../schema/leaf.ts";
import { list, rule, table } from "../schema/table.ts";
import { isTable } from "../schema/values.ts";

export const HOOK_KINDS = ["pre_backup", "post_backup", "on_failure"] as const;
export type HookKind = (typeof HOOK_KINDS)[number];

/** A command or an SQL text that runs around the backup of each database. */
export interface HookConfig {
  name: string;
  /** The program (an absolute path) and its arguments; unset for SQL. */
  command: string[] | undefined;
  sql: string | undefined;
  timeout_ms: number;
  /** What a failure of a `pre_backup` does: `stop` fails the backup of the database. Unset for other hooks. */
  on_error: "stop" | "continue" | undefined;
}

export type HooksConfig = Record<HookKind, HookConfig[] | undefined>;

const word = leaf("a text", (value) =>
  typeof value === "string" && !value.includes("\u0000") ? value : undefined,
);
const words = list(word, 'an array such as ["/usr/local/bin/hook", "argument"]');
const sql = leaf('SQL, such as "notify backup_begins"', (value) =>
  typeof value === "string" && value.trim() !== "" && !value.includes("\u0000") ? value : undefined,
);
const command: v.GenericSchema<unknown, string | string[]> = v.pipe(
  v.lazy((value): v.GenericSchema<unknown, string | string[]> => (typeof value === "string" ? word : words)),
  facts({ alternatives: [word, words] }),
);
const onError = leaf(
  '"stop" or "continue"',
  (value) => (value === "stop" || value === "continue" ? value : undefined),
  { form: { enum: ["stop", "continue"] } },
);

const hookSchema = v.pipe(
  table("a hook", {
    name: v.optional(
      leaf("a name of up to 40 letters, digits, _ and -", (value) =>
        typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/.test(value) ? value : undefined,
      ),
    ),
    command: v.optional(command),
    shell: v.optional(
      leaf("true or false", (value) => (typeof value === "boolean" ? value : undefined), {
        form: { type: "boolean" },
      }),
      false,
    ),
    sql: v.optional(sql),
    timeout: v.optional(duration(), "5m"),
    on_error: v.optional(onError),
  }),
  rule(({ command, shell, sql }, report) => {
    if ((command === undefined) === (sql === undefined))
      report(["command"], "expected either command or sql");
    if (shell === true && sql !== undefined)
      report(
        ["shell"],
        "found true beside sql, expected a command: SQL runs in the database, not in a shell",
      );
    if (shell === true && Array.isArray(command))
      report(["command"], 'found an array, expected one text for the shell (shell = true): "a && b"');
    if (shell !== true && typeof command === "string")
      report(["command"], 'found a text, expected an array such as ["/usr/local/bin/hook"], or shell = true');
    if (shell !== true && Array.isArray(command) && !String(command[0] ?? "").startsWith("/"))
      report(["command"], "the first word is not an absolute path of a program");
  }),
);

/** One key with hooks: an array of tables; an empty one means none. */
const hooksSchema = v.pipe(
  v.unknown(),
  v.check(Array.isArray, 'expected an array of hooks, such as [{ command = ["/usr/local/bin/hook"] }]'),
  v.array(hookSchema),
  rule((hooks, report) => {
    const names = Object.values(hooks).map((hook) => (isTable(hook) ? hook["name"] : undefined));
    for (const [index, name] of names.entries())
      if (name !== undefined && names.indexOf(name) !== index)
        report([index, "name"], `found ${JSON.stringify(name)} twice, expected a unique name`);
  }),
  v.transform((hooks) =>
    hooks.map(
      ({ name, command, sql, timeout, on_error }, index): HookConfig => ({
        name: name ?? String(index + 1),
        command: typeof command === "string" ? ["/bin/sh", "-c", command] : command,
        sql,
        timeout_ms: timeout,
        on_error: on_error ?? "stop",
      }),
    ),
  ),
);

/** Hooks after the dump cannot stop it. */
const hooksAfterSchema = v.pipe(
  v.unknown(),
  rule((hooks, report) => {
    for (const [index, hook] of Object.values(hooks).entries())
      if (isTable(hook) && hook["on_error"] !== undefined)
        report([index, "on_error"], "not a key of this hook: only a pre_backup can stop the backup");
  }),
  hooksSchema,
  v.transform((hooks) => hooks.map((hook): HookConfig => ({ ...hook, on_error: undefined }))),
);

/** The keys of a [[server]] or a [[database]] with hooks. */
export const HOOK_KEYS = {
  pre_backup: v.optional(hooksSchema),
  post_backup: v.optional(hooksAfterSchema),
  on_failure: v.optional(hooksAfterSchema),
};
