import { basename } from "node:path";
import type { Config } from "../config/config.ts";
import { OFF } from "../config/cron.ts";
import type { DatabaseKey } from "../config/database/settings.ts";
import { archiveNames, DATABASE_KEYS, rulesFor, valueAt, winnerFor } from "../config/database/settings.ts";
import { formatDuration } from "../config/units.ts";
import { schedulesOf } from "./schedules.ts";

/** One setting of a database and where it comes from. */
export interface EffectiveSetting {
  key: DatabaseKey;
  /** As in the config: `["local"]`; null: none, or of `keep`, that of each storage. */
  value: string | null;
  /** `config.toml:12`, or the table whose setting holds for every database, such as `[compression]`. */
  rule: string;
}

export interface EffectiveSettings {
  server: string;
  database: string;
  settings: EffectiveSetting[];
}

/** Every setting that holds for a database, in the order of `DATABASE_KEYS`. */
export function effectiveSettings(config: Config, server: string, database: string): EffectiveSettings {
  const rules = rulesFor(config, server, database);
  const settings = DATABASE_KEYS.map((key): EffectiveSetting => {
    const winner = winnerFor(rules, key);
    if (winner === undefined) {
      const { value, rule } = generalOf(config, key, server, database);
      return { key, value: value === null ? null : valueText(value), rule };
    }
    const line = winner.lines[key] ?? winner.lines[""];
    return { key, value: valueText(valueAt(winner, key)), rule: `${basename(config.file)}:${line}` };
  });
  return { server, database, settings };
}

function generalOf(
  config: Config,
  key: DatabaseKey,
  server: string,
  database: string,
): { value: unknown; rule: string } {
  const none = { value: null, rule: "default" };
  switch (key) {
    case "compression":
      return { value: config.compression, rule: "[compression]" };
    case "jobs": {
      return { value: config.dump.jobs, rule: "[dump]" };
    }
    case "storages": {
      const archives = archiveNames(config);
      const names = config.storage.flatMap(({ name }) => (archives.includes(name) ? [] : name));
      return { value: names, rule: "[[storage]]" };
    }
    case "schedule": {
      const found = schedulesOf(config).find(
        ({ job, selects }) => job === "backup" && selects(server, database),
      );
      const override = config.schedule.override.find(({ name }) => found?.name === `backup ${name}`);
      const rule = override === undefined ? "[schedule]" : `[[schedule.override]] "${override.name}"`;
      return { value: found?.pattern ?? OFF, rule };
    }
    case "keep":
      return { value: null, rule: "keep of each [[storage]]" };
    case "restore_test.allowed_errors":
      return { value: config.restore_test.allowed_errors, rule: "[restore_test]" };
    case "schema_only":
    case "restore_test.excluded":
      return { ...none, value: false };
    case "pre_backup":
    case "post_backup":
    case "on_failure": {
      const hooks = config.server.find(({ name }) => name === server)?.[key];
      return hooks === undefined ? none : { value: hooks, rule: "[[server]]" };
    }
    default:
      return none;
  }
}

/** In the words of the config file: amounts have their unit at the end of the key in a loaded config. */
function valueText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(valueText).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).flatMap(([key, member]) => {
    if (member === undefined) return [];
    if (key.endsWith("_ms"))
      return `${key.slice(0, -"_ms".length)} = ${JSON.stringify(formatDuration(member))}`;
    return `${key} = ${valueText(member)}`;
  });
  return `{ ${members.join(", ")} }`;
}
