import { visible } from "../../base/text/visible.ts";
import type { Config } from "../../config/config.ts";
import { storagesFor } from "../../config/database/settings.ts";
import { describeConfig } from "../../config/describe.ts";
import { idlePatterns } from "../../config/idle-patterns.ts";
import { requireCertificates } from "../../config/load.ts";
import { formatDuration, formatRate, formatSize } from "../../config/units.ts";
import type { EffectiveSettings } from "../../jobs/effective-settings.ts";
import { effectiveSettings } from "../../jobs/effective-settings.ts";
import type { ListedDatabases } from "../../jobs/listed-databases.ts";
import { askForDatabases, namedDatabases } from "../../jobs/listed-databases.ts";
import { refuseSharedPlaces } from "../../jobs/shared-places.ts";
import { lastTwoNotSetUp, threeTwoOne } from "../../rule/setup.ts";
import type { Command, Invocation } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import { databaseSettingsText } from "../output/database-settings.ts";
import type { Style } from "../output/output.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "Reads the config, reports every mistake at once, and prints every setting with its effective value, without\n" +
    "secrets. Exit 2 if it has a mistake, or if two storages are the same place, as far as this host can see. Warns if\n" +
    "the storages do not meet 3-2-1. With [[database]] tables it also asks each server for its databases, prints the\n" +
    "effective settings of each database, and the line of the config that sets each; it warns of a table that matches\n" +
    "none.",
  options: {
    offline: { type: "boolean", help: "ask no server: show only databases that the config names" },
    json: JSON_OPTION,
  },
  examples: [{ command: "pg321 check --config ./config.toml", explanation: "before a reload" }],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    const config = await commandConfig(invocation, { keepsRoot: true });
    await requireCertificates(config, invocation.signal);
    await refuseSharedPlaces(config, invocation);
    const warnings = [...config.warnings, ...copyWarnings(config)];
    for (const warning of copyWarnings(config)) invocation.log.warning(warning);
    const effective = await effectiveOf(config, invocation, warnings);
    const described = {
      ...describeConfig({ ...config, warnings }),
      ...(effective && { databases: effective }),
    };
    const more = config.server.length === 0 ? null : lastTwoNotSetUp(config);
    const { databases: _, ...settings } = described;
    const lines = [
      ...linesOf(settings, output.style),
      ...(effective ? databaseSettingsText(effective, output.style) : []),
      ...(more === null ? [] : [`3-2-1-1-0: ${more}`]),
    ];
    output.print(isSet(args, "json") ? jsonText(described) : lines.join("\n"));
    return 0;
  },
};

/** What holds for each database; undefined without [[database]] tables. Adds warnings. */
async function effectiveOf(
  config: Config,
  { arguments: args, clock, signal, log }: Invocation,
  warnings: string[],
): Promise<EffectiveSettings[] | undefined> {
  if (config.database.length === 0) return undefined;
  const warn = (message: string) => {
    log.warning(message);
    warnings.push(`${config.file}: ${message}`);
  };
  const { databases, silent } = isSet(args, "offline")
    ? namedDatabases(config)
    : await askForDatabases(config, { clock, signal });
  for (const { server, error } of silent)
    warn(
      `server "${server}" was not asked for its databases, only those that the config names are shown: ${error}`,
    );
  if (!isSet(args, "offline"))
    for (const { holder, written } of idlePatterns({ ...config, notify: [] }, asked({ databases, silent })))
      warn(`"${written}" in ${holder} matches no database`);
  for (const { server, database } of databases) {
    const used = storagesFor(config, server, database);
    if (used === undefined || config.storage.every(({ name }) => used.includes(name))) continue;
    const { isMet, message } = threeTwoOne(
      config.storage.filter(({ name }) => used.includes(name)),
      config.rule,
    );
    if (!isMet) warn(`${server}/${database}: ${message}`);
  }
  return databases.map(({ server, database }) => effectiveSettings(config, server, database));
}

/** Without the databases of servers that did not answer: more of theirs may exist. */
function asked({ databases, silent }: ListedDatabases): ListedDatabases["databases"] {
  return databases.filter(({ server }) => !silent.some((one) => one.server === server));
}

/** Whether the storages meet 3-2-1. */
function copyWarnings({ file, server, storage, rule }: Config): string[] {
  // A host that only tests restores may see fewer storages.
  if (server.length === 0) return [];
  const { isMet, message, hint } = threeTwoOne(storage, rule);
  return isMet ? [] : [`${file}: ${message}; ${hint}`];
}

/** How to print a setting whose name ends in a unit; the longest ending comes first. */
const UNITS: readonly [ending: string, format: (amount: number) => string][] = [
  ["_bytes_per_second", formatRate],
  ["_bytes", formatSize],
  ["_ms", formatDuration],
];

/** Settings with a unit that set no limit at 0; any other is "none" at 0. */
const UNBOUNDED_AT_ZERO = new Set(["min_rate", "rate_limit", "min_free", "max_duration"]);

/** Nested settings as indented lines, in the words of the config file. */
function linesOf(value: object, style: Style, indent = ""): string[] {
  return Object.entries(value).flatMap(([key, member]) => {
    if (Array.isArray(member) && member.some((item) => typeof item === "object")) {
      return member.flatMap((item) => [
        `${indent}${style.bold(`[[${key}]]`)}`,
        ...linesOf(item, style, `${indent}  `),
      ]);
    }
    // Sentences, unlike the values of a list.
    if (key === "warnings" && Array.isArray(member) && member.length > 0)
      return [`${indent}${key}:`, ...member.map((text) => `${indent}  ${visible(String(text))}`)];
    if (Array.isArray(member)) {
      const items = member.length === 0 ? "none" : visible(member.join(", "));
      return [`${indent}${key} = ${items}`];
    }
    if (typeof member === "object" && member !== null) {
      return [`${indent}${style.bold(`[${key}]`)}`, ...linesOf(member, style, `${indent}  `)];
    }
    const [ending, format] = UNITS.find(([unit]) => key.endsWith(unit)) ?? ["", String];
    const name = key.slice(0, key.length - ending.length);
    if (member === null) return [`${indent}${name} = ${style.dim("not set")}`];
    if (typeof member !== "number") return [`${indent}${name} = ${visible(String(member))}`];
    const zero = UNBOUNDED_AT_ZERO.has(name) ? "no limit" : ending === "" ? "0" : "none";
    return [`${indent}${name} = ${member === 0 ? zero : format(member)}`];
  });
}
