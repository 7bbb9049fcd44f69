import { readFile } from "node:fs/promises";
import type { WebProxy } from "../base/network/proxy.ts";
import type { Config } from "../config/config.ts";
import { installedUnit } from "./packaged.ts";
import { dropInTexts } from "./writable-paths.ts";

/** EnvironmentFile= of the unit; a command with the service's config reads it itself. */
export const ENVIRONMENT_FILE = "/etc/pg321/environment";

/**
 * The variables by which requests of this process find a proxy and which the installed service does not get: they are
 * neither in the environment file nor in Environment= of the unit or of a drop-in.
 */
export async function proxiesOfThisProcess(config: Pick<Config, "storage" | "notify">): Promise<string[]> {
  const unknown = proxiesOf(config).filter(({ isInFile }) => !isInFile);
  if (unknown.length === 0) return [];
  const lines = (await unitTexts()).flatMap((text) => text.match(/^\s*Environment\s*=.*$/gm) ?? []);
  const variables = unknown.map(({ variable }) => variable);
  return [...new Set(variables)].filter(
    (variable) => !lines.some((line) => new RegExp(`\\b${variable}=`, "i").test(line)),
  );
}

/** Whether the installed unit, perhaps an older one, passes the environment file on. */
export async function passesEnvironmentFile(): Promise<boolean> {
  const setting = new RegExp(`^\\s*EnvironmentFile\\s*=.*${ENVIRONMENT_FILE}`, "m");
  return (await unitTexts()).some((text) => setting.test(text));
}

function proxiesOf({ storage, notify }: Pick<Config, "storage" | "notify">): WebProxy[] {
  return [...storage, ...notify].flatMap((one) => ("proxy" in one ? (one.proxy ?? []) : []));
}

async function unitTexts(): Promise<string[]> {
  // A dry run comes before the unit.
  const path = installedUnit();
  const unit = path === undefined ? "" : await readFile(path, "utf8").catch(() => "");
  return [unit, ...(await dropInTexts())];
}
