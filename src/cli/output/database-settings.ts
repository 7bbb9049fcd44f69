import { visible } from "../../base/text/visible.ts";
import type { EffectiveSetting, EffectiveSettings } from "../../jobs/effective-settings.ts";
import type { Style } from "./output.ts";

/** What holds for each database, as lines; settings that no rule gives and that have no value are left out. */
export function databaseSettingsText(databases: readonly EffectiveSettings[], style: Style): string[] {
  return databases.flatMap(({ server, database, settings }) => [
    `${style.bold(visible(`${server}/${database}`))}`,
    ...settings.filter(isShown).map((one) => `  ${settingText(one)} ${style.dim(`# ${visible(one.rule)}`)}`),
  ]);
}

function isShown({ value, rule, key }: EffectiveSetting): boolean {
  if (rule === "default") return false;
  return !(key === "restore_test.allowed_errors" && value === "[]");
}

function settingText({ key, value }: EffectiveSetting): string {
  return `${key} = ${value === null ? "that of each storage" : visible(value)}`;
}
