import { visible } from "../../base/text/visible.ts";
import type { Config } from "../../config/config.ts";
import { describeConfig } from "../../config/describe.ts";
import { requireCertificates } from "../../config/load.ts";
import { formatDuration, formatRate, formatSize } from "../../config/units.ts";
import { refuseSharedPlaces } from "../../jobs/shared-places.ts";
import { lastTwoNotSetUp, threeTwoOne } from "../../rule/setup.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import type { Style } from "../output/output.ts";
import { jsonText } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "Reads the config, reports every mistake at once, and prints every setting with its effective value, without\n" +
    "secrets. Exit 2 if it has a mistake, or if two storages are the same place, as far as this host can see. Warns if\n" +
    "the storages do not meet 3-2-1.",
  options: { json: JSON_OPTION },
  examples: [{ command: "pg321 check --config ./config.toml", explanation: "before a reload" }],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    const config = await commandConfig(invocation, { keepsRoot: true });
    await requireCertificates(config, invocation.signal);
    await refuseSharedPlaces(config, invocation);
    const warnings = [...config.warnings, ...copyWarnings(config)];
    for (const warning of copyWarnings(config)) invocation.log.warning(warning);
    const described = describeConfig({ ...config, warnings });
    const more = config.server.length === 0 ? null : lastTwoNotSetUp(config);
    const lines = [...linesOf(described, output.style), ...(more === null ? [] : [`3-2-1-1-0: ${more}`])];
    output.print(isSet(args, "json") ? jsonText(described) : lines.join("\n"));
    return 0;
  },
};

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
