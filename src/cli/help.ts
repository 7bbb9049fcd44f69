import { VERSION } from "../base/version.ts";
import { recoveryFile } from "../install/packaged.ts";
import type { Command, Option } from "./command.ts";
import { COMMON_OPTIONS } from "./command.ts";
import type { Style } from "./output/output.ts";
import type { CommandEntry } from "./registry.ts";
import { COMMANDS } from "./registry.ts";

/** The output of `pg321 --help`. */
export function programHelp(style: Style): string {
  const widest = Math.max(...COMMANDS.map(({ name }) => name.length));
  return [
    `${style.bold("pg321")} ${VERSION}: PostgreSQL backups, encrypted, with copies in several storages, and their restore`,
    "",
    style.bold("Usage:"),
    "  pg321 COMMAND [OPTION…]",
    "",
    style.bold("Commands:"),
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(widest)}  ${summary}`),
    "",
    style.bold("Options:"),
    ...optionLines({ ...COMMON_OPTIONS, version: { type: "boolean", help: "print the version" } }),
    "",
    "pg321 COMMAND --help explains a command, with examples.",
    "pg321 help recovery prints the commands to run after each accident; pg321 install puts the same page at",
    `${recoveryFile()}.`,
    "pg321 help schema prints the JSON Schema of the config, for editors.",
    "Exit codes: 0 ok, 1 internal error (a bug), 2 usage or config, 3 partial, 4 bad verdict, 10 database, 11 locked,",
    "12 key, 13 storage, 14 verification failed, 130 SIGINT, 143 SIGTERM.",
  ].join("\n");
}

/** The output of `pg321 COMMAND --help`. */
export function commandHelp({ name, summary }: CommandEntry, command: Command, style: Style): string {
  return [
    `${style.bold(`pg321 ${name}`)}: ${summary}`,
    "",
    style.bold("Usage:"),
    `  pg321 ${name}${command.usage ? ` ${command.usage}` : ""}`,
    ...(command.description ? ["", command.description] : []),
    "",
    style.bold("Options:"),
    ...optionLines({ ...command.options, ...COMMON_OPTIONS }),
    "",
    style.bold("Examples:"),
    ...command.examples.flatMap(({ command: words, explanation }) => [
      `  ${words}`,
      `      ${style.dim(explanation)}`,
    ]),
  ].join("\n");
}

function optionLines(options: Record<string, Option>): string[] {
  const entries = Object.entries(options).map(([name, { short, value, help }]) => ({
    words: `${short ? `-${short}, ` : "    "}--${name}${value ? ` ${value}` : ""}`,
    help,
  }));
  const widest = Math.max(...entries.map(({ words }) => words.length));
  return entries.map(({ words, help }) => `  ${words.padEnd(widest)}  ${help}`);
}
